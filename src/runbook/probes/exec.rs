//! Reads the questions that run a program in a container.

use super::super::exec::{BY_POD, Exec, ExecProbe, Pods};
use super::super::names::{Names, Scope, is_container};
use super::super::{Probe, Template};
use super::{CountBy, counting, namespace, no_window, optional};
use crate::yaml::{Faults, Field, Fields, Value};

/// Nobody writes longer ones by hand.
const LONGEST: usize = 1024;
const MOST_WORDS: usize = 32;
const EXAMPLE: &str = "exec: [cat, /proc/net/tcp]";

pub(super) fn exec(
    field: Field<'_>,
    fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> (Option<Probe>, CountBy) {
    let what = argv(field, faults).map(Exec::Lines);
    rest(field, what, fields, scope, names, faults)
}

pub(super) fn connections(
    field: Field<'_>,
    fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> (Option<Probe>, CountBy) {
    let port = field.whole(1, faults).and_then(|port| {
        let port = u16::try_from(port).ok();
        if port.is_none() {
            let hint = "5432 is PostgreSQL's";
            field.wrong("expected a port of at most 65535", Some(hint.to_owned()), faults);
        }
        port
    });
    rest(field, port.map(Exec::Connections), fields, scope, names, faults)
}

fn rest(
    kind: Field<'_>,
    what: Option<Exec>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> (Option<Probe>, CountBy) {
    // Whatever is asked again and again, or by everybody, must not start processes in the containers of an outage.
    if scope != Scope::Target {
        let message = format!(
            "`{}` here, where it would be asked again and again; expected it in the `probes` of a `diagnose` step, or in `when`",
            kind.name
        );
        let hint = "it starts a process in the container, and is for what people want to know before a step";
        faults.add(kind.key, message, Some(hint.to_owned()));
    }
    let namespace = namespace(&mut fields, scope, names, faults);
    let deployment: Option<Option<Template>> = optional("deployment", &mut fields, scope, names, faults);
    let container = match fields.get("container") {
        Some(field) => container(field, faults).map(Some),
        None => Some(None),
    };
    let of = match fields.get("of") {
        Some(field) => field.word(&Pods::ALL, Pods::as_str, faults),
        None => Some(Pods::Every),
    };
    no_window(kind.name, &mut fields, faults);
    let by_pod = |field: Field<'_>, faults: &mut Faults| {
        let word = field.word(&[BY_POD], |word| word, faults);
        word.map_or(CountBy::Unreadable, |word| CountBy::Label(word.to_owned()))
    };
    let (count_by, threshold) = counting(fields, by_pod, faults);
    let by_pod = count_by != CountBy::None;
    let probe = (|| {
        Some(Probe::Exec(ExecProbe {
            what: what?,
            namespace: namespace?,
            deployment: deployment?,
            container: container?,
            of: of?,
            by_pod,
            threshold: threshold?,
        }))
    })();
    if let Some(probe) = &probe {
        names.object(probe, kind.place(), faults);
    }
    (probe, count_by)
}

/// The words of the program's argv, as they are handed over: no shell reads them, and nothing is filled in.
pub fn argv(field: Field<'_>, faults: &mut Faults) -> Option<Vec<String>> {
    if matches!(&field.node.value, Value::Scalar(_)) {
        let hint = "no shell reads it: every argument is an item of its own";
        field.wrong(&format!("expected a list such as {EXAMPLE}"), Some(hint.to_owned()), faults);
        return None;
    }
    let items = field.list(EXAMPLE, faults)?;
    if items.is_empty() || items.len() > MOST_WORDS {
        field.wrong(&format!("expected from 1 to {MOST_WORDS} words"), None, faults);
        return None;
    }
    let before = faults.count();
    let mut words = Vec::new();
    for item in items {
        let Some(text) = item.string(faults) else { continue };
        if text.contains("${") {
            let hint = "what an alert says must never become a part of a command: write the word out";
            item.wrong("expected text without `${`", Some(hint.to_owned()), faults);
        } else if text.len() > LONGEST || text.chars().any(char::is_control) {
            let expected = format!("expected one line of at most {LONGEST} bytes without control characters");
            item.wrong(&expected, None, faults);
        } else {
            words.push(text);
        }
    }
    (faults.count() == before).then_some(words)
}

fn container(field: Field<'_>, faults: &mut Faults) -> Option<String> {
    let name = field.string(faults)?;
    if !is_container(&name) {
        let expected = "expected a container's name: small letters, digits and `-` between them, at most 63";
        field.wrong(expected, None, faults);
        return None;
    }
    Some(name)
}
