//! Quantities of Kubernetes, such as `512Mi` and `500m`, as whole thousandths: read, compared, and written as the API server writes them.
//!
//! Of our own, since the only crate for them is bound to one release of `k8s-openapi`, and they are a dozen suffixes.
//! Source: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

use std::fmt;
use std::str::FromStr;

/// An amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    thousandths: u128,
}

/// Not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no quantity; expected one such as `512Mi`, `8Gi`, `500m` or `2`")]
pub struct BadQuantity(String);

const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
/// By the power of ten of a thousandth.
const DECIMAL: [(&str, u32); 8] =
    [("m", 0), ("", 3), ("k", 6), ("M", 9), ("G", 12), ("T", 15), ("P", 18), ("E", 21)];
/// Kubernetes keeps no more than an `i64`; what is longer is a mistake.
const DIGITS: usize = 19;

impl Quantity {
    /// So many whole ones: bytes, cores.
    #[must_use]
    pub const fn whole(ones: u64) -> Self {
        Self { thousandths: ones as u128 * 1000 }
    }

    /// So many hundredths of it.
    #[must_use]
    pub const fn percent(self, percent: u32) -> Self {
        Self { thousandths: self.thousandths.saturating_mul(percent as u128) / 100 }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { thousandths: self.thousandths.saturating_add(other.thousandths) }
    }

    /// What is left of it, if anything.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self { thousandths: self.thousandths.saturating_sub(other.thousandths) }
    }

    /// So many of it.
    #[must_use]
    pub const fn times(self, number: u32) -> Self {
        Self { thousandths: self.thousandths.saturating_mul(number as u128) }
    }

    /// Whole ones, such as bytes.
    #[must_use]
    pub const fn ones(self) -> u128 {
        self.thousandths.div_ceil(1000)
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.thousandths == 0
    }

    /// As bytes are written: in whole mebibytes, which nobody sets a limit finer than.
    #[must_use]
    pub const fn in_mebibytes(self) -> Self {
        let mebibyte = 1000 << 20;
        if self.thousandths < mebibyte {
            self
        } else {
            Self { thousandths: self.thousandths / mebibyte * mebibyte }
        }
    }
}

impl FromStr for Quantity {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let bad = || BadQuantity(text.to_owned());
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (figure, suffix) = text.split_at(end);
        let (whole, part) = figure.split_once('.').unwrap_or((figure, ""));
        if figure.is_empty() || whole.len() + part.len() > DIGITS || whole.len() + part.len() == 0 {
            return Err(bad());
        }
        let digits: u128 = format!("{whole}{part}").parse().map_err(|_| bad())?;
        let behind = 10_u128.pow(u32::try_from(part.len()).map_err(|_| bad())?);
        let times = if let Some((_, power)) = BINARY.iter().find(|(word, _)| *word == suffix) {
            1000_u128 << power
        } else if let Some((_, power)) = DECIMAL.iter().find(|(word, _)| *word == suffix) {
            10_u128.pow(*power)
        } else {
            return Err(bad());
        };
        let thousandths = digits.checked_mul(times).ok_or_else(bad)?;
        // Finer than a thousandth is rounded up, as Kubernetes does.
        Ok(Self { thousandths: thousandths.div_ceil(behind) })
    }
}

impl fmt::Display for Quantity {
    /// With the largest suffix that leaves no fraction, powers of two first: `1536Mi`, `500m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.thousandths.is_multiple_of(1000) {
            return write!(f, "{}m", self.thousandths);
        }
        let ones = self.thousandths / 1000;
        let fits = BINARY.iter().rev().find(|(_, power)| ones != 0 && ones.is_multiple_of(1_u128 << power));
        match fits {
            Some((suffix, power)) => write!(f, "{}{suffix}", ones >> power),
            None => write!(f, "{ones}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn suffixes_mean_what_kubernetes_means_by_them() {
        for (one, other) in [
            ("1Gi", "1024Mi"),
            ("1k", "1000"),
            ("0.5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("2000m", "2"),
            ("1M", "1000k"),
        ] {
            assert_eq!(read(one), read(other), "{one} {other}");
        }
        for bad in ["", "Gi", "1gi", "-1", "1 Gi", "1e3x", "99999999999999999999", ".", "1.2.3", "abc"] {
            assert!(bad.parse::<Quantity>().is_err(), "{bad}");
        }
        assert_eq!(read("512Mi").percent(150).to_string(), "768Mi");
        assert_eq!(read("1000Mi").percent(33).in_mebibytes().to_string(), "330Mi");
        assert_eq!(read("250m").percent(200).to_string(), "500m");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ones in any::<u32>(), power in 0..3_u32) {
            let quantity = Quantity::whole(u64::from(ones) << (10 * power));
            prop_assert_eq!(read(&quantity.to_string()), quantity);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,24}") {
            let _ = text.parse::<Quantity>();
        }
    }
}
