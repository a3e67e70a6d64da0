//! Where a scenario is played: what breaks there, and what is seen there of what comes of it.

use std::time::Duration;

use super::follow::Follower;
use crate::chaos::breaking;
use crate::chaos::scenario::{Broken, Fault, Lasts};
use crate::cli::teller::Teller;
use crate::incident::IncidentId;
use crate::sandbox::World;

/// Something that is broken there.
pub(super) struct Break {
    /// So long after the one before it, at the pace of reality.
    pub(super) wait: Duration,
    /// In words.
    pub(super) says: String,
    /// The alert that it is, and so long it takes until all of it has fired, at the pace of reality.
    pub(super) fires: Option<(String, Duration)>,
    /// Whether it ends when the expected incidents are closed.
    pub(super) until_closed: bool,
}

/// Where a scenario is played.
pub(super) trait Place {
    /// What is broken, in this order.
    fn breaks(&self) -> &[Break];

    /// Every duration is divided by it.
    fn scale(&self) -> u32;

    /// So often it is asked whether all is well, and what fires.
    fn ask_every(&self) -> Duration;

    /// Breaks it.
    async fn make(&self, number: usize, teller: &Teller) -> anyhow::Result<()>;

    /// Whether it may come to nothing: then nothing counts as broken before it is.
    fn can_refuse(&self) -> bool;

    /// Whether what was tried may have come true.
    fn may_have_made(&self, number: usize) -> bool;

    /// Ends it.
    async fn end(&self, number: usize) -> anyhow::Result<()>;

    /// The names of the alerts that fire.
    async fn firing(&self) -> anyhow::Result<Vec<String>>;

    /// Comes back when something may have changed; not before.
    async fn changed(&self);

    /// How many changes the cluster has seen since the first was broken.
    fn changes(&self, follower: &Follower<'_>) -> usize;

    /// The incidents of whose end people were not told; none: that can not be seen.
    async fn untold(&self, follower: &Follower<'_>) -> Option<Vec<IncidentId>>;

    /// What people were told, as they would read it.
    async fn tell(&self, teller: &Teller) -> anyhow::Result<()>;

    /// A duration of reality there.
    fn real(&self, duration: Duration) -> Duration {
        duration / self.scale().max(1)
    }
}

/// The sandbox.
pub(super) struct Sandbox<'p> {
    world: World,
    scale: u32,
    faults: &'p [Broken],
    breaks: Vec<Break>,
    /// What was written before anything was broken.
    writes: usize,
}

impl<'p> Sandbox<'p> {
    /// A world in which nothing is broken yet.
    pub(super) fn new(world: World, scale: u32, faults: &'p [Broken]) -> Self {
        let writes = world.writes().len();
        Self { world, scale, faults, breaks: faults.iter().map(broken).collect(), writes }
    }
}

fn broken(broken: &Broken) -> Break {
    let fires = match &broken.fault {
        Fault::Alerts { labels, times, every, .. } => labels
            .get("alertname")
            .map(|name| (name.clone(), every.saturating_mul(2 * times.saturating_sub(1)))),
        _ => None,
    };
    Break {
        wait: broken.wait,
        says: broken.fault.to_string(),
        fires,
        until_closed: broken.lasts == Lasts::UntilClosed,
    }
}

impl Place for Sandbox<'_> {
    fn breaks(&self) -> &[Break] {
        &self.breaks
    }

    fn scale(&self) -> u32 {
        self.scale
    }

    fn ask_every(&self) -> Duration {
        Duration::from_millis(200)
    }

    async fn make(&self, number: usize, _: &Teller) -> anyhow::Result<()> {
        match self.faults.get(number) {
            Some(broken) => Ok(breaking::make(&broken.fault, &self.world).await?),
            None => Ok(()),
        }
    }

    fn can_refuse(&self) -> bool {
        false
    }

    fn may_have_made(&self, _: usize) -> bool {
        true
    }

    async fn end(&self, number: usize) -> anyhow::Result<()> {
        if let Some(broken) = self.faults.get(number) {
            breaking::end(&broken.fault, &self.world);
        }
        Ok(())
    }

    async fn firing(&self) -> anyhow::Result<Vec<String>> {
        let names = self.world.firing().into_iter();
        Ok(names.filter_map(|labels| labels.get("alertname").cloned()).collect())
    }

    async fn changed(&self) {
        tokio::select! {
            () = self.world.changed() => {}
            () = tokio::time::sleep(self.ask_every()) => {}
        }
    }

    fn changes(&self, _: &Follower<'_>) -> usize {
        self.world.writes().len() - self.writes
    }

    async fn untold(&self, follower: &Follower<'_>) -> Option<Vec<IncidentId>> {
        Some(follower.untold(&self.world).await)
    }

    async fn tell(&self, teller: &Teller) -> anyhow::Result<()> {
        teller.slack(&self.world).await
    }
}
