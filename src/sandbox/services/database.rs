//! The database behind `auth` and `chat-api`: how many connections their pods have open, and what happens when there are too many of them.

use std::fmt::Write as _;

use super::{PoolFault, Services};
use crate::sandbox::cluster::{Cluster, Pod};

/// The services that have a pool of connections.
const POOLED: [&str; 2] = ["auth", "chat-api"];
/// `SQLAlchemy`'s `max_overflow`.
const OVERFLOW: u32 = 10;
/// `superuser_reserved_connections`.
const RESERVED: u32 = 3;
/// What its parameter group says, unless a test says otherwise.
pub(super) const MAX_CONNECTIONS: u32 = 200;

impl Services {
    /// How many connections each pod of a service needs, where a fault says how many all of them need.
    pub(super) fn needed(&self, service: &str, cluster: &Cluster) -> Option<u32> {
        let PoolFault::Demand { connections, .. } = self.faults.get(service)?.fault else { return None };
        let pods = cluster.pods.values().filter(|pod| pod.service == service && pod.serves()).count();
        Some(connections.div_ceil(u32::try_from(pods).unwrap_or(1).max(1)))
    }

    /// How many connections a pod would have open if the database took any number.
    fn wanted(&self, pod: &Pod, cluster: &Cluster) -> u32 {
        if !POOLED.contains(&pod.service.as_str()) || !pod.serves() {
            return 0;
        }
        let room = room(pod);
        match self.needed(&pod.service, cluster) {
            Some(needed) => needed.min(room),
            None if pod.dry => room,
            None => pod.pool_size().div_ceil(2),
        }
    }

    fn all_wanted(&self, cluster: &Cluster) -> u32 {
        cluster.pods.values().map(|pod| self.wanted(pod, cluster)).sum()
    }

    fn taken(&self) -> u32 {
        self.max_connections.saturating_sub(RESERVED)
    }

    /// How many connections a pod has open.
    pub(in crate::sandbox) fn connections(&self, pod: &Pod, cluster: &Cluster) -> u32 {
        let (own, all, most) = (self.wanted(pod, cluster), self.all_wanted(cluster), self.taken());
        if all > most { own * most / all } else { own }
    }

    /// The share of the requests for a connection that the database refuses.
    pub(super) fn refused(&self, service: &str, cluster: &Cluster) -> f64 {
        let (all, most) = (self.all_wanted(cluster), self.taken());
        if !POOLED.contains(&service) || all <= most {
            return 0.0;
        }
        f64::from(all - most) / f64::from(all)
    }
}

/// The most connections that a pod's pool opens.
pub(super) fn room(pod: &Pod) -> u32 {
    pod.pool_size() + OVERFLOW
}

/// `/proc/net/tcp6` of a pod: nothing there speaks IPv6.
pub(in crate::sandbox) const PROC_NET_TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

/// `/proc/net/tcp` of a pod: its listener, and its connections to the database, which is at 10.0.3.7.
pub(in crate::sandbox) fn proc_net_tcp(pod: &Pod, connections: u32) -> String {
    let port = pod.template.pointer("/spec/containers/0/ports/0/containerPort");
    let port = port.and_then(serde_json::Value::as_u64).unwrap_or(0);
    let own = pod.address.map_or(0x0100_007F, |address| u32::from_le_bytes(address.octets()));
    let mut text =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
            .to_owned();
    let rest = "00000000:00000000 00:00000000 00000000     0        0";
    let _ = writeln!(
        text,
        "   0: 00000000:{port:04X} 00000000:0000 0A {rest} 4500 1 0000000000000000 100 0 0 10 0"
    );
    for number in 1..=connections {
        let (local, inode) = (40_000 + number, 4_500 + number);
        let _ = writeln!(
            text,
            "{number:4}: {own:08X}:{local:04X} 0703000A:1538 01 {rest} {inode} 1 0000000000000000 20 4 30 10 -1"
        );
    }
    text
}
