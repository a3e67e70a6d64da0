//! Starts a program with words and no shell, in a process group of its own, and ends the whole group: SIGINT, after the grace SIGKILL.
//!
//! A task of its own looks after the process, so that nobody has to wait for it: whoever goes away has it interrupted. It is one SIGINT,
//! because terraform takes a second one as the order to leave without writing its state. Where the runtime itself ends, the group still gets
//! the SIGINT, and is not waited for.
//! A process that leaves the group by itself (`setsid`) can not be found again.
//!
//! What holds a lock writes into a file and not into a pipe: terraform dies of a pipe whose reader is gone, in the middle of an apply, with its state unwritten and its lock held.
//! So a daemon that is killed takes no terraform with it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::Variable;
use super::log::Log;
use super::sink::Sink;

/// How long the end of the group is waited for once it was killed.
const LAST: Duration = Duration::from_secs(5);
/// How long what it has written is read afterwards: a busy machine lags behind.
const READ: Duration = Duration::from_secs(30);
/// Between two looks at a group that was killed.
const LOOK: Duration = Duration::from_millis(20);
/// How much of what stands in the stream of errors is kept.
const ERRORS: usize = 64 << 10;

/// What is run.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) program: PathBuf,
    pub(super) words: Vec<OsString>,
    pub(super) directory: PathBuf,
    /// All of it: nothing of our own is handed on.
    pub(super) environment: Vec<Variable>,
    pub(super) within: Duration,
    pub(super) grace: Duration,
    /// What becomes of its output.
    pub(super) sink: Sink,
    /// The file that it writes into, with its errors; none: two pipes.
    pub(super) log: Option<PathBuf>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// By itself, with this code.
    Exited(i32),
    /// By somebody else's signal.
    Signalled(i32),
    /// We interrupted it.
    Stopped {
        why: Stop,
        /// It did not end within the grace, and was killed.
        killed: bool,
    },
}

/// Why we interrupted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Late,
    NobodyWaits,
    ShuttingDown,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) how: How,
    pub(super) output: Sink,
    pub(super) errors: Sink,
}

/// Nothing is known of how it ended.
#[derive(Debug)]
pub(super) enum Failed {
    /// It was not started.
    NotStarted(std::io::Error),
    /// It was, and was then lost sight of.
    Lost(std::io::Error),
}

/// Runs it. When this future is dropped, the group is interrupted as at the limit; `held` is kept until it has gone.
pub(super) async fn run<H: Send + Sync + 'static>(
    job: Job,
    shutting_down: watch::Receiver<bool>,
    held: Arc<H>,
) -> Result<Ran, Failed> {
    #[expect(clippy::disallowed_methods, reason = "the one place in which the daemon starts a process")]
    let mut command = Command::new(&job.program);
    command.args(&job.words).current_dir(&job.directory).env_clear();
    command.envs(job.environment.iter().map(|variable| (&variable.name, variable.value.reveal())));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let log = job.log.as_deref().map(Log::create).transpose().map_err(Failed::NotStarted)?;
    if let Some(log) = &log {
        let writer = || log.file.try_clone().map_err(Failed::NotStarted);
        command.stdout(writer()?).stderr(writer()?);
    }
    let child = command.spawn().map_err(Failed::NotStarted)?;
    let (waiting, gone) = oneshot::channel();
    let limits = (job.within, job.grace);
    let task = tokio::spawn(look_after(child, (job.sink, log), limits, gone, shutting_down, held));
    let ran = task.await.map_err(|error| Failed::Lost(std::io::Error::other(error)))?;
    drop::<oneshot::Sender<()>>(waiting);
    ran.map_err(Failed::Lost)
}

async fn look_after<H>(
    mut child: Child,
    (sink, log): (Sink, Option<Log>),
    (within, grace): (Duration, Duration),
    gone: oneshot::Receiver<()>,
    mut shutting_down: watch::Receiver<bool>,
    held: Arc<H>,
) -> std::io::Result<Ran> {
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let (over, is_over) = oneshot::channel();
    let output = match log {
        Some(log) => tokio::spawn(log.follow(sink, is_over)),
        None => read(child.stdout.take(), sink),
    };
    let errors = read(child.stderr.take(), Sink::keep(ERRORS));
    let ended = tokio::select! {
        status = child.wait() => Ok(status?),
        () = sleep(within) => Err(Stop::Late),
        _ = gone => Err(Stop::NobodyWaits),
        _ = shutting_down.wait_for(|down| *down) => Err(Stop::ShuttingDown),
    };
    let how = match ended {
        Ok(status) => by_itself(status),
        Err(why) => {
            group.signal(Signal::INT);
            match timeout(grace, child.wait()).await {
                Ok(status) => status.map(|_| How::Stopped { why, killed: false })?,
                Err(_) => {
                    group.signal(Signal::KILL);
                    child.wait().await?;
                    How::Stopped { why, killed: true }
                }
            }
        }
    };
    // What it left behind: a provider, or what a provisioner started.
    group.end().await;
    drop::<oneshot::Sender<()>>(over);
    let ran = Ran { how, output: all(output).await, errors: all(errors).await };
    drop(held);
    Ok(ran)
}

fn by_itself(status: ExitStatus) -> How {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => How::Exited(code),
        (None, signal) => How::Signalled(signal.unwrap_or_default()),
    }
}

/// The processes of a group. A number is not given to another group while one of its processes lives, and not at once afterwards: the kernel
/// counts on.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // Only that there is none left can be an error here: they are our own children.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Kills what is left, and waits until it is gone. Where runbookd is the first process of a container it inherits what was left behind, and
    /// nobody else would take note of its end.
    async fn end(&mut self) {
        let Some(group) = self.0.take() else { return };
        let _ = kill_process_group(group, Signal::KILL);
        let gone = async {
            loop {
                while let Ok(Some(_)) = waitpgid(group, WaitOptions::NOHANG) {}
                if test_kill_process_group(group).is_err() {
                    return;
                }
                sleep(LOOK).await;
            }
        };
        if timeout(LAST, gone).await.is_err() {
            tracing::warn!(
                group = group.as_raw_nonzero().get(),
                "Processes that terraform left behind do not end"
            );
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

/// Reads on to the end, however much it is: a process whose output nobody takes stands still.
fn read(stream: Option<impl AsyncRead + Unpin + Send + 'static>, mut sink: Sink) -> JoinHandle<Sink> {
    tokio::spawn(async move {
        let Some(mut stream) = stream else { return sink };
        let mut chunk = vec![0; 64 << 10];
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            sink.take(&chunk[..count]);
        }
        sink.end();
        sink
    })
}

/// What was read. It ends with the group, unless a process has left that and holds the pipe.
async fn all(mut reader: JoinHandle<Sink>) -> Sink {
    match timeout(READ, &mut reader).await {
        Ok(Ok(sink)) => sink,
        Ok(Err(_)) | Err(_) => {
            reader.abort();
            Sink::lost()
        }
    }
}
