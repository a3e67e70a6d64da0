//! Holds what was seen against what must come true.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Afterwards, ExpectedIncident, Scenario};
use crate::chaos::report::Checked;
use crate::incident::drill::Rehearsed;
use crate::incident::refusal::Guard;
use crate::incident::{IncidentId, Outcome};
use crate::runbook::Action;
use crate::text::{count, span};

/// What was seen after the fault. Durations are at the pace of reality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The alert that fired, of those that should, and how long after the fault; none: none did.
    pub alert: Option<(String, Duration)>,
    /// All was well again before an alert could fire.
    pub healed_first: bool,
    /// Every incident that was opened, except those that put something back.
    pub incidents: Vec<SeenIncident>,
    /// What was put back; none: nothing was.
    pub put_back: Option<PutBack>,
    /// How many changes the cluster saw.
    pub changes: usize,
    /// How it is in the end.
    pub health: Health,
    /// The faults that were not made, because the run ended before.
    pub not_made: Vec<String>,
    /// So much longer than expected everything may take: the machine is busy.
    pub grace: Duration,
    /// The incidents whose end people were not told of; none: it can not be seen whom Slack has told.
    pub untold: Option<Vec<IncidentId>>,
}

/// What the checks of the steady state say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// All hold.
    Well,
    /// Some do not.
    Unwell(String),
    /// None fails, and some could not be answered.
    Unknown(String),
}

impl Health {
    /// What does not hold, or is not known.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Well => None,
            Self::Unwell(why) | Self::Unknown(why) => Some(why),
        }
    }
}

/// An incident that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenIncident {
    /// Its id.
    pub id: IncidentId,
    /// The runbook that answered.
    pub runbook: String,
    /// How it ended; none: it did not.
    pub outcome: Option<Outcome>,
    /// Why, in the words of its end.
    pub why: Option<String>,
    /// What was done, in its order; in a drill, what would have been done.
    pub actions: Vec<Action>,
    /// In a drill: what was said to that.
    pub rehearsed: Vec<Rehearsed>,
    /// Who said no.
    pub refused_by: BTreeSet<Guard>,
    /// The runbooks that it stood back behind.
    pub stood_back_behind: BTreeSet<String>,
    /// When it was confirmed, after the fault.
    pub confirmed: Option<Duration>,
    /// When the first change was asked for.
    pub acted: Option<Duration>,
    /// When it was closed.
    pub closed: Option<Duration>,
}

impl SeenIncident {
    /// One of which nothing has been seen yet.
    #[must_use]
    pub const fn new(id: IncidentId, runbook: String) -> Self {
        Self {
            id,
            runbook,
            outcome: None,
            why: None,
            actions: Vec::new(),
            rehearsed: Vec::new(),
            refused_by: BTreeSet::new(),
            stood_back_behind: BTreeSet::new(),
            confirmed: None,
            acted: None,
            closed: None,
        }
    }
}

/// Something that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBack {
    /// How long after the first change it was begun.
    pub after: Duration,
    /// How that ended.
    pub outcome: Option<Outcome>,
}

impl Scenario {
    /// Holds what was seen against what must come true.
    #[must_use]
    pub fn judge(&self, seen: &Seen) -> Vec<Checked> {
        let mut all = Vec::new();
        all.extend(self.alert(seen));
        self.incidents(seen, &mut all);
        if let Some(untold) = &seen.untold
            && (!seen.healed_first || !seen.incidents.is_empty())
        {
            told(seen, untold, &mut all);
        }
        all.extend(self.put_back(seen));
        if let Some(changes) = self.expect.changes {
            let words = |number: usize| count(number as u64, "change", "changes");
            all.push(Checked {
                holds: seen.changes == changes,
                expected: format!("{} in the cluster", words(changes)),
                found: words(seen.changes),
            });
        }
        let (holds, expected) = match self.expect.afterwards {
            Afterwards::Steady => (seen.health == Health::Well, "the steady state holds again"),
            // What nobody can say is neither.
            Afterwards::Broken => {
                (matches!(seen.health, Health::Unwell(_)), "it is not well: that is a person's")
            }
            Afterwards::Either => (true, "it may be well or not"),
        };
        let found = match &seen.health {
            Health::Well => "all of it holds".to_owned(),
            Health::Unwell(why) => why.clone(),
            Health::Unknown(why) => format!("nobody can say: {why}"),
        };
        all.push(Checked { holds, expected: expected.to_owned(), found });
        all.extend(seen.not_made.iter().map(|fault| Checked {
            holds: false,
            expected: fault.clone(),
            found: "the run ended before that was broken".to_owned(),
        }));
        all
    }

