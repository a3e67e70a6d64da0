//! Looks whether everything is there that a run needs, before anything is made up or broken. Each line says what was found, and what to do about what was not.

use anyhow::bail;

use super::Session;
use crate::api::wire::Status;
use crate::chaos::real::Refused;
use crate::cli::paint::Tone;
use crate::cli::teller::Teller;
use crate::clients::prometheus::Prometheus;
use crate::incident::proof::Level;
use crate::text::count;

/// What was found of one system, or why it can not be used and what to do.
type Found = Result<String, (String, String)>;

/// Asks everybody. The daemon's release, when all is well.
///
/// # Errors
/// When something is missing; it was said what.
pub(super) async fn look(session: &Session, teller: &Teller) -> anyhow::Result<String> {
    teller.title("Before anything is done")?;
    let mut missing = 0;
    let mut say = |name: &str, found: Found| match found {
        Ok(text) => teller.say(Tone::Good, name, &text),
        Err((why, help)) => {
            missing += 1;
            teller.say(Tone::Bad, name, &format!("{why}; {help}"))
        }
    };
    let status = daemon(session).await;
    let version = status.as_ref().map(|status| status.version.clone()).unwrap_or_default();
    say("daemon", status.and_then(|status| ready(session, &status)))?;
    say("kubectl", kubernetes(session).await)?;
    if session.level == Level::Fault {
        say("namespace", namespace(session).await)?;
    }
    if let Some(found) = aws(session).await {
        say("aws", found)?;
    }
    say("loki", found("Loki", "loki.url", session.config.loki.url.as_str(), session.loki.ping().await))?;
    if let Some(settings) = &session.config.prometheus {
        let there = match Prometheus::new(settings) {
            Ok(prometheus) => found("Prometheus", "prometheus.url", &settings.url, prometheus.ping().await),
            Err(error) => Err((error.to_string(), "set `prometheus.url` right in the target".to_owned())),
        };
        say("prometheus", there)?;
    }
    if let Some(there) = alertmanager(session).await {
        say("alerts", there)?;
    }
    if let Some(grafana) = &session.config.grafana {
        say("grafana", found("Grafana", "grafana.url", &grafana.url, grafana.ping().await))?;
    }
    if missing > 0 {
        bail!(
            "nothing was done: {} as it must be; what to do stands above",
            count(missing, "thing is not", "things are not")
        );
    }
    Ok(version)
}

fn found<E: std::fmt::Display>(name: &str, setting: &str, url: &str, there: Result<(), E>) -> Found {
    match there {
        Ok(()) => Ok(format!("{name} answers at {url}")),
        Err(error) => Err((
            error.to_string(),
            format!(
                "is `{setting}` of the target right, and is there a way from here (`kubectl port-forward`, a VPN)?"
            ),
        )),
    }
}

async fn daemon(session: &Session) -> Result<Status, (String, String)> {
    session.client.status::<Status>().await.map_err(|error| {
        (error.to_string(), "give --url and --token-file of the daemon that is put to the proof".to_owned())
    })
}

fn ready(session: &Session, status: &Status) -> Found {
    if let Some(pause) = &status.paused {
        return Err((
            format!("the daemon was paused by {}: {}", pause.by, pause.reason),
            "`runbookd resume` ends that; before that no drill begins".to_owned(),
        ));
    }
    let acts = match (session.level, status.ceiling) {
        (Level::Fault, ceiling) => format!("; its ceiling is {ceiling}, and what it may do it does"),
        _ => String::new(),
    };
    let loaded = count(status.runbooks.len() as u64, "runbook", "runbooks");
    Ok(format!("version {}, {loaded}{acts}", status.version))
}

async fn kubernetes(session: &Session) -> Found {
    let (context, cluster) = (&session.called.context, &session.called.cluster);
    let server = session.ground.kubernetes.server();
    match session.ground.kubernetes.ping().await {
        Ok(()) => Ok(format!("context {context}, cluster {cluster}, at {server}")),
        Err(error) => Err((
            error.to_string(),
            format!(
                "does `kubectl --context {context} version` answer? `kubernetes:` of the target names the kubeconfig and the context"
            ),
        )),
    }
}

async fn namespace(session: &Session) -> Found {
    let name = &session.ground.namespace;
    match session.ground.opted_in().await {
        Ok(()) => Ok(format!("{name} may be broken: its label says so")),
        Err(Refused::Rule { saw, expected, help }) => {
            Err((saw, help.unwrap_or_else(|| format!("expected {expected}"))))
        }
        Err(other) => Err((other.to_string(), "see `kubectl get namespace --show-labels`".to_owned())),
    }
}

async fn aws(session: &Session) -> Option<Found> {
    let aws = match crate::cli::serve::aws(&session.config).transpose()? {
        Ok(aws) => aws,
        Err(error) => return Some(Err((error.to_string(), "set `aws:` of the target right".to_owned()))),
    };
    Some(match aws.who().await {
        Ok(who) => Ok(format!("account {} as {}", who.account, who.arn)),
        Err(error) => Err((
            error.to_string(),
            "does `aws sts get-caller-identity` answer? `aws:` of the target names the profile or the file of credentials".to_owned(),
        )),
    })
}

async fn alertmanager(session: &Session) -> Option<Found> {
    let there = session.config.alertmanager.as_ref();
    let Some((alertmanager, there)) = session.alertmanager.as_ref().zip(there) else {
        // What fires is seen there alone.
        return (session.level == Level::Fault).then(|| {
            Err((
                "the target names no Alertmanager, where it is seen what fires".to_owned(),
                "add `alertmanager: {url: http://alertmanager:9093, receiver: runbookd}` to it".to_owned(),
            ))
        });
    };
    let url = &there.settings.url;
    Some(match alertmanager.receivers().await {
        Ok(receivers) if receivers.contains(&there.receiver) => {
            Ok(format!("Alertmanager answers at {url}, and sends to the receiver {}", there.receiver))
        }
        Ok(receivers) => Err((
            format!("Alertmanager at {url} has no receiver {:?}, only {}", there.receiver, receivers.join(", ")),
            "is it the one that sends to this daemon? `alertmanager.receiver` of the target names its webhook".to_owned(),
        )),
        Err(error) => return Some(found("Alertmanager", "alertmanager.url", url, Err(error))),
    })
}
