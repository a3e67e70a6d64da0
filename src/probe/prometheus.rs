//! Asks Prometheus for a value. No series, several where one is meant, and a number that is none are unknown. In `verify` nothing counts that
//! was measured before the effect was complete: a query whose ranges reach back before it is not even asked, and the samples that it
//! takes as they are must be newer.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Scope, figures};
use crate::clients::CallError;
use crate::clients::prometheus::{Instant, Prometheus, Sample};
use crate::clock::{after, between};
use crate::incident::evidence::{Evidence, Verdict};
use crate::promql::Rendered;
use crate::runbook::{PrometheusProbe, Threshold, no_value};
use crate::text::span;

pub(super) struct Question<'a> {
    pub(super) name: &'a str,
    pub(super) probe: &'a PrometheusProbe,
    pub(super) threshold: Threshold,
    /// What was measured before this moment does not count.
    pub(super) since: Option<Timestamp>,
}

pub(super) async fn ask(
    prometheus: Option<&Prometheus>,
    scope: &Scope<'_>,
    question: Question<'_>,
) -> Evidence {
    let Question { name, probe, since, .. } = question;
    let Rendered { query, bare, reach } =
        match probe.query.with(|path| scope.value_of(path), scope.time_scale) {
            Ok(rendered) => rendered,
            Err(path) => return Evidence::unknown(name, String::new(), no_value(&path)),
        };
    let Some(prometheus) = prometheus else {
        let why = "there is no `prometheus: {url: ...}` in the configuration";
        return Evidence::unknown(name, query, why.to_owned());
    };
    if let Some(since) = since
        && after(since, reach) > scope.now
    {
        let (reach, age) = (span(reach), span(between(since, scope.now)));
        let why = format!("the query looks {reach} back, and only {age} of that lie behind the effect");
        return Evidence::unknown(name, query, why);
    }
    if let Some(since) = since
        && let Err(why) = all_newer(prometheus, &bare, since, scope.now).await
    {
        return Evidence::unknown(name, query, why);
    }
    match prometheus.instant(&query, scope.now).await {
        Ok(found) => answer(&question, own_value(probe, scope), query, found),
        Err(error) => Evidence::unknown(name, query, could_not(&error)),
    }
}

fn could_not(error: &CallError) -> String {
    format!("Prometheus could not be asked: {error}")
}

/// Whether every sample that the selectors take as it is was measured after this moment: the server gives one for the present that is up to five
/// minutes old.
async fn all_newer(
    prometheus: &Prometheus,
    selectors: &[String],
    since: Timestamp,
    now: Timestamp,
) -> Result<(), String> {
    for selector in selectors {
        let oldest = prometheus.instant(&format!("min(timestamp({selector}))"), now).await;
        let oldest = match oldest.map_err(|error| could_not(&error))? {
            Instant::Vector(samples) => samples.first().map(|sample| sample.value),
            Instant::Scalar(_) => None,
        };
        let Some(oldest) = oldest.filter(|oldest| oldest.is_finite()) else {
            return Err(format!("there is no sample of {selector}"));
        };
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^52")]
        let since = since.as_millisecond() as f64 / 1000.0;
        if oldest < since {
            return Err(format!("the newest sample of {selector} was measured before the effect"));
        }
    }
    Ok(())
}

/// The target's value of the label that is counted by.
fn own_value<'a>(probe: &PrometheusProbe, scope: &Scope<'a>) -> Option<&'a String> {
    scope.leg?.each.get(probe.count_by.as_ref()?)
}

fn answer(question: &Question<'_>, own: Option<&String>, asked: String, found: Instant) -> Evidence {
    let Question { name, probe, threshold, .. } = question;
    let found = match (&probe.count_by, found) {
        (None, found) => single(found).map(|figure| (verdict(*threshold, figure), figure.to_string(), None)),
        (Some(label), found) => by_label(found, label, own).map(|mut by| {
            let saw = figures(&by);
            let verdict = verdict_of_all(*threshold, &mut by);
            (verdict, saw, Some(by))
        }),
    };
    match found {
        Ok((verdict, saw, by)) => Evidence {
            by: by.unwrap_or_default(),
            ..Evidence::found(name, asked, verdict, format!("{saw}; {threshold}"))
        },
        Err(why) => Evidence::unknown(name, asked, why),
    }
}

const NOTHING: &str = "the query gives no series, which is no zero";

/// The one number. An infinite one comes of a division by nothing, and is no measurement either.
fn single(found: Instant) -> Result<f64, String> {
    let value = match found {
        Instant::Scalar(value) => value,
        Instant::Vector(samples) => match samples.as_slice() {
            [] => return Err(NOTHING.to_owned()),
            [only] => only.value,
            several => {
                let count = several.len();
                return Err(format!(
                    "the query gives {count} series, and nobody can say which one is meant; aggregate them (`sum(...)`), or add `count_by`"
                ));
            }
        },
    };
    if value.is_finite() {
        Ok(value)
    } else {
        Err(format!("the query gives {value}, which is no measurement"))
    }
}

