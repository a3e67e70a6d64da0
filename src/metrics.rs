//! What is counted, for Prometheus. Every combination of labels exists from the start, from closed lists; a
//! fingerprint, a pod or an error text is never a label. A metric's help text is its documentation.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::incident::Outcome;
use crate::incident::event::EffectResult;
use crate::incident::refusal::Guard;
use crate::incident::restore::RESTORE;
use crate::runbook::Action;

/// Everything that is counted. Cheap to clone: all clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Notifications by what became of them.
    pub notifications: IntCounterVec,
    /// Alerts by what became of them.
    pub alerts: IntCounterVec,
    /// Wishes of people to begin a runbook, by what became of them.
    pub runs: IntCounterVec,
    /// How long the answer to a notification takes.
    pub webhook_seconds: Histogram,
    /// Incidents that are worked on now.
    pub incidents_open: IntGauge,
    /// Fields that are changed for a while now.
    pub changes: IntGauge,
    /// Those of them whose time to be put back has come.
    pub changes_overdue: IntGauge,
    /// Incidents that can not be worked on.
    pub incidents_left_alone: IntCounter,
    incidents_closed: IntCounterVec,
    refusals: IntCounterVec,
    effects: IntCounterVec,
    /// 1 while a person has stopped all effects.
    pub paused: IntGauge,
    reconciled: IntCounterVec,
    reconciliations: IntCounterVec,
    /// Messages to Slack by what became of them.
    pub slack_messages: IntCounterVec,
    /// Incidents of which Slack has not been told everything.
    pub slack_behind: IntGauge,
}

/// What becomes of a notification.
pub const NOTIFICATION_RESULTS: [&str; 5] =
    ["accepted", "bad_request", "unauthorized", "too_large", "unavailable"];
/// What becomes of an alert.
pub const ALERT_RESULTS: [&str; 6] = ["opened", "joined", "resolved", "repeated", "unanswered", "refused"];
/// What becomes of a person's wish to begin a runbook.
const RUN_RESULTS: [&str; 4] = ["begun", "repeated", "refused", "unavailable"];
const EFFECT_RESULTS: [&str; 5] = ["applied", "refused", "not_taken", "unclear", "in_part"];
/// What Alertmanager was asked for, and said.
const RECONCILIATION_RESULTS: [&str; 2] = ["done", "failed"];

/// What reconciling with Alertmanager found about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconciled {
    /// It fires, and its notification never came.
    Lost,
    /// It was suppressed, fires again, and nobody said so.
    Returned,
    /// It is gone, and nobody had said so.
    Gone,
    /// It is suppressed in Alertmanager, and an incident was open.
    Suppressed,
}

impl Reconciled {
    const ALL: [Self; 4] = [Self::Lost, Self::Returned, Self::Gone, Self::Suppressed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Returned => "returned",
            Self::Gone => "gone",
            Self::Suppressed => "suppressed",
        }
    }
}

/// What becomes of a message to Slack.
pub const SLACK_RESULTS: [&str; 2] = ["sent", "failed"];

