//! Which texts may stand in a path of the Kubernetes API. Alert labels are hostile: `../secrets/x` must never become part of a URL, so a
//! name that is not one is refused before anything is sent. Names are never repaired or guessed.

/// Whether `name` is an RFC 1123 subdomain: the names of deployments and most other objects.
/// Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.
#[must_use]
pub fn valid_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_part)
}

/// Whether `name` is an RFC 1123 label: the names of namespaces.
#[must_use]
pub fn valid_namespace(name: &str) -> bool {
    name.len() <= 63 && is_part(name)
}

fn is_part(part: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.first().is_some_and(inner)
        && bytes.last().is_some_and(inner)
        && bytes.iter().all(|byte| inner(byte) || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_shipped_runbooks_are_valid() {
        for name in ["chat-api", "samosachaat-prod", "a", "0", "a.b-c.d"] {
            assert!(valid_name(name), "{name}");
        }
        assert!(valid_namespace("samosachaat-prod"));
    }

    #[test]
    fn what_could_leave_the_path_is_no_name() {
        let long = "a".repeat(254);
        for name in [
            "",
            ".",
            "..",
            "../secrets/x",
            "a/b",
            "a%2fb",
            "a?b",
            "a#b",
            "a b",
            "A",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a.",
            "a\n",
            "\u{e4}",
            "a_b",
            "${x}",
            &long,
        ] {
            assert!(!valid_name(name), "{name}");
        }
        for name in ["a.b", "", &"a".repeat(64)] {
            assert!(!valid_namespace(name), "{name}");
        }
    }
}
