//! What `demo` and `inject` share: the folder of the daemon's files, what people read while it happens, and the way of an incident.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;

use super::client::{Client, Connection};
use super::output::{lines, note};
use super::paint::{Paint, Tone, harmless};
use super::timeline;
use crate::api::wire::IncidentView;
use crate::chaos::stage::Stage;
use crate::clock;
use crate::incident::{Event, IncidentId, Outcome, Recorded};
use crate::notify::{texts, transcript};
use crate::sandbox::{Thread, World};
use crate::text::count;

/// What people read while it happens.
pub(super) struct Teller {
    pub(super) paint: Paint,
    begun: Instant,
    began: Timestamp,
    /// On standard error: the answer is something else.
    aside: bool,
}

impl Teller {
    pub(super) fn new() -> Self {
        Self { paint: Paint::of_stdout(), begun: Instant::now(), began: clock::now(), aside: false }
    }

    /// On standard error, where the answer itself goes to standard output.
    pub(super) fn aside() -> Self {
        Self { paint: Paint::of_stderr(), begun: Instant::now(), began: clock::now(), aside: true }
    }

    /// When the first line was told.
    pub(super) const fn began(&self) -> Timestamp {
        self.began
    }

    pub(super) fn out(&self, text: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
        if self.aside {
            text.into_iter().for_each(|line| note(&line));
            return Ok(());
        }
        Ok(lines(text)?)
    }

    pub(super) fn say(&self, tone: Tone, word: &str, text: &str) -> anyhow::Result<()> {
        let at = timeline::offset(self.begun.elapsed());
        let word = self.paint.mark(tone, &format!("{word:<10}"));
        self.out([format!(
            "{}  {word} {}",
            self.paint.mark(Tone::Faint, &format!("{at:>8}")),
            harmless(text)
        )])
    }

    pub(super) fn title(&self, text: &str) -> anyhow::Result<()> {
        self.out([String::new(), self.paint.mark(Tone::Strong, &harmless(text))])
    }

    fn event(&self, recorded: &Recorded, view: &IncidentView) -> anyhow::Result<()> {
        self.out(timeline::line(recorded, view.summary.opened_at, self.paint))
    }

    /// The threads as people would read them.
    pub(super) async fn slack(&self, world: &World) -> anyhow::Result<()> {
        // Slack is told behind the journal; the last message is on its way.
        let told = |thread: &Thread| thread.replies.iter().any(|reply| is_last(&reply.text));
        world.until(Duration::from_secs(5), |world| world.slack_threads().iter().all(told)).await;
        for thread in world.slack_threads() {
            self.title(&format!(
                "Slack, {} (the first message was edited {})",
                thread.channel,
                times(u64::from(thread.head.edits))
            ))?;
            let messages = std::iter::once(&thread.head).chain(&thread.replies);
            for (position, message) in messages.enumerate() {
                let indent = if position == 0 { "  " } else { "    │ " };
                let text = transcript::one(&message.text, &message.blocks);
                let text: Vec<String> = text.lines().map(|line| format!("{indent}{line}")).collect();
                self.out(text)?;
                self.out([if position == 0 { String::new() } else { "    │".to_owned() }])?;
            }
        }
        Ok(())
    }
}

/// Whether the thread is of this incident, and its end stands in it. Where nothing was `said` on the way, the first message alone may tell it; else somebody
/// has to be notified, and an edit notifies nobody.
pub(super) fn tells_the_end(thread: &Thread, id: &IncidentId, outcome: Outcome, said: bool) -> bool {
    let mut messages = std::iter::once(&thread.head).chain(&thread.replies);
    let named = |message: &crate::sandbox::Message| {
        message.text.contains(id.as_str()) || message.blocks.to_string().contains(id.as_str())
    };
    messages.any(named)
        && texts::tells_the_end(&thread.head.text, outcome)
        && match thread.replies.last() {
            Some(reply) => texts::tells_the_end(&reply.text, outcome),
            None => !said,
        }
}

fn is_last(text: &str) -> bool {
    Outcome::ALL.into_iter().any(|outcome| texts::tells_the_end(text, outcome))
}

fn times(number: u64) -> String {
    count(number, "time", "times")
}

/// Follows the first incident of the runbook from its opening to its end, and tells every step.
pub(super) async fn follow(stage: &Stage, teller: &Teller, runbook: &str) -> anyhow::Result<IncidentView> {
    let token_file = Some(stage.api_token_file());
    let client = Client::new(&Connection { url: stage.url(), token_file })?;
    let mut since = None;
    let id: IncidentId = loop {
        let open = client.next_change(since).await?;
        since = Some(open.change);
        if let Some(listed) = open.incidents.iter().find(|listed| listed.summary.runbook == runbook) {
            break listed.summary.id.clone();
        }
    };
    let mut after = 0;
    let mut before: Option<Event> = None;
    loop {
        let view = client.events_after(&id, after).await?;
        for recorded in &view.events {
            after = recorded.seq;
            // An alert that joins beside the story is in the incident's own timeline, and so is every answer.
            if matches!(recorded.event, Event::AlertsJoined { .. }) {
                continue;
            }
            if !timeline::repeats(before.as_ref(), &recorded.event) {
                teller.event(recorded, &view)?;
            }
            before = Some(recorded.event.clone());
        }
        if view.summary.closed_at.is_some() {
            return Ok(client.events_since(&id, 0).await?);
        }
    }
}

/// A folder for the daemon's files, gone with it.
pub(super) struct Folder {
    pub(super) path: PathBuf,
}

impl Folder {
    pub(super) fn new() -> anyhow::Result<Self> {
        sweep(&std::env::temp_dir());
        let name = format!("runbookd-{}-{}", std::process::id(), clock::now().as_microsecond());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("{} can not be made", path.display()))?;
        Ok(Self { path })
    }
}

/// Removes what runs have left that were killed: `runbookd-PID-TIME` of a process that is not there any more.
fn sweep(folder: &Path) {
    // Only where it can be known who is there.
    if !Path::new("/proc/self").exists() {
        return;
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut parts = name.split('-');
        let numbers: Vec<u64> = parts.by_ref().skip(1).filter_map(|part| part.parse().ok()).collect();
        let (true, [pid, _]) =
            (name.starts_with("runbookd-") && name.matches('-').count() == 2, &numbers[..])
        else {
            continue;
        };
        if !Path::new(&format!("/proc/{pid}")).exists() {
            // Somebody else's is not ours to remove, and stays.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over lies in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