    /// What must come true, for people.
    #[must_use]
    pub fn wants(&self) -> Vec<String> {
        let nothing = Seen {
            alert: None,
            healed_first: false,
            incidents: Vec::new(),
            put_back: None,
            changes: 0,
            health: Health::Well,
            not_made: Vec::new(),
            grace: Duration::ZERO,
            untold: Some(Vec::new()),
        };
        let mut all: Vec<String> = self.judge(&nothing).into_iter().map(|checked| checked.expected).collect();
        for wanted in &self.expect.incidents {
            let incident = SeenIncident::new(IncidentId::new(0, 0), wanted.runbook.clone());
            let at = all.iter().position(|text| *text == expected_end(wanted)).map_or(all.len(), |at| at + 1);
            let more = deeds(wanted, &incident).into_iter().map(|checked| checked.expected);
            all.splice(at..at, more);
        }
        all
    }

    fn alert(&self, seen: &Seen) -> Option<Checked> {
        let wanted = self.expect.alert.as_ref()?;
        let or_heals = if wanted.may_heal_first { ", or all is well before" } else { "" };
        let expected =
            format!("{} fires within {}{or_heals}", wanted.one_of.join(" or "), span(wanted.within));
        Some(match &seen.alert {
            Some((name, after)) => Checked {
                holds: wanted.one_of.contains(name) && *after <= wanted.within + seen.grace,
                expected,
                found: format!("{name} after {}", span(*after)),
            },
            None if seen.healed_first => Checked {
                holds: wanted.may_heal_first,
                expected,
                found: "well again, and no alert fired".to_owned(),
            },
            None => Checked { holds: false, expected, found: "none of them fired".to_owned() },
        })
    }

    /// Each that is expected is held against the first of its runbook that nothing else was held against. Where nobody was needed, one that is
    /// expected may be missing, and whatever is there must be as expected all the same.
    fn incidents(&self, seen: &Seen, all: &mut Vec<Checked>) {
        let mut left: Vec<&SeenIncident> = seen.incidents.iter().collect();
        for wanted in &self.expect.incidents {
            let at = left
                .iter()
                .position(|incident| one(wanted, incident, seen.grace).holds)
                .or_else(|| left.iter().position(|incident| incident.runbook == wanted.runbook));
            match at.map(|at| left.remove(at)) {
                Some(incident) => {
                    all.push(one(wanted, incident, seen.grace));
                    all.extend(deeds(wanted, incident));
                }
                None if seen.healed_first => {}
                None => all.push(Checked {
                    holds: false,
                    expected: expected_end(wanted),
                    found: "no such incident".to_owned(),
                }),
            }
        }
        left.retain(|incident| !self.expect.others.contains(&incident.runbook));
        let number = self.expect.incidents.len() as u64;
        let besides = if self.expect.others.is_empty() {
            String::new()
        } else {
            format!(" but of {}", self.expect.others.join(", "))
        };
        let names: Vec<String> = left.iter().map(|incident| incident.runbook.clone()).collect();
        all.push(Checked {
            holds: left.is_empty(),
            expected: format!("{}, and none{besides} besides", count(number, "incident", "incidents")),
            found: match names.as_slice() {
                [] => "none besides".to_owned(),
                names => format!("{} besides: {}", names.len(), names.join(", ")),
            },
        });
    }

