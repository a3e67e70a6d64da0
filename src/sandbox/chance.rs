//! Seeded chance and the names that Kubernetes makes from it, so that the same seed gives the same names.

/// The characters of generated names: Kubernetes leaves out vowels and what looks alike.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A `SplitMix64` generator.
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which must not be 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub(super) fn uid(&mut self) -> String {
        let hex = format!("{:016x}{:016x}", self.next(), self.next());
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }

    /// The five characters at the end of a generated pod name.
    pub(super) fn suffix(&mut self) -> String {
        (0..5).map(|_| safe(self.next().to_le_bytes()[0])).collect()
    }
}

fn safe(byte: u8) -> char {
    char::from(SAFE[usize::from(byte) % SAFE.len()])
}

/// `pod-template-hash`: a 32 bit FNV-1a in decimal, its digits mapped to the safe characters as Kubernetes does.
pub(super) fn template_hash(text: &str) -> String {
    let hash =
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.to_string().bytes().map(safe).collect()
}
