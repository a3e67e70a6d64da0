//! An alert from firing to resolved is one episode, whatever order its copies come in.

use runbookd::alert::Alert;
use runbookd::incident::Event;
use runbookd::store::{Answered, Intake, Receipt, Suppressed};

use super::{Shared, by, closed, firing, in_scope, intake, names, on_every_store, resolved};

fn nothing(repeated: usize) -> Receipt {
    Receipt { repeated, ..Receipt::default() }
}

on_every_store!(
    the_same_notification_again_changes_nothing,
    an_alert_that_fires_again_after_its_end_is_new,
    a_start_that_moves_earlier_belongs_to_the_open_episode,
    a_later_start_while_the_end_was_never_heard_is_a_new_episode,
    a_late_copy_of_an_ended_episode_opens_nothing,
    resolved_before_firing_opens_nothing,
    a_late_resolved_does_not_end_a_newer_episode,
    a_newer_start_keeps_a_late_end_from_ending_the_episode,
    resolved_ends_the_episode_once,
    a_mixed_group_joins_and_resolves,
    a_group_sent_again_for_one_new_alert_joins_that_alone,
    firing_and_resolved_of_one_alert_count_in_their_order,
    an_episode_stays_answered_after_its_incident_is_closed,
    a_second_runbook_answers_an_episode_that_is_open_already,
    a_storm_keeps_500_alerts_and_the_number_of_the_rest,
    alerts_of_several_scopes_open_an_incident_each,
    a_suppressed_alert_leaves_its_incident_and_the_same_beginning_is_answered_anew,
    a_suppression_says_nothing_to_an_incident_that_is_closed,
    a_suppressed_alert_leaves_every_incident_that_answers_it,
    a_beginning_is_the_same_to_the_millisecond,
    the_receipt_names_what_was_taken,
);

async fn the_same_notification_again_changes_nothing(store: Shared) {
    let group = || intake([firing("a", 10), firing("b", 11)]);
    let first = store.take_in(group()).await.unwrap();
    assert_eq!((first.opened.len(), first.joined, first.repeated), (1, 0, 0));
    assert_eq!(store.take_in(group()).await.unwrap(), nothing(2));
    assert_eq!(names(&store, &first.opened[0]).await, ["opened"]);
}

async fn an_alert_that_fires_again_after_its_end_is_new(store: Shared) {
    store.take_in(intake([firing("a", 10)])).await.unwrap();
    store.take_in(intake([resolved("a", 10, 20)])).await.unwrap();
    let again = store.take_in(intake([firing("a", 21)])).await.unwrap();
    assert_eq!(again.joined, 1, "the incident is still open");
    let id = &store.incidents(true, 10).await.unwrap()[0].id;
    assert_eq!(names(&store, id).await, ["opened", "alerts_resolved", "alerts_joined"]);
}

async fn a_start_that_moves_earlier_belongs_to_the_open_episode(store: Shared) {
    store.take_in(intake([firing("a", 10)])).await.unwrap();
    assert_eq!(store.take_in(intake([firing("a", 7)])).await.unwrap(), nothing(1));
    assert_eq!(store.take_in(intake([firing("a", 10)])).await.unwrap(), nothing(1));
}

/// A silence, a lost notification, `send_resolved: false`: without this the alert would be swallowed for ever.
async fn a_later_start_while_the_end_was_never_heard_is_a_new_episode(store: Shared) {
    let first = store.take_in(intake([firing("a", 10)])).await.unwrap().opened.remove(0);
    assert_eq!(store.take_in(intake([firing("a", 12)])).await.unwrap().joined, 1, "it is open still");
    let claim = store.claim("me", std::time::Duration::from_secs(60)).await.unwrap().remove(0);
    store.append(&claim, 2, closed(), None).await.unwrap();
    assert_eq!(claim.incident, first);
    assert_eq!(store.take_in(intake([firing("a", 12)])).await.unwrap(), nothing(1), "answered already");
    assert_eq!(store.take_in(intake([firing("a", 30)])).await.unwrap().opened.len(), 1);
}

async fn a_late_copy_of_an_ended_episode_opens_nothing(store: Shared) {
    let opened = store.take_in(intake([firing("a", 10)])).await.unwrap().opened;
    store.take_in(intake([resolved("a", 10, 20)])).await.unwrap();
    for late in [10, 5, 20] {
        assert_eq!(store.take_in(intake([firing("a", late)])).await.unwrap(), nothing(1));
    }
    assert_eq!(names(&store, &opened[0]).await, ["opened", "alerts_resolved"]);
}

