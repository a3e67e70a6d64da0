//! What can be broken in the cluster itself: a closed set, each with its words. Who breaks it is the caller's.

use std::fmt;
use std::time::Duration;

use super::Lasts;
use super::fault::{of_memory_limit, of_node, of_pods};
use crate::clients::load::Address;
use crate::text::{count, span};

/// One fault in the cluster itself, when it is made and how long it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenForReal {
    /// So long after the one before it.
    pub wait: Duration,
    /// What is broken.
    pub fault: RealFault,
    /// Until when.
    pub lasts: Lasts,
}

/// Something that is broken for real.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RealFault {
    /// Pods of a Deployment are deleted.
    DeletePods {
        /// Whose.
        deployment: String,
        /// How many; none: all of them.
        count: Option<u32>,
    },
    /// The machine of a node is terminated.
    EndNode {
        /// One with a pod of this Deployment.
        with_pod_of: String,
    },
    /// The memory limit is set.
    MemoryLimit {
        /// Whose.
        deployment: String,
        /// To this.
        limit: String,
    },
    /// One address is asked, by many clients at once.
    Load {
        /// Which.
        url: String,
        /// By so many clients.
        concurrency: u32,
        /// So often in all; none: for as long as it lasts.
        requests: Option<u64>,
        /// For no longer than this.
        duration: Duration,
        /// How it is asked.
        method: String,
        /// Further headers, each as `Name: value`.
        headers: Vec<String>,
        /// The body, if there is one.
        body: Option<String>,
    },
    /// The record by which ACM validates the public certificate gets another value.
    ValidationRecord,
}

impl RealFault {
    /// Whether whoever made it can end it: anything else stays until it is mended.
    #[must_use]
    pub const fn can_end(&self) -> bool {
        matches!(self, Self::Load { .. })
    }
}

impl fmt::Display for RealFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeletePods { deployment, count } => of_pods(formatter, deployment, *count),
            Self::EndNode { with_pod_of } => of_node(formatter, with_pod_of),
            Self::MemoryLimit { deployment, limit } => of_memory_limit(formatter, deployment, limit),
            Self::Load { url, concurrency, requests, duration, method, .. } => {
                // The query may hold what is nobody's to read.
                let shown = Address::parse(url).map_or_else(|_| url.clone(), |address| address.shown());
                let requests = match requests {
                    Some(number) => format!("{}, ", count(*number, "request", "requests")),
                    None => String::new(),
                };
                let most = span(*duration);
                write!(
                    formatter,
                    "{method} {shown} is asked by {concurrency} clients at once, {requests}for {most} at most"
                )
            }
            Self::ValidationRecord => formatter.write_str("the validation record is changed"),
        }
    }
}
