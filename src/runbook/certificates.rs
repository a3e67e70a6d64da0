//! The questions about certificates in AWS: how ACM and their renewal stand, and whether the records in Route 53 are what ACM asks for.

use super::{Template, Threshold};

/// Asks ACM about a certificate.
#[derive(Debug, Clone)]
pub struct AcmProbe {
    /// What is asked.
    pub state: AcmState,
    /// A domain that it is for, or its ARN.
    pub certificate: Template,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// What is asked of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AcmState {
    /// For how many days it is still good; 0 when it is not issued.
    DaysLeft,
    /// How many things keep ACM from renewing it by itself.
    RenewalBlocked,
}

impl AcmState {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::DaysLeft, Self::RenewalBlocked];

    /// The word in YAML and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DaysLeft => "days_left",
            Self::RenewalBlocked => "renewal_blocked",
        }
    }
}

/// Counts the records by which ACM validates a certificate that are in a state.
#[derive(Debug, Clone)]
pub struct Route53Probe {
    /// What is counted.
    pub state: Route53State,
    /// A domain that the certificate is for, or its ARN.
    pub certificate: Template,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// How a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route53State {
    /// It is missing or another one, and an upsert would mend it.
    WrongRecords,
    /// It is wrong in a way that a person has to mend: something else holds the name, or its zone can not be told.
    Unrepairable,
}

impl Route53State {
    /// All states.
    pub const ALL: [Self; 2] = [Self::WrongRecords, Self::Unrepairable];

    /// The word in YAML and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongRecords => "wrong_records",
            Self::Unrepairable => "unrepairable",
        }
    }
}
