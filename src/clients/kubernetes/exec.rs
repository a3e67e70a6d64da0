//! Runs a program in a container, as `kubectl exec` does: over a websocket, without a terminal and without its standard input.
//!
//! The API server hands it on to the node's kubelet, so this can fail while everything else is well: with a status before the websocket is
//! there, or with one in the channel for errors afterwards. The request is a GET: until Kubernetes 1.35 the right `get` of `pods/exec` is enough,
//! from then on `create` is asked for as well (<https://github.com/kubernetes/kubernetes/pull/134577>).

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::pods::checked_pod;
use super::{CallError, Kubernetes, Reason, StatusCode, broken, refused_with, valid_name};

/// What is kept of what it says about a failure.
const MOST_STDERR: usize = 4 << 10;
/// How many bytes wait to be read.
const BUFFER: usize = 16 << 10;
/// The reason of a program that ran and failed, and of the cause that holds its exit code. Source: `constants.go` of
/// <https://github.com/kubernetes/apimachinery/blob/master/pkg/util/remotecommand/constants.go>.
const NON_ZERO: &str = "NonZeroExitCode";
const EXIT_CODE: &str = "ExitCode";
/// Where the words of runc and its kin begin.
const RUNTIME: &str = "OCI runtime exec failed: exec failed: ";

/// What became of a program that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// What it printed.
    pub stdout: String,
    /// What it said of its failure, cut to a few KiB.
    pub stderr: String,
    /// Its exit code.
    pub code: i32,
}

impl Kubernetes {
    /// Runs `argv` in a container of a pod; of a pod with several `container` must name one. Once: what it did is not known to be harmless twice.
    ///
    /// # Errors
    /// Whatever keeps the API server, the kubelet or the container's runtime from running it, such as an image without this program; output that
    /// is longer than `most` bytes; no end within the time of a request.
    pub async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        argv: &[String],
        most: usize,
    ) -> Result<Output, CallError> {
        let program = argv.first().map_or("", String::as_str);
        let call = format!("run {program} in pod/{pod} of {namespace}");
        checked_pod(&call, namespace, pod)?;
        if program.is_empty() || container.is_some_and(|name| !valid_name(name)) {
            return Err(CallError::unsent(&call, "a program or a container has another form"));
        }
        // The semaphore is never closed, and an error here would only mean one question too many.
        let _slot = self.inner.slots.acquire().await.ok();
        let ran = self.run(&call, namespace, pod, container, argv, most);
        tokio::time::timeout(self.inner.timeout, ran).await.map_err(|_| {
            CallError::new(&call, Reason::Timeout, &format!("it did not end within {:?}", self.inner.timeout))
        })?
    }

    async fn run(
        &self,
        call: &str,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        argv: &[String],
        most: usize,
    ) -> Result<Output, CallError> {
        let pods: Api<core::Pod> = Api::namespaced(self.inner.client.clone(), namespace);
        let how = AttachParams {
            container: container.map(str::to_owned),
            max_stdout_buf_size: Some(BUFFER),
            max_stderr_buf_size: Some(BUFFER),
            ..AttachParams::default()
        };
        let mut process = pods.exec(pod, argv, &how).await.map_err(|error| match &error {
            kube::Error::Api(status) => {
                let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                refused_with(call, code, &status.message)
            }
            other => broken(call, other),
        })?;
        let (stdout, stderr, status) = (process.stdout(), process.stderr(), process.take_status());
        let status = async {
            match status {
                Some(status) => status.await,
                None => None,
            }
        };
        // All three at once: whoever is not read keeps the others waiting.
        let (stdout, stderr, status) = tokio::join!(all(stdout, most), all(stderr, MOST_STDERR), status);
        let Some(stdout) = stdout else {
            let message = format!("it printed more than {} KiB", most >> 10);
            return Err(CallError::new(call, Reason::ClientError, &message));
        };
        let code = match status {
            Some(status) => exit_code(call, &status)?,
            None => {
                let message = "the connection ended before the program's end was told";
                return Err(CallError::new(call, Reason::ServerError, message));
            }
        };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Output { stdout: text(stdout), stderr: text(stderr.unwrap_or_default()), code })
    }
}

/// All of a stream; none when it is longer than `most` bytes. It is read to its end, as the other streams wait for it.
async fn all(stream: Option<impl AsyncRead + Unpin>, most: usize) -> Option<Vec<u8>> {
    let Some(mut stream) = stream else { return Some(Vec::new()) };
    let (mut kept, mut longer, mut buffer) = (Vec::new(), false, vec![0; BUFFER]);
    // A connection that breaks ends all three streams, and the status is missing then.
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if kept.len() + read > most {
            longer = true;
        } else if !longer {
            kept.extend_from_slice(&buffer[..read]);
        }
    }
    (!longer).then_some(kept)
}

/// The exit code of a program that ran; an error when it did not.
fn exit_code(call: &str, status: &Status) -> Result<i32, CallError> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    if status.reason.as_deref() == Some(NON_ZERO) {
        let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
        let code = causes
            .filter(|cause| cause.reason.as_deref() == Some(EXIT_CODE))
            .find_map(|cause| cause.message.as_deref()?.parse().ok());
        if let Some(code) = code {
            return Ok(code);
        }
    }
    let code = status.code.and_then(|code| u16::try_from(code).ok());
    let code = code.and_then(|code| StatusCode::from_u16(code).ok()).filter(|code| !code.is_success());
    let said = status.message.as_deref().unwrap_or("it failed, and nobody says why");
    // Every layer puts its words before those of the one below, and only the last say what is wrong: a long text is cut at its end.
    let said = said.rsplit_once(RUNTIME).map_or(said, |(_, below)| below);
    Err(refused_with(call, code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), said))
}
