//! Which pods may be asked at their own addresses, and which headers only the configuration knows. Pure.
//!
//! The address of a pod is what the cluster says, so it is held against what an operator wrote: the namespace, the port, and the networks that
//! pods have addresses in. What a name of a service may not lead to (this machine, its link, metadata services) a pod may not have either.

use std::fmt;
use std::net::IpAddr;

use http::HeaderName;

use super::policy::{Allowed, is_special};
use crate::clients::Secret;

/// The pods of a namespace, on one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedPods {
    /// The namespace.
    pub namespace: String,
    /// The port.
    pub port: u16,
    /// Where their addresses lie; empty: anywhere but at special addresses.
    pub networks: Vec<Network>,
}

impl AllowedPods {
    /// Whether a pod with this address may be connected to.
    #[must_use]
    pub fn connects(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if self.networks.is_empty() {
            return !is_special(address);
        }
        self.networks.iter().any(|network| network.holds(address))
    }
}

/// Addresses that begin alike: `10.0.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `ADDRESS/BITS`; the address is the first one.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected a network such as 10.0.0.0/16, with its first address";
        let (first, bits) = text.split_once('/').ok_or(EXPECTED)?;
        let first: IpAddr = first.parse().map_err(|_| EXPECTED)?;
        let bits: u32 = bits.parse().map_err(|_| EXPECTED)?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        // `/0` is everywhere, and says nothing.
        let network = Self { first, bits };
        let begins = (1..=most).contains(&bits) && network.masked(first) == network.masked_bits();
        begins.then_some(network).ok_or(EXPECTED)
    }

    fn masked_bits(&self) -> u128 {
        number(self.first)
    }

    /// The address with nothing but its beginning.
    fn masked(&self, address: IpAddr) -> u128 {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let rest = width - self.bits.min(width);
        number(address).checked_shr(rest).and_then(|high| high.checked_shl(rest)).unwrap_or(0)
    }

    /// Whether the address is one of them.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && self.masked(address) == self.masked_bits()
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// A header that goes to one of those who may be asked, and to nobody else. Its value stands in a file or the environment, and no runbook names it.
#[derive(Debug, Clone)]
pub struct Key {
    /// To whom.
    pub to: KeyTo,
    /// Its name.
    pub header: HeaderName,
    /// Its value.
    pub value: Secret,
}

/// Whom a [`Key`] is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyTo {
    /// A host.
    Host(Allowed),
    /// Pods.
    Pods {
        /// Of this namespace.
        namespace: String,
        /// On this port.
        port: u16,
    },
}

/// A pod as a question or a call reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodAt<'p> {
    /// Its namespace.
    pub namespace: &'p str,
    /// Its own address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap()
    }

    #[test]
    fn a_network_holds_the_addresses_that_begin_like_it() {
        for (text, within, without) in [
            (
                "10.0.0.0/16",
                &["10.0.0.0", "10.0.255.255", "::ffff:10.0.1.1"][..],
                &["10.1.0.0", "::a00:1"][..],
            ),
            ("127.64.0.0/10", &["127.64.0.1", "127.127.9.9"], &["127.0.0.1", "127.128.0.1"]),
            ("10.1.2.3/32", &["10.1.2.3"], &["10.1.2.2"]),
            ("fd00:1::/32", &["fd00:1::5"], &["fd00:2::5", "10.0.0.1"]),
        ] {
            let network = network(text);
            let holds = |address: &&str| network.holds(address.parse().unwrap());
            assert!(within.iter().all(holds), "{text}");
            assert!(!without.iter().any(holds), "{text}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in
            ["", "10.0.0.0", "10.0.0.1/16", "10.0.0.0/33", "0.0.0.0/0", "::/0", "a/8", "10.0.0.0/-1", "/8"]
        {
            assert!(Network::parse(text).is_err(), "{text}");
        }
        assert_eq!(network("10.0.0.0/16").to_string(), "10.0.0.0/16");
    }

    #[test]
    fn a_pod_at_a_special_address_is_connected_to_only_when_its_network_is_named() {
        let pods = |networks: &[&str]| AllowedPods {
            namespace: "shop".to_owned(),
            port: 8003,
            networks: networks.iter().map(|text| network(text)).collect(),
        };
        for address in ["127.64.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "0.0.0.0"] {
            assert!(!pods(&[]).connects(address.parse().unwrap()), "{address}");
        }
        assert!(pods(&[]).connects("10.0.0.1".parse().unwrap()));
        assert!(pods(&["127.64.0.0/10"]).connects("127.64.0.1".parse().unwrap()));
        assert!(!pods(&["127.64.0.0/10"]).connects("10.0.0.1".parse().unwrap()));
    }
}
