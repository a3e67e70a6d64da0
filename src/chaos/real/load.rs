//! Load from inside the cluster: a Job that runs `runbookd inject load`, has no token of the cluster, and is ended by the cluster itself, whoever is gone.

use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::plan::{Look, On};
use super::{Bounds, Ground, INJECTED, Load, Note, Planned, Refused, Undo, Wanted};
use crate::chaos::load::{self as own, Header, LONGEST_WAIT};
use crate::clients::load::{Address, Call};
use crate::runbook::secrecy::{holds_secret, is_secret};
use crate::text::{count, hex, span};
use crate::yaml::write_duration;

/// The cluster gives a Job so much longer than its load takes: its image is pulled meanwhile.
const LONGER: Duration = Duration::from_secs(60);
/// So long after its end it can still be looked at.
const KEPT: Duration = Duration::from_secs(60);
/// One argument of a process holds no more than 128 KiB.
const MOST_BODY: usize = 64 << 10;
/// How long one answer is waited for.
const WAIT: Duration = Duration::from_secs(60);
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
/// What such a header holds opens a door.
const SECRET: [http::HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];
/// It must be of its own: whatever selects pods by another label does not find it.
const NAME: &str = "runbookd-load";

/// Holds load against the bounds. Nothing is asked.
pub(super) fn look(ground: &Ground, wanted: &Load, bounds: Bounds) -> Result<Look, Refused> {
    if ground.image.is_none() {
        return Err(Refused::with(
            "load is made by a Job of runbookd's own image, and none is named",
            "an image that the cluster can pull",
            "name it with --image",
        ));
    }
    let bad = |what: &str, why: String| Refused::BadLoad(format!("{what}{why}"));
    let address = Address::parse(&wanted.url).map_err(|error| bad("the address: ", error.to_string()))?;
    if !bounds.anywhere && !is_inside(address.host(), &ground.namespace) {
        return Err(Refused::with(
            format!("{} is not in the namespace {}", address.host(), ground.namespace),
            "a Service of the namespace, such as http://web:8000/ or http://web.shop.svc:8000/",
            "`runbookd inject load` makes load on other addresses, from where you are",
        ));
    }
    let mut headers = HeaderMap::new();
    for (at, text) in (1..).zip(&wanted.headers) {
        let header =
            Header::parse(text).map_err(|error| bad("headers: ", format!("the {at}. one: {error}")))?;
        let value = header.value.to_str().unwrap_or_default();
        if SECRET.contains(&header.name) || is_secret(header.name.as_str()) || holds_secret(value) {
            return Err(secret(&format!("the header {}", header.name)));
        }
        headers.append(header.name, header.value);
    }
    for (what, text) in [("the address", Some(&wanted.url)), ("the body", wanted.body.as_ref())] {
        if text.is_some_and(|text| holds_secret(text)) {
            return Err(secret(what));
        }
    }
    let body = wanted.body.clone().map(String::into_bytes);
    if body.as_ref().is_some_and(|body| body.len() > MOST_BODY) {
        return Err(bad(
            "",
            format!("the body has more than {} KiB, the most that an argument holds", MOST_BODY >> 10),
        ));
    }
    let method = match &wanted.method {
        Some(name) => METHODS.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(name)),
        None if body.is_some() => Some(Method::POST),
        None => Some(Method::GET),
    };
    let method = method.ok_or_else(|| {
        bad("the method: expected one of ", METHODS.map(|method| method.to_string()).join(", "))
    })?;
    let load = own::Wanted {
        call: Call { address: address.clone(), method: method.clone(), headers, body },
        clients: wanted.concurrency,
        rate: None,
        duration: wanted.duration,
        requests: wanted.requests,
        timeout: WAIT.min(LONGEST_WAIT),
    };
    own::Load::new(load).map_err(|error| bad("", error.to_string()))?;
    let clients = count(wanted.concurrency.into(), "client", "clients");
    let most = wanted.requests.map(|most| format!(", {most} requests at most")).unwrap_or_default();
    let planned = Planned {
        says: format!("let {clients} ask {method} {} for {}{most}", address.shown(), span(wanted.duration)),
        touches: vec![format!("a Job is made in {}, and a pod of it", ground.namespace)],
        undo_says: format!(
            "the Job is deleted; the cluster itself ends it after {}",
            span(wanted.duration + LONGER)
        ),
        ..ground.planned(Wanted::Load(wanted.clone()), bounds, Undo::DeleteJob)
    };
    Ok(Look { planned, on: On::Nothing })
}