/// The number of each value of the label; of the target's own alone, once there is one.
fn by_label(found: Instant, label: &str, own: Option<&String>) -> Result<BTreeMap<String, f64>, String> {
    let samples = match found {
        Instant::Vector(samples) => samples,
        Instant::Scalar(_) => return Err(format!("the query gives a number without the label {label}")),
    };
    let mut by = BTreeMap::new();
    for Sample { labels, value } in samples {
        let Some(of) = labels.get(label).filter(|of| !of.is_empty()) else {
            return Err(format!("the query gives a series without the label {label}; add it to `by (...)`"));
        };
        if own.is_some_and(|own| own != of) {
            continue;
        }
        if !value.is_finite() {
            return Err(format!("the query gives {value} for {of}, which is no measurement"));
        }
        if by.insert(of.clone(), value).is_some() {
            return Err(format!("the query gives several series for {of}; aggregate them by {label}"));
        }
    }
    match (by.is_empty(), own) {
        (true, Some(own)) => Err(format!("the query gives no series for {own}, which is no zero")),
        (true, None) => Err(NOTHING.to_owned()),
        (false, _) => Ok(by),
    }
}

fn verdict(threshold: Threshold, figure: f64) -> Verdict {
    if threshold.holds(figure) { Verdict::Holds } else { Verdict::Fails }
}

/// `at_least` holds when one reaches it, and the others go; `at_most` when none exceeds it. A sum of what may be shares would mean nothing.
fn verdict_of_all(threshold: Threshold, by: &mut BTreeMap<String, f64>) -> Verdict {
    let holds = match threshold {
        Threshold::AtLeast(_) => {
            by.retain(|_, figure| threshold.holds(*figure));
            !by.is_empty()
        }
        Threshold::AtMost(_) => by.values().all(|figure| threshold.holds(*figure)),
    };
    if holds { Verdict::Holds } else { Verdict::Fails }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::PromQuery;

    fn vector(series: &[(&str, f64)]) -> Instant {
        let sample = |(app, value): &(&str, f64)| Sample {
            labels: if app.is_empty() {
                BTreeMap::new()
            } else {
                BTreeMap::from([("app".to_owned(), (*app).to_owned())])
            },
            value: *value,
        };
        Instant::Vector(series.iter().map(sample).collect())
    }

    fn asked(count_by: Option<&str>, threshold: Threshold, own: Option<&str>, found: Instant) -> Evidence {
        let query = PromQuery::parse("x").unwrap();
        let probe = PrometheusProbe { query, count_by: count_by.map(str::to_owned), threshold };
        let question = Question { name: "p", probe: &probe, threshold, since: None };
        answer(&question, own.map(str::to_owned).as_ref(), "x".to_owned(), found)
    }

    #[test]
    fn one_number_is_held_against_the_threshold_decimals_included() {
        for (threshold, value, saw, verdict) in [
            (Threshold::AtMost(0.05), 0.05, "0.05; at most 0.05", Verdict::Holds),
            (Threshold::AtMost(0.05), 0.051, "0.051; at most 0.05", Verdict::Fails),
            (Threshold::AtLeast(-1.0), -0.5, "-0.5; at least -1", Verdict::Holds),
            (Threshold::AtLeast(3.0), 2.0, "2; at least 3", Verdict::Fails),
        ] {
            for found in [vector(&[("", value)]), Instant::Scalar(value)] {
                let evidence = asked(None, threshold, None, found);
                assert_eq!((evidence.verdict, evidence.saw.as_str()), (verdict.clone(), saw));
            }
        }
    }

    #[test]
    fn no_data_several_series_and_what_is_no_number_are_unknown() {
        let nan = f64::NAN;
        for (count_by, own, found, part) in [
            (None, None, vector(&[]), "no series, which is no zero"),
            (None, None, vector(&[("a", 0.0), ("b", 0.0)]), "2 series"),
            (None, None, vector(&[("", nan)]), "NaN, which is no measurement"),
            (None, None, vector(&[("", f64::INFINITY)]), "inf, which is no measurement"),
            (None, None, Instant::Scalar(nan), "NaN"),
            (Some("app"), None, vector(&[]), "no series"),
            (Some("app"), None, vector(&[("a", 0.0), ("", 0.0)]), "without the label app"),
            (Some("app"), None, vector(&[("a", 0.0), ("a", 0.0)]), "several series for a"),
            (Some("app"), None, vector(&[("a", 0.0), ("b", nan)]), "NaN for b"),
            (Some("app"), None, Instant::Scalar(0.0), "without the label app"),
            (Some("app"), Some("c"), vector(&[("a", 0.0)]), "no series for c"),
        ] {
            for threshold in [Threshold::AtMost(0.0), Threshold::AtLeast(0.0)] {
                let evidence = asked(count_by, threshold, own, found.clone());
                let verdict = evidence.verdict.to_string();
                assert!(verdict.starts_with("unknown: ") && verdict.contains(part), "{verdict}");
            }
        }
    }

    #[test]
    fn by_a_label_at_least_names_those_that_reach_it_and_at_most_holds_for_all_or_fails() {
        let found = || vector(&[("a", 0.5), ("b", 0.01), ("c", 0.2)]);
        let reached = asked(Some("app"), Threshold::AtLeast(0.1), None, found());
        assert_eq!(reached.verdict, Verdict::Holds);
        assert_eq!(reached.by.keys().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(reached.saw, "a 0.5, c 0.2, b 0.01; at least 0.1");
        // Together they are far more than that; none of them is.
        let below = asked(Some("app"), Threshold::AtMost(0.5), None, found());
        assert_eq!(below.verdict, Verdict::Holds);
        assert_eq!(asked(Some("app"), Threshold::AtMost(0.1), None, found()).verdict, Verdict::Fails);
        // About one target, only its own counts.
        assert_eq!(asked(Some("app"), Threshold::AtMost(0.1), Some("b"), found()).verdict, Verdict::Holds);
        assert_eq!(asked(Some("app"), Threshold::AtLeast(0.1), Some("b"), found()).verdict, Verdict::Fails);
    }
}
