//! What may be concluded from Alertmanager's answers, and above all what may not.

use jiff::Timestamp;

use super::memory::{Conclusions, Memory, Rules};
use super::*;
use crate::alert::Status;
use crate::clients::alertmanager::Alerts;

const RULES: Rules<'static> =
    Rules { receiver: "runbookd", grace: Duration::from_mins(6), settled: Duration::from_mins(5) };

/// So many minutes after the beginning of this story.
fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + 60 * minutes).unwrap()
}

fn listed(name: &str) -> Listed {
    let labels = Labels::from([("alertname", name)]);
    Listed {
        fingerprint: labels.fingerprint().0,
        labels: labels.0,
        annotations: BTreeMap::new(),
        starts_at: at(-600),
        generator_url: String::new(),
        receivers: vec!["pager".to_owned(), "runbookd".to_owned()],
        active: true,
        silenced_by: Vec::new(),
        inhibited_by: Vec::new(),
        muted_by: Vec::new(),
    }
}

fn silenced(name: &str) -> Listed {
    Listed { active: false, silenced_by: vec!["5ab43f1c".to_owned()], ..listed(name) }
}

/// An Alertmanager that has run for a day.
fn answer(minute: i64, all: impl IntoIterator<Item = Listed>) -> Answer {
    let alerts = Alerts { all: all.into_iter().collect(), unreadable: 0 };
    Answer { asked_at: at(minute), running_since: at(-1440), mutes: false, alerts }
}

fn open<const N: usize>(names: [&str; N]) -> BTreeMap<Fingerprint, Alert> {
    let alert = |name| {
        let labels = Labels::from([("alertname", name)]);
        let fingerprint = labels.fingerprint();
        let alert = Alert {
            status: Status::Firing,
            labels,
            annotations: Labels::default(),
            starts_at: at(-600),
            ends_at: None,
            generator_url: String::new(),
            fingerprint: fingerprint.clone(),
        };
        (fingerprint, alert)
    };
    names.into_iter().map(alert).collect()
}

/// `due a, quiet b; gone c; suppressed d`, as far as there are any.
fn told(conclusions: &Conclusions) -> String {
    let due = conclusions.due.iter().map(|due| {
        let word = if due.was_quiet { "returned" } else { "lost" };
        format!("{word} {}", due.alert.name())
    });
    let gone = conclusions.gone.iter().map(|alert| format!("gone {}", alert.name()));
    let quiet =
        conclusions.suppressed.iter().map(|listed| format!("suppressed {}", listed.label("alertname")));
    due.chain(gone).chain(quiet).collect::<Vec<_>>().join(", ")
}

/// What is concluded from each answer.
fn story<const N: usize>(names: [&str; N], answers: impl IntoIterator<Item = Option<Answer>>) -> Vec<String> {
    let (mut memory, open) = (Memory::default(), open(names));
    let conclude = |answer: Option<Answer>| match answer {
        Some(answer) => told(&memory.conclude(RULES, &answer, &open)),
        None => {
            memory.was_not_answered();
            "no answer".to_owned()
        }
    };
    answers.into_iter().map(conclude).collect()
}

#[test]
fn what_was_seen_firing_for_longer_than_the_grace_is_lost() {
    let answers = (0..8).map(|minute| Some(answer(minute, [listed("a")])));
    assert_eq!(story([], answers), ["", "", "", "", "", "", "lost a", "lost a"]);
}

#[test]
fn an_answer_that_did_not_come_does_not_begin_the_grace_anew() {
    let answers = (0..8).map(|minute| (minute % 2 == 0).then(|| answer(minute, [listed("a")])));
    assert_eq!(story([], answers)[6], "lost a");
}

#[test]
fn what_an_incident_works_on_is_not_lost() {
    let answers = (0..9).map(|minute| Some(answer(minute, [listed("a"), listed("b")])));
    assert_eq!(story(["a"], answers).pop().unwrap(), "lost b");
}