async fn resolved_before_firing_opens_nothing(store: Shared) {
    assert_eq!(store.take_in(intake([resolved("a", 10, 20)])).await.unwrap(), nothing(0));
    assert_eq!(store.take_in(intake([firing("a", 10)])).await.unwrap(), nothing(1));
    assert_eq!(store.take_in(intake([firing("a", 30)])).await.unwrap().opened.len(), 1);
}

async fn a_late_resolved_does_not_end_a_newer_episode(store: Shared) {
    store.take_in(intake([firing("a", 10)])).await.unwrap();
    store.take_in(intake([resolved("a", 10, 20)])).await.unwrap();
    store.take_in(intake([firing("a", 30)])).await.unwrap();
    assert_eq!(store.take_in(intake([resolved("a", 10, 20)])).await.unwrap(), nothing(1));
    assert_eq!(store.take_in(intake([resolved("a", 30, 40)])).await.unwrap().resolved, 1);
}

async fn a_newer_start_keeps_a_late_end_from_ending_the_episode(store: Shared) {
    store.take_in(intake([firing("a", 10)])).await.unwrap();
    assert_eq!(store.take_in(intake([firing("a", 30)])).await.unwrap().joined, 1, "the end was not heard");
    assert_eq!(store.take_in(intake([resolved("a", 10, 20)])).await.unwrap(), nothing(1));
    assert_eq!(store.take_in(intake([resolved("a", 30, 40)])).await.unwrap().resolved, 1);
}

async fn resolved_ends_the_episode_once(store: Shared) {
    let opened = store.take_in(intake([firing("a", 10)])).await.unwrap().opened;
    assert_eq!(store.take_in(intake([resolved("a", 10, 20)])).await.unwrap().resolved, 1);
    for copy in [resolved("a", 10, 20), resolved("a", 10, 25), resolved("a", 10, 15)] {
        assert_eq!(store.take_in(intake([copy])).await.unwrap(), nothing(1));
    }
    // A whole episode of which only the end was heard: its firing copy is late, too.
    assert_eq!(store.take_in(intake([resolved("a", 30, 40)])).await.unwrap(), nothing(0));
    assert_eq!(store.take_in(intake([firing("a", 30)])).await.unwrap(), nothing(1));
    assert_eq!(names(&store, &opened[0]).await, ["opened", "alerts_resolved"]);
}

async fn a_mixed_group_joins_and_resolves(store: Shared) {
    let opened = store.take_in(intake([firing("a", 10), firing("b", 10), firing("c", 10)])).await.unwrap();
    let mixed = intake([resolved("a", 10, 20), firing("b", 10), resolved("c", 10, 20), firing("d", 20)]);
    let receipt = store.take_in(mixed).await.unwrap();
    assert_eq!((receipt.joined, receipt.resolved, receipt.repeated), (1, 2, 1));
    let events = store.events(&opened.opened[0], 1).await.unwrap();
    let Event::AlertsJoined { alerts, more: 0 } = &events[0].event else { panic!("{events:?}") };
    assert_eq!(alerts[0].labels.get("pod"), "d");
    let Event::AlertsResolved { fingerprints } = &events[1].event else { panic!("{events:?}") };
    assert_eq!(fingerprints.len(), 2);
    assert_eq!((events[0].seq, events[1].seq, events.len()), (2, 3, 2));
}

async fn a_group_sent_again_for_one_new_alert_joins_that_alone(store: Shared) {
    let opened = store.take_in(intake([firing("a", 10), firing("b", 10)])).await.unwrap().opened;
    let receipt = store.take_in(intake([firing("a", 10), firing("b", 10), firing("c", 12)])).await.unwrap();
    assert_eq!((receipt.opened.len(), receipt.joined, receipt.repeated), (0, 1, 2));
    let events = store.events(&opened[0], 1).await.unwrap();
    let Event::AlertsJoined { alerts, .. } = &events[0].event else { panic!("{events:?}") };
    assert_eq!(alerts.len(), 1);
}