    fn put_back(&self, seen: &Seen) -> Option<Checked> {
        let stays = self.expect.put_back_after?;
        let found = match &seen.put_back {
            None => "nothing was put back".to_owned(),
            Some(PutBack { after, outcome }) => {
                format!("after {}: {}", span(*after), outcome.map_or("no end", Outcome::as_str))
            }
        };
        let holds = matches!(
            &seen.put_back,
            Some(PutBack { after, outcome: Some(Outcome::Recovered) }) if *after >= stays
        );
        let expected = format!("after {} it is put back, and that ends as recovered", span(stays));
        Some(Checked { holds, expected, found })
    }
}

fn told(seen: &Seen, untold: &[IncidentId], all: &mut Vec<Checked>) {
    let closed = seen.incidents.iter().filter(|incident| incident.outcome.is_some()).count();
    let untold: Vec<&str> = untold.iter().map(IncidentId::as_str).collect();
    all.push(Checked {
        holds: untold.is_empty() && closed > 0,
        expected: "people are told of every end in Slack".to_owned(),
        found: match (closed, untold.as_slice()) {
            (0, _) => "nothing has ended".to_owned(),
            (_, []) => "all were told".to_owned(),
            (_, untold) => format!("not of {}", untold.join(", ")),
        },
    });
}

fn expected_end(wanted: &ExpectedIncident) -> String {
    let outcomes: Vec<&str> = wanted.outcomes.iter().map(|outcome| outcome.as_str()).collect();
    format!("{} ends as {} within {}", wanted.runbook, outcomes.join(" or "), span(wanted.within))
}

fn one(wanted: &ExpectedIncident, incident: &SeenIncident, grace: Duration) -> Checked {
    let in_time = incident.closed.is_some_and(|closed| closed <= wanted.within + grace);
    let ends_so = incident.outcome.is_some_and(|outcome| wanted.outcomes.contains(&outcome));
    let why = incident.why.as_deref().filter(|_| !ends_so);
    let found = match (incident.outcome, incident.closed) {
        (Some(outcome), Some(closed)) => {
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            format!("{outcome} after {}{why}", span(closed))
        }
        _ => "no end".to_owned(),
    };
    let holds = incident.runbook == wanted.runbook && ends_so && in_time;
    Checked { holds, expected: expected_end(wanted), found }
}

fn deeds(wanted: &ExpectedIncident, incident: &SeenIncident) -> Vec<Checked> {
    let words = |actions: &[Action]| match actions {
        [] => "nothing".to_owned(),
        actions => actions.iter().map(|action| action.as_str()).collect::<Vec<_>>().join(", then "),
    };
    let mut all = vec![Checked {
        holds: incident.actions == wanted.actions,
        expected: format!("it does {}", words(&wanted.actions)),
        found: words(&incident.actions),
    }];
    if !wanted.refused_by.is_empty() {
        let names = |guards: &mut dyn Iterator<Item = &Guard>| {
            guards.map(|guard| guard.as_str()).collect::<Vec<_>>().join(", ")
        };
        let found = names(&mut incident.refused_by.iter());
        all.push(Checked {
            holds: wanted.refused_by.iter().all(|guard| incident.refused_by.contains(guard)),
            expected: format!("it is refused by {}", names(&mut wanted.refused_by.iter())),
            found: if found.is_empty() { "nobody refused".to_owned() } else { found },
        });
    }
    if !incident.rehearsed.is_empty() {
        let fails =
            |said: &&Rehearsed| matches!(said, Rehearsed::Refused { .. } | Rehearsed::Unanswered { .. });
        let words: Vec<String> = incident.rehearsed.iter().map(ToString::to_string).collect();
        all.push(Checked {
            holds: !incident.rehearsed.iter().any(|said| fails(&said)),
            expected: "what it would do passes its rehearsal".to_owned(),
            found: words.join("; "),
        });
    }
    if let Some(behind) = &wanted.stands_back_behind {
        let found = incident.stood_back_behind.iter().cloned().collect::<Vec<_>>().join(", ");
        all.push(Checked {
            holds: incident.stood_back_behind.contains(behind),
            expected: format!("it stands back behind {behind}"),
            found: if found.is_empty() {
                "it did not stand back".to_owned()
            } else {
                format!("behind {found}")
            },
        });
    }
    all
}