#[test]
fn what_is_routed_to_others_is_nobody_s_to_take_in() {
    let elsewhere = || Listed { receivers: vec!["pager".to_owned(), "runbookd2".to_owned()], ..listed("a") };
    let answers = (0..20).map(|minute| Some(answer(minute, [elsewhere()])));
    assert!(story([], answers).iter().all(String::is_empty));
}

#[test]
fn what_is_suppressed_is_not_lost_and_the_grace_begins_when_that_ends() {
    let answers = (0..20).map(|minute| {
        let alert = if (5..12).contains(&minute) { silenced("a") } else { listed("a") };
        Some(answer(minute, [alert]))
    });
    let told = story([], answers);
    assert!(told[..18].iter().all(String::is_empty), "{told:?}");
    assert_eq!(told[18], "returned a");
}

#[test]
fn after_its_start_alertmanager_gets_the_time_to_say_it_itself() {
    let answers = (0..10).map(|minute| {
        let running_since = if minute < 5 { at(-1440) } else { at(5) };
        Some(Answer { running_since, ..answer(minute, [listed("a")]) })
    });
    assert!(story([], answers).iter().all(String::is_empty));
}

#[test]
fn missing_once_is_not_gone_and_twice_is() {
    let other = || listed("watchdog");
    let answers = [
        answer(0, [listed("a"), other()]),
        answer(1, [other()]),
        answer(2, [listed("a"), other()]),
        answer(3, [other()]),
        answer(4, [other()]),
    ];
    assert_eq!(story(["a", "watchdog"], answers.map(Some)), ["", "", "", "", "gone a"]);
}

#[test]
fn an_empty_list_says_nothing() {
    let answers = (0..9).map(|minute| Some(answer(minute, (minute == 0).then(|| listed("a")))));
    assert!(story(["a"], answers).iter().all(String::is_empty));
}

#[test]
fn a_list_with_a_hole_says_nothing_of_what_it_lacks() {
    let answers = (0..9).map(|minute| {
        let mut answer = answer(minute, (minute == 0).then(|| listed("a")).into_iter().chain([listed("b")]));
        answer.alerts.unreadable = usize::from(minute > 0);
        Some(answer)
    });
    assert!(story(["a", "b"], answers).iter().all(String::is_empty));
}

#[test]
fn a_young_alertmanager_says_nothing_of_what_it_lacks() {
    let answers = (0..9).map(|minute| {
        let running_since = if minute == 0 { at(-1440) } else { at(1) };
        let alerts = (minute == 0).then(|| listed("a")).into_iter().chain([listed("b")]);
        Some(Answer { running_since, ..answer(minute, alerts) })
    });
    let told = story(["a", "b"], answers);
    assert!(told[..7].iter().all(String::is_empty), "{told:?}");
    assert_eq!(told[7], "gone a", "it has run for 5 minutes, and lacks it twice");
}

#[test]
fn what_this_alertmanager_was_never_seen_to_have_is_not_gone() {
    let answers = (0..9).map(|minute| Some(answer(minute, [listed("b")])));
    assert!(story(["a", "b"], answers).iter().all(String::is_empty), "it may come from another one");
}

#[test]
fn between_two_missing_answers_there_is_none_that_did_not_come() {
    let other = || listed("b");
    let answers = [
        Some(answer(0, [listed("a"), other()])),
        Some(answer(1, [other()])),
        None,
        Some(answer(3, [other()])),
        Some(answer(4, [other()])),
    ];
    assert_eq!(story(["a", "b"], answers), ["", "", "no answer", "", "gone a"]);
}

#[test]
fn what_is_suppressed_is_known_from_one_answer_however_young_or_torn() {
    let mut torn = Answer { running_since: at(0), ..answer(0, [silenced("a"), silenced("c")]) };
    torn.alerts.unreadable = 3;
    assert_eq!(story(["a", "b"], [Some(torn)]), ["suppressed a"], "and c is in no incident");
}

#[test]
fn what_a_person_wrote_stands_on_one_short_line() {
    assert_eq!(shown(" a\n\u{1b}[31mb\u{2028}\tc "), "a [31mb c");
    assert_eq!(shown(&"x".repeat(1000)).chars().count(), SHOWN);
}
