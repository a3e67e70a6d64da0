//! Pods have addresses of their own in 127/8, and answer there on their container's port while they serve. A pod that does not serve has no
//! listener: the connection is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::task::{AbortHandle, JoinSet};

use super::cluster::{Cluster, Pod};
use super::server;
use super::services::NAMES;
use super::state::Shared;
use super::trouble::System;

/// Another process of the machine, or another sandbox of this one, may have an address: then the next is tried.
const TRIES: u32 = 50;
static SANDBOXES: AtomicU32 = AtomicU32::new(0);

/// A listener that nobody serves yet.
struct Opened {
    uid: String,
    service: &'static str,
    listener: TcpListener,
}

/// The listeners of the pods.
pub(super) struct Doors {
    next: u32,
    /// The uids of the pods that serve.
    open: BTreeSet<String>,
    opened: Vec<Opened>,
    closed: Vec<String>,
}

impl Doors {
    pub(super) fn new() -> Self {
        // Neighbours begin far from each other.
        let own = std::process::id().wrapping_mul(2_654_435_761);
        let next = own.wrapping_add(SANDBOXES.fetch_add(1, Ordering::Relaxed).wrapping_mul(40_503));
        Self { next, open: BTreeSet::new(), opened: Vec::new(), closed: Vec::new() }
    }

    /// An address from 127.64.0.1 on.
    fn address(&mut self) -> Ipv4Addr {
        self.next = self.next.wrapping_add(1);
        let [.., low, middle, high] = self.next.to_be_bytes().map(u8::from);
        Ipv4Addr::new(127, 64 + low % 64, middle, high.clamp(1, 254))
    }

    /// Opens the doors of the pods that serve, and closes those of the others.
    pub(super) fn advance(&mut self, cluster: &mut Cluster) {
        let mut serving = BTreeSet::new();
        for pod in cluster.pods.values_mut().filter(|pod| pod.serves()) {
            let Some(service) = NAMES.into_iter().find(|name| *name == pod.service) else { continue };
            serving.insert(pod.uid.clone());
            if !self.open.contains(&pod.uid) {
                self.open_door(pod, service);
            }
        }
        self.closed.extend(self.open.difference(&serving).cloned());
        self.opened.retain(|opened| serving.contains(&opened.uid));
        self.open = serving;
    }

    fn open_door(&mut self, pod: &mut Pod, service: &'static str) {
        let port = pod.template.pointer("/spec/containers/0/ports/0/containerPort");
        let Some(port) = port.and_then(|port| u16::try_from(port.as_u64()?).ok()) else { return };
        for _ in 0..TRIES {
            // One that has served before keeps its address, as its sandbox does.
            let address = pod.address.unwrap_or_else(|| self.address());
            let Ok(listener) = TcpListener::bind((address, port)) else {
                pod.address = None;
                continue;
            };
            if listener.set_nonblocking(true).is_ok() {
                pod.address = Some(address);
                self.opened.push(Opened { uid: pod.uid.clone(), service, listener });
            }
            return;
        }
    }
}

/// The tasks that serve at the doors.
#[derive(Default)]
pub(super) struct Porters {
    tasks: JoinSet<()>,
    by_uid: BTreeMap<String, AbortHandle>,
}

impl Porters {
    /// Serves at doors that were opened, and ends what was going on at those that were closed.
    pub(super) fn follow(&mut self, shared: &Arc<Shared>) {
        let (opened, closed) = {
            let mut state = shared.lock();
            (std::mem::take(&mut state.doors.opened), std::mem::take(&mut state.doors.closed))
        };
        for uid in closed {
            if let Some(task) = self.by_uid.remove(&uid) {
                task.abort();
            }
        }
        while self.tasks.try_join_next().is_some() {}
        for Opened { uid, service, listener } in opened {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                let serve =
                    server::serve(System::Pod(service), Some(uid.clone()), listener, Arc::clone(shared));
                self.by_uid.insert(uid, self.tasks.spawn(serve));
            }
        }
    }
}
