//! Asks Alertmanager which alerts it has. What its list shows counts at once. What it does not show says nothing while Alertmanager is young, while
//! the list is empty, or when a part of it can not be read: then the figure can only be too small, and what rests on that is unknown.
//!
//! Resolved is not healthy: an alert is gone, too, when nobody measures any more.

use super::{Scope, held};
use crate::alert::{Labels, Matcher, RUN_LABEL};
use crate::clients::CallError;
use crate::clients::alertmanager::{Alertmanager, Alerts, Listed, Running, SETTLED, State};
use crate::clock::{after, between};
use crate::incident::evidence::{Evidence, Sample, Verdict};
use crate::runbook::{AlertState, AlertsProbe, Threshold, no_value};
use crate::text::{count, cut, span};

/// How many alerts are shown to people.
const SAMPLES: usize = 5;
/// How long what is shown of one may be.
const LENGTH: usize = 300;

pub(super) async fn ask(
    alertmanager: Option<&Alertmanager>,
    scope: &Scope<'_>,
    name: &str,
    (probe, threshold): (&AlertsProbe, Threshold),
    others: &[String],
) -> Evidence {
    let mut matching = Vec::with_capacity(probe.matching.len());
    for matcher in &probe.matching {
        match matcher.with(|path| scope.value_of(path)) {
            Ok(matcher) => matching.push(matcher),
            Err(path) => {
                return Evidence::unknown(name, String::new(), no_value(&path));
            }
        }
    }
    let shown: Vec<String> = matching.iter().map(ToString::to_string).collect();
    let asked = format!("alerts that are {} and match {}", probe.state.as_str(), shown.join(", "));
    let Some(alertmanager) = alertmanager else {
        let why = "there is no `alertmanager: {url: ...}` in the configuration";
        return Evidence::unknown(name, asked, why.to_owned());
    };
    match list(alertmanager).await {
        Ok((mut alerts, running)) => {
            // What another drill has made up says nothing, here either.
            alerts.all.retain(|alert| !others.iter().any(|run| run == alert.label(RUN_LABEL)));
            let gap = gap(scope, &alerts, running);
            answer(scope, (name, asked), (probe.state, &matching, threshold), &alerts, gap)
        }
        Err(error) => Evidence::unknown(name, asked, format!("Alertmanager could not be asked: {error}")),
    }
}

/// The whole list, and since when the one runs that gave it: asked in this order, as one that starts in between is then seen to be young.
async fn list(alertmanager: &Alertmanager) -> Result<(Alerts, Running), CallError> {
    let alerts = alertmanager.alerts().await?;
    Ok((alerts, alertmanager.running().await?))
}

/// Why what the list does not show may be there all the same.
fn gap(scope: &Scope<'_>, alerts: &Alerts, running: Running) -> Option<String> {
    if alerts.unreadable > 0 {
        return Some(format!("{} of its list can not be read", count_of(alerts.unreadable)));
    }
    let settled = scope.paced(SETTLED);
    if after(running.since, settled) > scope.now {
        let (runs, settled) = (span(between(running.since, scope.now)), span(settled));
        return Some(format!(
            "it has run for {runs} only, and may not have heard of everything before {settled}"
        ));
    }
    if alerts.all.is_empty() {
        return Some(
            "its list is empty, as it is when nobody sends it anything; let one alert always fire".to_owned(),
        );
    }
    None
}

fn count_of(number: usize) -> String {
    count(number as u64, "alert", "alerts")
}

fn counts(state: AlertState, listed: &Listed) -> bool {
    match (state, listed.state()) {
        (AlertState::Firing, State::Active | State::Suppressed)
        | (AlertState::Active, State::Active)
        | (AlertState::Suppressed, State::Suppressed) => true,
        (AlertState::Active, State::Suppressed)
        | (AlertState::Suppressed, State::Active)
        | (_, State::Absent) => false,
    }
}

fn answer(
    scope: &Scope<'_>,
    (name, asked): (&str, String),
    (state, matching, threshold): (AlertState, &[Matcher], Threshold),
    alerts: &Alerts,
    gap: Option<String>,
) -> Evidence {
    let found: Vec<&Listed> = alerts
        .all
        .iter()
        .filter(|listed| {
            let labels = Labels(listed.labels.clone());
            counts(state, listed) && matching.iter().all(|matcher| matcher.holds(&labels))
        })
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 alerts")]
    let verdict = held(threshold, found.len() as f64, None);
    let samples = found.iter().take(SAMPLES).map(|listed| sample(scope, listed)).collect();
    let saw = format!("{} of {} {}; {threshold}", found.len(), count_of(alerts.all.len()), state.as_str());
    // The figure is at least this one: what holds from a number on holds, and what it exceeds it exceeds.
    let is_sure = matches!(
        (threshold, &verdict),
        (Threshold::AtLeast(_), Verdict::Holds) | (Threshold::AtMost(_), Verdict::Fails)
    );
    if let Some(gap) = gap.filter(|_| !is_sure) {
        let why = format!("{saw}, and what Alertmanager does not list says nothing: {gap}");
        return Evidence { samples, ..Evidence::unknown(name, asked, why) };
    }
    Evidence { samples, ..Evidence::found(name, asked, verdict, saw) }
}

