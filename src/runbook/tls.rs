//! The question what certificate a host presents.

use std::time::Duration;

use regex::Regex;

use super::{Template, Threshold, UrlTemplate};

/// What a threshold of days counts.
pub const DAY: Duration = Duration::from_hours(24);

/// Asks for how many days a client will go on accepting the certificate that a host presents; 0 when it does not now.
#[derive(Debug, Clone)]
pub struct TlsProbe {
    /// The host and the port, as an address without a path.
    pub address: UrlTemplate,
    /// The name that is asked for and must be in the certificate; without it the host.
    pub server_name: Option<Template>,
    /// What the issuer's name must match, as a whole.
    pub issuer: Option<Regex>,
    /// In days: when the answer holds.
    pub threshold: Threshold,
}
