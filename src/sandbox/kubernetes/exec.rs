//! `pods/exec`: what the API server answers itself, and what it says over the websocket when the kubelet has run something or could not.
//!
//! Channel 1 is standard output, 2 standard error, 3 a `Status` in JSON; the first message is an empty one on channel 1, which tells that the
//! connection is there. Since 1.30 the API server ends the websocket itself and speaks SPDY to the kubelet, so the kubelet's errors come as a `Status`, too.
//! Sources: `websocket.go` of <https://github.com/kubernetes/kubelet/tree/master/pkg/cri/streaming/remotecommand> and `streamtranslator.go` of
//! <https://github.com/kubernetes/apiserver/tree/master/pkg/util/proxy>.

use serde_json::{Value, json};

use super::resource::{self, Target};
use super::status::Failure;
use crate::sandbox::cluster::Pod;
use crate::sandbox::go;
use crate::sandbox::server::{Answer, Received};
use crate::sandbox::services::database;
use crate::sandbox::state::State;
use crate::sandbox::websocket::{self, Said};

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
/// How much one message holds.
const CHUNK: usize = 32 << 10;
/// The subprotocols, the one that is preferred first.
const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

/// What a program that was run has printed, and how it ended.
struct Ran {
    stdout: String,
    stderr: String,
    code: i32,
}

pub(super) fn answer(
    state: &State,
    received: &Received,
    target: &Target,
    name: &str,
) -> Result<Answer, Failure> {
    let object = resource::find(&state.cluster, target, name)?;
    let containers: Vec<&str> = object["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container["name"].as_str())
        .collect();
    let container = match (received.param("container").filter(|name| !name.is_empty()), containers.as_slice())
    {
        (Some(wanted), all) if all.contains(&wanted) => wanted,
        (Some(wanted), _) => {
            return Err(Failure::bad_request(format!("container {wanted} is not valid for pod {name}")));
        }
        (None, [only]) => only,
        (None, all) => {
            return Err(Failure::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                all.join(" ")
            )));
        }
    };
    let Some(pod) = state.cluster.pods.get(&target.key(name)).filter(|pod| pod.node.is_some()) else {
        return Err(Failure::bad_request(format!("pod {name} does not have a host assigned")));
    };
    if !websocket::is_asked_for(&received.headers) {
        return Err(Failure::bad_request("Upgrade request required"));
    }
    let offered: Vec<&str> =
        received.header("sec-websocket-protocol").unwrap_or_default().split(',').map(str::trim).collect();
    let Some(protocol) = PROTOCOLS.into_iter().find(|protocol| offered.contains(protocol)) else {
        return Ok(Answer::text(400, "unable to upgrade: unable to negotiate protocol\n"));
    };
    let argv: Vec<&str> =
        received.query.iter().filter(|(key, _)| key == "command").map(|(_, value)| value.as_str()).collect();
    let wants = |stream: &str| matches!(received.param(stream), Some("true" | "1"));
    let mut messages = vec![vec![STDOUT]];
    let status = match run(state, pod, container, &argv) {
        Ok(ran) => {
            if wants("stdout") {
                messages.extend(chunks(STDOUT, &ran.stdout));
            }
            if wants("stderr") {
                messages.extend(chunks(STDERR, &ran.stderr));
            }
            ended(ran.code)
        }
        Err(why) => internal(&why),
    };
    messages.push([&[STATUS], status.to_string().as_bytes()].concat());
    let answer = Answer::new(101, "application/octet-stream", "");
    Ok(Answer { said: Some(Said { protocol, messages }), ..answer })
}

fn chunks(channel: u8, text: &str) -> impl Iterator<Item = Vec<u8>> {
    text.as_bytes().chunks(CHUNK).map(move |chunk| [&[channel], chunk].concat())
}

/// What the kubelet does; an error is what it could not.
fn run(state: &State, pod: &Pod, container: &str, argv: &[&str]) -> Result<Ran, String> {
    if pod.lost {
        return Err(format!(
            "error sending request: Post \"https://10.0.1.5:10250/exec/{}/{}/{container}\": dial tcp 10.0.1.5:10250: i/o timeout",
            pod.namespace, pod.name
        ));
    }
    if !pod.runs() {
        return Err(format!("unable to upgrade connection: container not found ({})", go::quoted(container)));
    }
    let Some(program) = argv.first() else {
        return Err("unable to upgrade connection: you must specify a command".to_owned());
    };
    if *program != "cat" || state.bare_images.contains(&pod.service) {
        return Err(format!(
            "Internal error occurred: error executing command in container: failed to exec in container: failed to start exec \"{}\": \
             OCI runtime exec failed: exec failed: unable to start container process: exec: {}: executable file not found in $PATH: unknown",
            pod.uid,
            go::quoted(program)
        ));
    }
    let mut ran = Ran { stdout: String::new(), stderr: String::new(), code: 0 };
    for path in &argv[1..] {
        match *path {
            "/proc/net/tcp" => {
                let connections = state.services.connections(pod, &state.cluster);
                ran.stdout.push_str(&database::proc_net_tcp(pod, connections));
            }
            "/proc/net/tcp6" => ran.stdout.push_str(database::PROC_NET_TCP6),
            path => {
                ran.stderr.push_str(&format!("cat: {path}: No such file or directory\n"));
                ran.code = 1;
            }
        }
    }
    Ok(ran)
}

/// The `Status` of a program that ran.
fn ended(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

/// The `Status` of one that could not be run.
fn internal(why: &str) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {why}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": why}]},
        "code": 500,
    })
}