fn secret(what: &str) -> Refused {
    Refused::with(
        format!("{what} of the load may hold a secret, and would stand in the Job for all who may read Jobs"),
        "load without one",
        "`runbookd inject load` with --header-file keeps it to itself, from where you are",
    )
}

/// Whether a name is resolved to a Service of this namespace.
fn is_inside(host: &str, namespace: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let parts: Vec<&str> = host.split('.').collect();
    let is_name = parts[0].bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    is_name
        && match parts[1..] {
            [] => parts[0] != "localhost",
            [its] | [its, "svc"] | [its, "svc", "cluster", "local"] => its == namespace,
            _ => false,
        }
}

/// The Job's name: another one for each run and each load of it.
pub(super) fn name(run: &str, wanted: &Load) -> String {
    let digest = Sha256::digest(format!("{run}\n{wanted:?}").as_bytes());
    format!("{NAME}-{}", &hex(&digest)[..12])
}

/// The Job, with its note.
pub(super) fn job(image: &str, namespace: &str, wanted: &Load, note: &Note) -> Value {
    let seconds = |duration: Duration| duration.as_millis().div_ceil(1000);
    let labels = json!({"app.kubernetes.io/name": NAME, "app.kubernetes.io/managed-by": "runbookd"});
    let container = json!({
        "name": "load",
        "image": image,
        "command": ["runbookd"],
        "args": args(wanted),
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    });
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name(&note.run, wanted), "namespace": namespace, "labels": labels,
            "annotations": {INJECTED: note.text()},
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": seconds(wanted.duration + LONGER),
            "ttlSecondsAfterFinished": seconds(KEPT),
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [container],
                },
            },
        },
    })
}

fn args(wanted: &Load) -> Vec<String> {
    let mut args = vec!["inject".to_owned(), "load".to_owned(), wanted.url.clone(), "--yes".to_owned()];
    args.push(format!("--concurrency={}", wanted.concurrency));
    args.push(format!("--duration={}", write_duration(wanted.duration)));
    args.push(format!("--timeout={}", write_duration(WAIT)));
    args.extend(wanted.requests.map(|most| format!("--requests={most}")));
    args.extend(wanted.method.as_ref().map(|method| format!("--method={method}")));
    args.extend(wanted.headers.iter().map(|header| format!("--header={header}")));
    args.extend(wanted.body.as_ref().map(|body| format!("--body={body}")));
    // The kubelet reads `$(NAME)` as a variable, and `$$` as `$`.
    args.into_iter().map(|arg| arg.replace('$', "$$")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_inside_when_the_cluster_resolves_it_to_the_namespace() {
        for host in ["web", "Web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local"] {
            assert!(is_inside(host, "shop"), "{host}");
        }
        for host in [
            "localhost",
            "web.other",
            "web.other.svc",
            "shop",
            "10.0.0.1",
            "[::1]",
            "web.shop.example.com",
            "web.shop.svc.example.com",
            "",
        ] {
            assert!(host == "shop" || !is_inside(host, "shop"), "{host}");
        }
    }

    #[test]
    fn what_the_kubelet_would_read_as_a_variable_stays_as_it_is() {
        let load = Load {
            url: "http://web:8000/?q=$(HOME)".to_owned(),
            method: Some("POST".to_owned()),
            headers: vec!["Content-Type: application/json".to_owned()],
            body: Some("{\"a\":\"$$ $(X)\"}".to_owned()),
            concurrency: 5,
            requests: Some(7),
            duration: Duration::from_secs(90),
        };
        assert_eq!(
            args(&load),
            [
                "inject",
                "load",
                "http://web:8000/?q=$$(HOME)",
                "--yes",
                "--concurrency=5",
                "--duration=1m30s",
                "--timeout=1m",
                "--requests=7",
                "--method=POST",
                "--header=Content-Type: application/json",
                "--body={\"a\":\"$$$$ $$(X)\"}",
            ]
        );
    }
}
