//! Troubles between a client and a healthy world: servers that are down, hang, refuse, or cut the line after the deed.

use std::collections::BTreeMap;
use std::time::Duration;

/// One of the systems that the sandbox plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum System {
    /// The Kubernetes API server.
    Kubernetes,
    /// Loki.
    Loki,
    /// Slack's Web API.
    Slack,
    /// Alertmanager's API. What it sends is not disturbed here: the receiver can refuse it.
    Alertmanager,
    /// Prometheus' API.
    Prometheus,
    /// Amazon RDS' API.
    Rds,
    /// Amazon EC2's API.
    Ec2,
    /// AWS Certificate Manager's API.
    Acm,
    /// Amazon Route 53's API.
    Route53,
    /// The HTTP port of the service of this name.
    Service(&'static str),
    /// The public host, which speaks TLS.
    Front,
    /// The pods of the service of this name, at their own addresses.
    Pod(&'static str),
}

/// What goes wrong between a client and a system.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// The connection is closed without an answer; nothing is applied.
    Down,
    /// Every request is answered with this status and text; nothing is applied.
    Status(u16, String),
    /// No answer comes, and nothing is applied.
    Hang,
    /// A write to Kubernetes, Route 53 or EC2, or a call of a pod, is applied; then the connection is closed without an answer. Reads are answered.
    CutAfterApply,
    /// A write to Kubernetes, Route 53 or EC2 is applied at once, and answered only so much later, in real time. Reads are answered.
    LateAfterApply {
        /// How much later.
        by: Duration,
    },
    /// Every request is answered as ever, but only so much later, in real time.
    Slow {
        /// How much later.
        by: Duration,
    },
    /// Kubernetes refuses every write with 403, as when a role binding was taken away. Reads are answered.
    RefuseWrites403,
    /// 429 with `Retry-After`, as each system words it.
    RateLimited {
        /// Given in whole seconds, at least 1.
        retry_after: Duration,
    },
    /// Slack answers 200 with `ok: false` and this error. Other systems are not disturbed.
    NotOk(&'static str),
}

impl Trouble {
    /// Whether it strikes this request. Troubles of writes leave reads alone, and are not used up by them.
    fn strikes(&self, system: System, write: bool) -> bool {
        match self {
            Self::CutAfterApply | Self::LateAfterApply { .. } | Self::RefuseWrites403 => {
                let pods = matches!((self, system), (Self::CutAfterApply, System::Pod(_)));
                let aws =
                    matches!(system, System::Route53 | System::Ec2) && !matches!(self, Self::RefuseWrites403);
                (system == System::Kubernetes || pods || aws) && write
            }
            Self::NotOk(_) => system == System::Slack,
            Self::Slow { .. } | Self::Down | Self::Status(..) | Self::Hang | Self::RateLimited { .. } => true,
        }
    }
}

/// The troubles in force.
#[derive(Debug, Default)]
pub(super) struct Troubles(BTreeMap<System, InForce>);

#[derive(Debug)]
struct InForce {
    trouble: Trouble,
    /// How many requests that it would strike go through first.
    skip: u32,
    /// How many it strikes; none: all.
    times: Option<u32>,
}

impl Troubles {
    /// Sets or ends the trouble of a system; `times` limits it to so many requests.
    pub(super) fn set(&mut self, system: System, trouble: Option<Trouble>, times: Option<u32>) {
        match trouble {
            Some(trouble) if times != Some(0) => self.0.insert(system, InForce { trouble, skip: 0, times }),
            Some(_) | None => self.0.remove(&system),
        };
    }

    /// Sets the trouble of a system from the request on that comes after so many.
    pub(super) fn set_after(&mut self, system: System, trouble: Trouble, skip: u32) {
        self.0.insert(system, InForce { trouble, skip, times: None });
    }

    /// The trouble that strikes a connection before anything is said on it: there nobody answers at all. It is used up by one.
    pub(super) fn strike_connection(&mut self, system: System) -> Option<Trouble> {
        let mute = matches!(self.0.get(&system)?.trouble, Trouble::Down | Trouble::Hang);
        mute.then(|| self.strike(system, false)).flatten()
    }

    /// The trouble that strikes the next request, which uses it up by one.
    pub(super) fn strike(&mut self, system: System, write: bool) -> Option<Trouble> {
        let InForce { trouble, skip, times } = self.0.get_mut(&system)?;
        if !trouble.strikes(system, write) {
            return None;
        }
        if *skip > 0 {
            *skip -= 1;
            return None;
        }
        let trouble = trouble.clone();
        if let Some(left) = times {
            *left -= 1;
            if *left == 0 {
                self.0.remove(&system);
            }
        }
        Some(trouble)
    }
}