/// Labels are hostile input, and are shown as such: on one line, and not too long.
fn sample(scope: &Scope<'_>, listed: &Listed) -> Sample {
    let labels: Vec<String> = listed
        .labels
        .iter()
        .filter(|(name, _)| *name != "alertname")
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    let state = match listed.state() {
        State::Suppressed if !listed.silenced_by.is_empty() => "silenced",
        State::Suppressed if !listed.inhibited_by.is_empty() => "inhibited",
        State::Suppressed => "suppressed",
        State::Active | State::Absent => "active",
    };
    let since = span(between(listed.starts_at, scope.now));
    Sample {
        is_state: true,
        at: listed.starts_at,
        from: cut(listed.label("alertname"), LENGTH),
        line: cut(&format!("{state} for {since}: {}", labels.join(", ")), LENGTH),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use std::collections::BTreeMap;

    use super::*;

    const NOW: &str = "2026-11-23T12:00:00Z";

    fn scope(vars: &BTreeMap<String, String>) -> Scope<'_> {
        Scope::nobody(vars, 1, NOW.parse().unwrap())
    }

    fn listed(name: &str, app: &str, active: bool) -> Listed {
        let labels = Labels::from([("alertname", name), ("app", app)]);
        Listed {
            fingerprint: labels.fingerprint().0,
            labels: labels.0,
            annotations: BTreeMap::new(),
            starts_at: "2026-11-23T11:50:00Z".parse().unwrap(),
            generator_url: String::new(),
            receivers: vec!["runbookd".to_owned()],
            active,
            silenced_by: if active { Vec::new() } else { vec!["s".to_owned()] },
            inhibited_by: Vec::new(),
            muted_by: Vec::new(),
        }
    }

    fn asked(state: AlertState, threshold: Threshold, alerts: &Alerts, since: &str) -> Evidence {
        let vars = BTreeMap::new();
        let scope = scope(&vars);
        let running = Running { since: since.parse::<Timestamp>().unwrap(), mutes: false };
        let matching = [Matcher::parse(r#"alertname="Web""#).unwrap()];
        let gap = gap(&scope, alerts, running);
        answer(&scope, ("p", String::new()), (state, &matching, threshold), alerts, gap)
    }

    const OLD: &str = "2026-11-23T11:55:00Z";
    const YOUNG: &str = "2026-11-23T11:55:01Z";

    #[test]
    fn alerts_are_counted_by_their_state() {
        let all = vec![listed("Web", "a", true), listed("Web", "b", false), listed("Other", "a", true)];
        let alerts = Alerts { all, unreadable: 0 };
        for (state, figure) in [(AlertState::Firing, 2), (AlertState::Active, 1), (AlertState::Suppressed, 1)]
        {
            let least = asked(state, Threshold::AtLeast(2.0), &alerts, OLD);
            let verdict = if figure == 2 { Verdict::Holds } else { Verdict::Fails };
            assert_eq!(least.verdict, verdict, "{least:#?}");
            assert_eq!(least.saw, format!("{figure} of 3 alerts {}; at least 2", state.as_str()));
        }
        let one = asked(AlertState::Suppressed, Threshold::AtMost(0.0), &alerts, OLD);
        assert_eq!(one.verdict, Verdict::Fails);
        assert_eq!(
            (one.samples[0].from.as_str(), one.samples[0].line.as_str()),
            ("Web", r#"silenced for 10m: app="b""#)
        );
    }

    #[test]
    fn what_a_list_does_not_show_counts_only_when_it_would_have_shown_it() {
        let other = || vec![listed("Other", "a", true)];
        for (all, unreadable, since, why) in [
            (other(), 0, YOUNG, "it has run for 4m 59s only"),
            (other(), 1, OLD, "1 alert of its list can not be read"),
            (Vec::new(), 0, OLD, "its list is empty"),
            (Vec::new(), 0, "2026-11-23T12:00:01Z", "it has run for 0 ms only"),
        ] {
            let alerts = Alerts { all, unreadable };
            for threshold in [Threshold::AtMost(0.0), Threshold::AtLeast(1.0)] {
                let verdict = asked(AlertState::Firing, threshold, &alerts, since).verdict.to_string();
                assert!(verdict.starts_with("unknown: ") && verdict.contains(why), "{verdict}");
            }
        }
        let alerts = Alerts { all: other(), unreadable: 0 };
        assert_eq!(asked(AlertState::Firing, Threshold::AtMost(0.0), &alerts, OLD).verdict, Verdict::Holds);
    }

    #[test]
    fn what_a_list_shows_counts_at_once() {
        let alerts = Alerts { all: vec![listed("Web", "a", true)], unreadable: 1 };
        assert_eq!(asked(AlertState::Firing, Threshold::AtMost(0.0), &alerts, YOUNG).verdict, Verdict::Fails);
        assert_eq!(
            asked(AlertState::Active, Threshold::AtLeast(1.0), &alerts, YOUNG).verdict,
            Verdict::Holds
        );
        // There may be more of them.
        for threshold in [Threshold::AtMost(1.0), Threshold::AtLeast(2.0)] {
            let verdict = asked(AlertState::Firing, threshold, &alerts, OLD).verdict;
            assert!(matches!(verdict, Verdict::Unknown { .. }), "{verdict}");
        }
    }
}
