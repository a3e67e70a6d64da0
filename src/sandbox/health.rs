//! A service's own address, which reaches one of its pods; without any pod that serves, nobody answers.
//!
//! kube-proxy refuses the connection in that case. A listener can not refuse, so here it is closed without an answer.

use super::chance::Chance;
use super::endpoints::{self, Inside};
use super::server::{Received, Reply};

/// Answers a request to this service.
pub(super) fn answer(service: &str, inside: Inside<'_>, chance: &mut Chance, received: &Received) -> Reply {
    let pods = inside.cluster.pods.values().filter(|pod| pod.service == service && pod.serves());
    let uids: Vec<String> = pods.map(|pod| pod.uid.clone()).collect();
    let one = usize::try_from(chance.below(64)).unwrap_or(0) % uids.len().max(1);
    let Some(uid) = uids.get(one) else { return Reply::Cut };
    endpoints::answer(inside, uid, received)
}
