//! A secret of the configuration: a token, a password. It never shows itself: not in `Debug`, not in an error, not in the time that a
//! comparison takes.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A token or a password.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes the text as it is; who reads it from a file takes the final newline off.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the request that needs it and for nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `given` is this secret. Both sides are hashed first, so that the time tells neither how much of it is right nor how long it is.
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        let ours = Sha256::digest(self.0.as_bytes());
        let theirs = Sha256::digest(given.as_bytes());
        ours[..].ct_eq(&theirs[..]).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(...)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        let shown = format!("{:?}", Some(Secret::new("xoxb-123")));
        assert_eq!(shown, "Some(Secret(...))");
    }

    #[test]
    fn only_the_same_text_matches() {
        let secret = Secret::new("tök\nen");
        assert!(secret.matches("tök\nen"));
        for other in ["", "tök", "tök\nen ", "TÖK\nEN"] {
            assert!(!secret.matches(other), "{other:?}");
        }
    }
}