async fn firing_and_resolved_of_one_alert_count_in_their_order(store: Shared) {
    let both = || intake([firing("a", 10), resolved("a", 10, 20), firing("a", 30)]);
    let receipt = store.take_in(both()).await.unwrap();
    assert_eq!((receipt.opened.len(), receipt.resolved, receipt.joined), (1, 1, 1));
    assert_eq!(names(&store, &receipt.opened[0]).await, ["opened", "alerts_resolved", "alerts_joined"]);
    assert_eq!(store.take_in(both()).await.unwrap(), nothing(3));
}

async fn an_episode_stays_answered_after_its_incident_is_closed(store: Shared) {
    let claim = super::incident(&store, "shop").await;
    store.append(&claim, 1, closed(), None).await.unwrap();
    assert_eq!(store.take_in(in_scope("shop", [firing("shop", 10)])).await.unwrap(), nothing(1));
    // The next alert of the scope opens another incident, with that alert alone.
    let next = store.take_in(in_scope("shop", [firing("shop", 10), firing("b", 10)])).await.unwrap();
    assert_eq!((next.opened.len(), next.repeated), (1, 1));
    let resolved = store.take_in(in_scope("shop", [resolved("shop", 10, 20)])).await.unwrap();
    assert_eq!(resolved.resolved, 0, "its incident is closed");
}

async fn a_second_runbook_answers_an_episode_that_is_open_already(store: Shared) {
    store.take_in(intake([firing("a", 10)])).await.unwrap();
    let both = || {
        let by = vec![by("restart", "shop"), by("scale", "shop")];
        Intake { answered: vec![Answered { alert: firing("a", 10), by }], ..Intake::default() }
    };
    assert_eq!(store.take_in(both()).await.unwrap().opened.len(), 1);
    assert_eq!(store.take_in(both()).await.unwrap(), nothing(1));
    let receipt = store.take_in(intake([resolved("a", 10, 20)])).await.unwrap();
    assert_eq!(receipt.resolved, 1, "one alert, in both incidents");
    for incident in store.incidents(true, 10).await.unwrap() {
        assert_eq!(names(&store, &incident.id).await, ["opened", "alerts_resolved"]);
    }
}

async fn a_storm_keeps_500_alerts_and_the_number_of_the_rest(store: Shared) {
    let mut storm = intake((0..1203).map(|pod| firing(&pod.to_string(), 10)));
    storm.truncated = 7;
    let receipt = store.take_in(storm).await.unwrap();
    let events = store.events(&receipt.opened[0], 0).await.unwrap();
    let Event::Opened(opened) = &events[0].event else { panic!("{events:?}") };
    assert_eq!((opened.alerts.len(), opened.more, opened.truncated), (500, 703, 7));
    let all = intake((0..1203).map(|pod| resolved(&pod.to_string(), 10, 20)));
    assert_eq!(store.take_in(all).await.unwrap().resolved, 1203);
    let events = store.events(&receipt.opened[0], 1).await.unwrap();
    let [Event::AlertsResolved { fingerprints }] = [&events[0].event] else { panic!("{events:?}") };
    assert_eq!(fingerprints.len(), 1203);
}

async fn alerts_of_several_scopes_open_an_incident_each(store: Shared) {
    let answered = ["a", "b", "c"].map(|scope| Answered {
        alert: firing(scope, 10),
        by: vec![by("restart", scope), by("scale", "everywhere")],
    });
    let receipt = store.take_in(Intake { answered: answered.into(), ..Intake::default() }).await.unwrap();
    assert_eq!((receipt.opened.len(), receipt.joined, receipt.repeated), (4, 0, 0));
    let open = store.incidents(true, 10).await.unwrap();
    let scale = open.iter().find(|summary| summary.runbook == "scale").unwrap();
    let events = store.events(&scale.id, 0).await.unwrap();
    let Event::Opened(opened) = &events[0].event else { panic!("{events:?}") };
    assert_eq!(opened.alerts.len(), 3);
    assert!(opened.deadline > events[0].at);
}

fn suppressed(alerts: impl IntoIterator<Item = Alert>) -> Intake {
    let one = |alert: Alert| Suppressed {
        fingerprint: alert.fingerprint,
        labels: alert.labels,
        why: Some("silenced in Alertmanager by ana".to_owned()),
    };
    Intake { suppressed: alerts.into_iter().map(one).collect(), ..Intake::default() }
}

