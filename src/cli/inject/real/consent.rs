//! Whether it is meant. Faults want the names of the cluster and of the namespace typed: who types them has read them.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::{RealArgs, Session};
use crate::chaos::scenario::Scenario;
use crate::cli::output::note;
use crate::cli::paint::{Tone, harmless};
use crate::cli::teller::Teller;
use crate::incident::proof::Level;
use crate::text::span;

/// What a person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli::inject) enum Answer {
    /// Yes.
    Meant,
    /// No, or something else than what was asked for; it was said why nothing is done.
    NotMeant,
}

/// Says what would be done, and asks.
pub(super) async fn ask(
    session: &Session,
    args: &RealArgs,
    scenarios: &[&Scenario],
    teller: &Teller,
) -> anyhow::Result<Answer> {
    let (cluster, namespace) = (&session.called.cluster, &session.ground.namespace);
    // A wrong name is no question any more: somebody is in another place than they believe.
    for (option, given, there) in
        [("--cluster", &args.cluster, cluster), ("--namespace", &args.namespace, namespace)]
    {
        if let Some(given) = given.as_ref().filter(|given| *given != there) {
            return Ok(no(&format!(
                "{option} says {given:?}, and the target means {there:?}; nothing was done, look at `kubectl config current-context` and at the target"
            )));
        }
    }
    said(session, scenarios, teller).await?;
    match session.level {
        Level::Fault => names(args, (cluster, namespace)),
        _ if args.yes => Ok(Answer::Meant),
        _ => typed("Type the name of the namespace to fire it", namespace),
    }
}

/// What would be done.
async fn said(session: &Session, scenarios: &[&Scenario], teller: &Teller) -> anyhow::Result<()> {
    teller.title(&format!("What would happen in {}", session.place()))?;
    for scenario in scenarios {
        let drill = session.drill(scenario)?;
        if let Some(synthetic) = scenario.synthetic.as_ref().filter(|_| session.level == Level::Alert) {
            teller.say(
                Tone::Bad,
                "fires",
                &format!("{} (scenario {})", synthetic.alertname(), scenario.name),
            )?;
            for lines in &synthetic.lines {
                teller.out([format!("{:21}and before it {}", "", harmless(&lines.to_string()))])?;
            }
            teller.out([format!(
                "{:21}whoever Alertmanager sends it to hears of it, too; nothing is changed",
                ""
            )])?;
            continue;
        }
        for (number, broken) in scenario.real.iter().enumerate() {
            let planned = drill.plan(number).await?;
            let after =
                if broken.wait.is_zero() { String::new() } else { format!(", {} later", span(broken.wait)) };
            teller.say(
                Tone::Bad,
                "breaks",
                &format!("{}{after} (scenario {})", planned.says, scenario.name),
            )?;
            let more = planned.touches.iter().chain([&planned.undo_says]);
            teller.out(more.map(|text| format!("{:21}{}", "", harmless(text))))?;
        }
    }
    Ok(())
}

fn names(args: &RealArgs, (cluster, namespace): (&str, &str)) -> anyhow::Result<Answer> {
    if args.yes {
        return Ok(match (&args.cluster, &args.namespace) {
            (Some(_), Some(_)) => Answer::Meant,
            _ => no("--yes wants the names, too: give --cluster NAME and --namespace NAME; nothing was done"),
        });
    }
    if args.cluster.is_none() && typed("Type the name of the cluster", cluster)? == Answer::NotMeant {
        return Ok(Answer::NotMeant);
    }
    if args.namespace.is_some() && args.cluster.is_some() {
        return typed("Type the name of the namespace once more", namespace);
    }
    typed("Type the name of the namespace to break it", namespace)
}

/// Whether the next line is this name.
fn typed(question: &str, name: &str) -> anyhow::Result<Answer> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(no(
            "there is no terminal to ask on, so nothing was done; say with --yes, --cluster and --namespace that it is meant",
        ));
    }
    {
        let mut out = io::stderr().lock();
        write!(out, "\n{question}: ")?;
        out.flush()?;
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    if line.trim() == name {
        return Ok(Answer::Meant);
    }
    Ok(no(&format!("{:?} is not {name:?}; nothing was done", harmless(line.trim()))))
}

fn no(why: &str) -> Answer {
    note(&format!("runbookd: {why}"));
    Answer::NotMeant
}
