//! Which hosts may be asked, and at which addresses: the pure part. Nothing here resolves or connects.
//!
//! An operator lists hosts; a runbook names one, in which a value of an alert may stand; a resolver gives addresses, which somebody else may
//! control. So the whole host must be listed, and the address must be one that a listed *name* can have: this machine, its link and a
//! cloud's metadata service are never meant by the name of a service, and only by their own address (or `localhost`) in the list.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use super::pods::{AllowedPods, PodAt};

/// A host that may be asked: `web.shop.svc:8080`, or without a port for every port of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

/// A host and a port that a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    host: Host,
    port: u16,
}

impl Allowed {
    /// Reads `host` or `host:port`; an IPv6 address with a port needs brackets.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected a host, or a host and a port, such as web.shop.svc:8080";
        if text.contains(['*', '/', '@', '?', '#', '\\', '%', ' ']) {
            return Err(EXPECTED);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { host: Host::Address(address.to_canonical()), port: None });
        }
        // The address parser knows every way to write a host; what it takes must not have been changed to another one.
        let url = Url::parse(&format!("http://{text}/")).map_err(|_| EXPECTED)?;
        let host = host(&url).ok_or(EXPECTED)?;
        let port = match text.rsplit_once(':') {
            Some((_, port)) if !text.ends_with(']') => Some(port.parse::<u16>().map_err(|_| EXPECTED)?),
            _ => None,
        };
        if port == Some(0) {
            return Err(EXPECTED);
        }
        Ok(Self { host, port })
    }

    /// Whether it means this host and port.
    #[must_use]
    pub fn covers(&self, origin: &Origin) -> bool {
        self.host == origin.host && self.port.is_none_or(|port| port == origin.port)
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (host, None) => write!(f, "{host}"),
            (Host::Address(IpAddr::V6(address)), Some(port)) => write!(f, "[{address}]:{port}"),
            (host, Some(port)) => write!(f, "{host}:{port}"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Allowed { host: self.host.clone(), port: Some(self.port) }.fmt(f)
    }
}

impl Origin {
    /// Of an address that may be asked at all: HTTP, with a host, without a name or a password.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        let is_plain =
            matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
        let port = url.port_or_known_default().filter(|port| is_plain && *port > 0)?;
        Some(Self { host: host(url)?, port })
    }

    /// Of such an address, as text.
    #[must_use]
    pub fn read(url: &str) -> Option<Self> {
        Self::of(&Url::parse(url).ok()?)
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address, when the host is one.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Address(address) => Some(address),
            Host::Name(_) => None,
        }
    }
}

/// The host as it is compared: in small letters, without the dot of the root, an address by its value.
fn host(url: &Url) -> Option<Host> {
    let text = url.host_str()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Host::Address(address.to_canonical()));
    }
    let name = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
    (!name.is_empty() && !name.ends_with('.')).then_some(Host::Name(name))
}

/// The hosts and pods that may be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    hosts: Vec<Allowed>,
    pods: Vec<AllowedPods>,
}

impl Policy {
    /// These, and no others.
    #[must_use]
    pub const fn new(hosts: Vec<Allowed>) -> Self {
        Self { hosts, pods: Vec::new() }
    }

    /// And these pods, at their own addresses.
    #[must_use]
    pub fn with_pods(self, pods: Vec<AllowedPods>) -> Self {
        Self { pods, ..self }
    }

    /// Whether pods may be asked on this port; without a namespace, those of any.
    #[must_use]
    pub fn allows_pods(&self, namespace: Option<&str>, port: u16) -> bool {
        let of = |pods: &AllowedPods| namespace.is_none_or(|namespace| pods.namespace == namespace);
        self.pods.iter().any(|pods| pods.port == port && of(pods))
    }

    /// Whether this pod may be connected to.
    #[must_use]
    pub fn connects_to_pod(&self, pod: PodAt<'_>) -> bool {
        let of = |pods: &&AllowedPods| pods.namespace == pod.namespace && pods.port == pod.port;
        self.pods.iter().filter(of).any(|pods| pods.connects(pod.address))
    }

    /// Whether this host may be asked on this port.
    #[must_use]
    pub fn allows(&self, origin: &Origin) -> bool {
        self.hosts.iter().any(|allowed| allowed.covers(origin))
    }

    /// Whether this address may be connected to, for a host that is allowed.
    #[must_use]
    pub fn connects(&self, origin: &Origin, address: IpAddr) -> bool {
        if !self.allows(origin) {
            return false;
        }
        let address = address.to_canonical();
        let by_itself = Origin { host: Host::Address(address), port: origin.port };
        if self.allows(&by_itself) {
            return true;
        }
        let is_localhost = origin.host == Host::Name("localhost".to_owned());
        !is_special(address) || is_localhost && address.is_loopback()
    }
}

/// Addresses that no name of a service should lead to. Sources: RFC 6890, and the clouds' own pages about their metadata services.
#[must_use]
pub fn is_special(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_special_v4(address),
        IpAddr::V6(address) => is_special_v6(address),
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    const METADATA: [Ipv4Addr; 3] = [
        // Alibaba Cloud, Azure, Oracle Cloud; the others' is link-local.
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    address.is_loopback()
        || address.is_link_local()
        || address.octets()[0] == 0
        || address.is_multicast()
        || address.octets()[0] >= 240
        || METADATA.contains(&address)
}

fn is_special_v6(address: Ipv6Addr) -> bool {
    /// Of AWS.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    let groups = address.segments();
    let low = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    // An IPv4 address inside: NAT64 (RFC 6052), 6to4 (RFC 3056), and the old form without a prefix.
    let inner = match groups {
        [0x64, 0xff9b, 0, 0, 0, 0, high, last] => Some(low(high, last)),
        [0x2002, high, last, ..] => Some(low(high, last)),
        [0, 0, 0, 0, 0, 0, high, last] => Some(low(high, last)),
        _ => None,
    };
    address.is_loopback()
        || address.is_unspecified()
        || address.is_unicast_link_local()
        // Site-local, deprecated and still somewhere in use for what is next door.
        || groups[0] & 0xffc0 == 0xfec0
        || address.is_multicast()
        || address == METADATA
        || inner.is_some_and(is_special_v4)
}