async fn a_suppressed_alert_leaves_its_incident_and_the_same_beginning_is_answered_anew(store: Shared) {
    let first = store.take_in(intake([firing("a", 10), firing("b", 10)])).await.unwrap().opened.remove(0);
    let receipt =
        store.take_in(suppressed([firing("a", 10), firing("b", 10), firing("c", 10)])).await.unwrap();
    assert_eq!(receipt, Receipt { suppressed: 2, ..Receipt::default() });
    let events = store.events(&first, 1).await.unwrap();
    let [Event::AlertsSuppressed { fingerprints, why }] = [&events[0].event] else { panic!("{events:?}") };
    assert_eq!((fingerprints.len(), why.as_str()), (2, "silenced in Alertmanager by ana"));
    assert_eq!(store.take_in(suppressed([firing("a", 10)])).await.unwrap(), Receipt::default(), "once");
    // A notification that was still on its way, or one after the end of the silence: into the open incident.
    let again = store.take_in(intake([firing("a", 10)])).await.unwrap();
    assert_eq!((again.opened.len(), again.joined, again.repeated), (0, 1, 0));
    // Its end, if it resolves while it is suppressed, is news to nobody.
    assert_eq!(store.take_in(intake([resolved("b", 10, 20)])).await.unwrap().resolved, 0);
    let claim = store.claim("me", std::time::Duration::from_secs(60)).await.unwrap().remove(0);
    let seq = store.incident(&first).await.unwrap().seq;
    store.take_in(suppressed([firing("a", 10)])).await.unwrap();
    store.append(&claim, seq + 1, closed(), None).await.unwrap();
    assert_eq!(store.take_in(intake([firing("a", 10)])).await.unwrap().opened.len(), 1, "a new incident");
}

async fn a_suppression_says_nothing_to_an_incident_that_is_closed(store: Shared) {
    let claim = super::incident(&store, "shop").await;
    store.append(&claim, 1, closed(), None).await.unwrap();
    assert_eq!(store.take_in(suppressed([firing("shop", 10)])).await.unwrap(), Receipt::default());
    assert_eq!(names(&store, &claim.incident).await.len(), 2);
    // It was answered, and a silence does not make it news.
    assert_eq!(store.take_in(in_scope("shop", [firing("shop", 10)])).await.unwrap(), nothing(1));
}

async fn a_suppressed_alert_leaves_every_incident_that_answers_it(store: Shared) {
    let by = vec![by("restart", "shop"), by("scale", "shop")];
    let both = Intake { answered: vec![Answered { alert: firing("a", 10), by }], ..Intake::default() };
    assert_eq!(store.take_in(both).await.unwrap().opened.len(), 2);
    assert_eq!(store.take_in(suppressed([firing("a", 10)])).await.unwrap().suppressed, 1);
    for incident in store.incidents(true, 10).await.unwrap() {
        assert_eq!(names(&store, &incident.id).await, ["opened", "alerts_suppressed"]);
    }
}

/// Alertmanager's API tells milliseconds, its webhook up to nine digits.
async fn a_beginning_is_the_same_to_the_millisecond(store: Shared) {
    let at = |nanoseconds: i32| {
        let alert = firing("a", 10);
        let starts_at = alert.starts_at + jiff::SignedDuration::new(0, nanoseconds);
        Alert { starts_at, ..alert }
    };
    store.take_in(intake([at(123_000_000)])).await.unwrap();
    assert_eq!(store.take_in(intake([at(123_456_000)])).await.unwrap(), nothing(1));
    assert_eq!(store.take_in(intake([at(123_000_000)])).await.unwrap(), nothing(1));
    assert_eq!(store.take_in(intake([at(124_000_000)])).await.unwrap().joined, 1);
}

async fn the_receipt_names_what_was_taken(store: Shared) {
    let taken =
        |receipt: Receipt| receipt.taken.into_iter().map(|fingerprint| fingerprint.0).collect::<Vec<_>>();
    let of = |pods: &[&str]| pods.iter().map(|pod| firing(pod, 10).fingerprint.0).collect::<Vec<_>>();
    assert_eq!(taken(store.take_in(intake([firing("a", 10)])).await.unwrap()), of(&["a"]));
    let receipt = store.take_in(intake([firing("b", 10), firing("a", 10), firing("c", 10)])).await.unwrap();
    assert_eq!(taken(receipt), of(&["b", "c"]));
}
