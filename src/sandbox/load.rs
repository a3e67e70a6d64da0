//! Load on the inference service: so many clients, each of which waits for its answer before it asks again, meet so many workers. Who finds none
//! free waits in a queue, and the answers take as much longer.

use std::time::Duration;

use jiff::Timestamp;

use super::cluster::{Cluster, NAMESPACE, Pod};
use super::state::Pace;

/// The service that answers with workers.
pub(super) const SERVICE: &str = "inference";
/// Workers of a pod.
pub(super) const WORKERS: u32 = 4;
/// How long an answer takes once a worker has it.
const ANSWER: Duration = Duration::from_secs(1);
/// More than this many waiting in one pod are sent away, and come again.
pub(super) const QUEUE: f64 = 16.0;
/// How long it takes until all clients are there.
const ARRIVE: f64 = 15.0;

/// The load, and what it makes of the pods.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Clients from outside of the cluster.
    pub(super) outside: u32,
    /// All clients, those that run as Jobs, too.
    clients: u32,
    /// Those that wait, in all pods together.
    waiting: f64,
    pods: u32,
}

/// What one pod is doing.
pub(super) struct Work {
    pub(super) busy: u32,
    pub(super) queue: u32,
}

impl Load {
    fn workers(&self) -> u32 {
        self.pods * WORKERS
    }

    /// Whether there is any.
    pub(super) fn is_on(&self) -> bool {
        self.clients > 0
    }

    /// How long an answer takes now, waiting included.
    pub(super) fn latency(&self) -> Duration {
        ANSWER.mul_f64(1.0 + self.waiting / f64::from(self.workers().max(1)))
    }

    /// How many wait in each pod.
    pub(super) fn depth(&self) -> f64 {
        self.waiting / f64::from(self.pods.max(1))
    }

    /// What each pod is doing now.
    pub(super) fn work(&self) -> Work {
        let busy = self.clients.min(self.workers()).div_ceil(self.pods.max(1));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most as many as clients"
        )]
        let queue = self.depth().ceil() as u32;
        Work { busy, queue: if self.pods == 0 { 0 } else { queue } }
    }

    /// Lets clients come and go, and workers take what waits.
    pub(super) fn advance(&mut self, from: Timestamp, now: Timestamp, pace: Pace, cluster: &mut Cluster) {
        self.clients = self.outside.saturating_add(cluster.clients_of_jobs());
        let serving = cluster.pods.values().filter(|pod| pod.service == SERVICE && pod.serves());
        let accepts = |pod: &&Pod| pod.loaded.as_ref().is_none_or(|loaded| loaded.swap.is_none());
        self.pods = u32::try_from(serving.filter(accepts).count()).unwrap_or(0);
        let passed = now.duration_since(from).as_secs_f64() * f64::from(pace.factor());
        let workers = self.workers();
        let wanted = f64::from(self.clients.saturating_sub(workers));
        self.waiting = if self.pods == 0 {
            // Nobody waits where nobody listens.
            0.0
        } else if wanted > self.waiting {
            (self.waiting + passed * f64::from(self.clients) / ARRIVE).min(wanted)
        } else {
            (self.waiting - passed * f64::from(workers) / ANSWER.as_secs_f64()).max(wanted)
        };
        let name = (NAMESPACE.to_owned(), SERVICE.to_owned());
        if self.is_on() && workers > 0 {
            let busy = f64::from(self.clients.min(workers)) / f64::from(workers);
            cluster.autoscalers.busy.insert(name, busy);
        } else {
            cluster.autoscalers.busy.remove(&name);
        }
    }
}
