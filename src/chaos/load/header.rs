//! A header that a person names. What it holds may be a secret, and is in no error.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue};

/// These say how a request is sent, or to whom, and are not a person's to say.
const NOT_THESE: [HeaderName; 7] = [CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE];

/// A header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// What it holds.
    pub value: HeaderValue,
}

/// What is wrong with a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// No colon, or no name before it.
    #[error("expected 'Name: value', such as 'Content-Type: application/json'")]
    NoName,
    /// One of those that are not a person's to say.
    #[error("{0} is the client's own to say: the address names the host, and the body has its length")]
    NotThis(HeaderName),
    /// A line break, or another control character.
    #[error("the value of {0} can not be sent; expected one line of text")]
    Value(HeaderName),
}

impl Header {
    /// Reads `Name: value`.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(text: &str) -> Result<Self, BadHeader> {
        let (name, value) = Self::split(text)?;
        Self::new(name, value)
    }

    /// The name, and what stands behind the colon.
    ///
    /// # Errors
    /// When there is no name, or one that is not a person's to say.
    pub fn split(text: &str) -> Result<(HeaderName, &str), BadHeader> {
        let (name, rest) = text.split_once(':').ok_or(BadHeader::NoName)?;
        let name: HeaderName = name.parse().map_err(|_| BadHeader::NoName)?;
        if NOT_THESE.contains(&name) {
            return Err(BadHeader::NotThis(name));
        }
        Ok((name, rest.trim()))
    }

    /// A header with this value, which nothing will show.
    ///
    /// # Errors
    /// When the value can not be sent.
    pub fn new(name: HeaderName, value: &str) -> Result<Self, BadHeader> {
        match HeaderValue::from_str(value) {
            Ok(mut value) => {
                value.set_sensitive(true);
                Ok(Self { name, value })
            }
            Err(_) => Err(BadHeader::Value(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_a_colon_and_one_line() {
        for (text, name, value) in [
            ("Content-Type: application/json", "content-type", "application/json"),
            ("X-A:b:c", "x-a", "b:c"),
            ("X-Empty:", "x-empty", ""),
        ] {
            let header = Header::parse(text).unwrap();
            assert_eq!((header.name.as_str(), header.value.as_bytes()), (name, value.as_bytes()), "{text}");
        }
        for text in ["", "Name", ": value", "Na me: value", " Name: value", "N\u{e4}me: value", "A\n: b"] {
            assert_eq!(Header::parse(text).unwrap_err(), BadHeader::NoName, "{text:?}");
        }
        for text in ["Host: other", "content-length: 3", "Transfer-Encoding: chunked", "EXPECT: 100-continue"]
        {
            assert!(matches!(Header::parse(text), Err(BadHeader::NotThis(_))), "{text}");
        }
    }

    #[test]
    fn no_value_is_shown() {
        let refused = Header::parse("Authorization: Bearer do-not-show\r\nX: y").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the value of authorization can not be sent; expected one line of text"
        );
        let header = Header::parse("Authorization: Bearer do-not-show").unwrap();
        assert!(!format!("{header:?}").contains("do-not-show"));
    }
}