impl Metrics {
    /// Counters at zero, for these runbooks.
    ///
    /// # Errors
    /// When two metrics have the same name, which is a mistake in this file.
    pub fn new(runbooks: &[&str], armed: &[(Guard, bool)]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let vec = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let notifications = vec(
            "runbookd_notifications_total",
            "Notifications from Alertmanager, by what became of them.",
            &["result"],
        )?;
        let alerts = vec("runbookd_alerts_total", "Alerts by what became of them.", &["result"])?;
        let runs = vec(
            "runbookd_runs_total",
            "Wishes of people to begin a runbook by hand, by what became of them.",
            &["result"],
        )?;
        let webhook_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "runbookd_webhook_duration_seconds",
                "Time to answer a notification, commit included.",
            )
            .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0]),
        )?;
        registry.register(Box::new(webhook_seconds.clone()))?;
        let incidents_closed =
            vec("runbookd_incidents_closed_total", "Incidents by how they ended.", &["runbook", "outcome"])?;
        let refusals = vec("runbookd_refusals_total", "Effects that a guard refused, by guard.", &["guard"])?;
        let effects = vec(
            "runbookd_effects_total",
            "Calls that change something, by action and answer.",
            &["action", "result"],
        )?;
        let reconciled = vec(
            "runbookd_reconciled_alerts_total",
            "Alerts of which Alertmanager had to be asked, because its notification did not come, by what was found.",
            &["result"],
        )?;
        let reconciliations = vec(
            "runbookd_reconciliations_total",
            "Questions to Alertmanager about what fires.",
            &["result"],
        )?;
        let slack_messages = vec("runbookd_slack_messages_total", "Messages to Slack.", &["result"])?;
        let incidents_left_alone = IntCounter::new(
            "runbookd_incidents_left_alone_total",
            "Incidents that can not be worked on because their journal or runbook can not be read.",
        )?;
        registry.register(Box::new(incidents_left_alone.clone()))?;
        let guards = IntGaugeVec::new(
            Opts::new("runbookd_guard_armed", "1 for every guard that is configured and asked."),
            &["guard"],
        )?;
        registry.register(Box::new(guards.clone()))?;
        let build =
            IntGaugeVec::new(Opts::new("runbookd_build_info", "The release, always 1."), &["version"])?;
        registry.register(Box::new(build.clone()))?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Self {
            incidents_open: gauge("runbookd_incidents_open", "Incidents that are worked on now.")?,
            changes: gauge(
                "runbookd_changes",
                "Fields that are changed for a while now, and will be put back.",
            )?,
            changes_overdue: gauge(
                "runbookd_changes_overdue",
                "Fields whose time to be put back has come; above 0 for long only while paused, or when a person must decide.",
            )?,
            paused: gauge("runbookd_paused", "1 while a person has stopped all effects.")?,
            slack_behind: gauge(
                "runbookd_slack_incidents_behind",
                "Incidents of which Slack has not been told everything.",
            )?,
            registry,
            notifications,
            alerts,
            runs,
            webhook_seconds,
            incidents_left_alone,
            incidents_closed,
            refusals,
            effects,
            reconciled,
            reconciliations,
            slack_messages,
        };
        for result in Reconciled::ALL {
            metrics.reconciled.with_label_values(&[result.as_str()]);
        }
        for result in RECONCILIATION_RESULTS {
            metrics.reconciliations.with_label_values(&[result]);
        }
        for result in NOTIFICATION_RESULTS {
            metrics.notifications.with_label_values(&[result]);
        }
        for result in ALERT_RESULTS {
            metrics.alerts.with_label_values(&[result]);
        }
        for result in RUN_RESULTS {
            metrics.runs.with_label_values(&[result]);
        }
        for result in SLACK_RESULTS {
            metrics.slack_messages.with_label_values(&[result]);
        }
        for (action, result) in
            Action::ALL.iter().flat_map(|action| EFFECT_RESULTS.map(|result| (action, result)))
        {
            metrics.effects.with_label_values(&[action.as_str(), result]);
        }
        for runbook in runbooks.iter().chain(&[RESTORE]) {
            for outcome in Outcome::ALL {
                metrics.incidents_closed.with_label_values(&[*runbook, outcome.as_str()]);
            }
        }
        for guard in Guard::ALL {
            metrics.refusals.with_label_values(&[guard.as_str()]);
        }
        for (guard, armed) in armed {
            guards.with_label_values(&[guard.as_str()]).set(i64::from(*armed));
        }
        Ok(metrics)
    }

    /// An incident has ended.
    pub fn closed(&self, runbook: &str, outcome: Outcome) {
        self.incidents_closed.with_label_values(&[runbook, outcome.as_str()]).inc();
    }

    /// Reconciling has found so many alerts of this kind.
    pub fn reconciled(&self, result: Reconciled, number: usize) {
        self.reconciled.with_label_values(&[result.as_str()]).inc_by(number as u64);
    }

    /// Alertmanager was asked what fires, and answered or not.
    pub fn reconciliation(&self, answered: bool) {
        let result = RECONCILIATION_RESULTS[usize::from(!answered)];
        self.reconciliations.with_label_values(&[result]).inc();
    }

    /// A guard has refused.
    pub fn refused(&self, guard: Guard) {
        self.refusals.with_label_values(&[guard.as_str()]).inc();
    }

    /// A call that changes something was answered.
    pub fn acted(&self, action: Action, result: &EffectResult) {
        let word = match result {
            EffectResult::Applied | EffectResult::Begun { .. } => EFFECT_RESULTS[0],
            EffectResult::Refused { .. } => EFFECT_RESULTS[1],
            EffectResult::NotTaken { .. } => EFFECT_RESULTS[2],
            EffectResult::Unclear { .. } => EFFECT_RESULTS[3],
            EffectResult::InPart { .. } => EFFECT_RESULTS[4],
        };
        self.effects.with_label_values(&[action.as_str(), word]).inc();
    }

    /// The text that Prometheus scrapes.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "The metrics can not be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}
