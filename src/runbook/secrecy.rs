//! What may be a secret, by its name or its form: it is neither changed nor shown, since what runbookd says stands in the journal for ever.

/// Parts of names that secrets have.
const PARTS: [&str; 9] =
    ["PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "SECRET", "KEY", "DSN", "CREDENTIAL", "PRIVATE"];
/// Whole words of such names, which are parts of many another.
const WORDS: [&str; 5] = ["PASS", "PWD", "AUTH", "CREDS", "PAT"];
/// Keys of such values in a connection string.
const KEYS: [&str; 6] = ["password", "passwd", "pwd", "secret", "token", "accountkey"];
/// Stands for a line that is not shown.
const HIDDEN: &str = "(hidden: it may hold a secret)";

/// Whether a variable of this name may hold a secret. Rather too many than one too few.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    PARTS.iter().any(|part| name.contains(part))
        || name.split(['_', '-', '.']).any(|word| WORDS.contains(&word))
}

/// Whether a text holds a secret by its form: `user:password@` in an address, or `password=` in a connection string.
#[must_use]
pub fn holds_secret(text: &str) -> bool {
    has_userinfo(text) || has_key(text)
}

/// A text of somebody else's as people are shown it, line for line.
#[must_use]
pub fn shown(text: &str) -> String {
    let line = |line| if holds_secret(line) || has_member(line) { HIDDEN } else { line };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Whether a member of a JSON object has such a name: `"access_token": ...`.
fn has_member(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.match_indices(':').any(|(at, _)| {
        let name = text[..at].trim_end().strip_suffix(['"', '\'']);
        name.is_some_and(|name| KEYS.iter().any(|key| name.ends_with(key)))
    })
}

fn has_userinfo(text: &str) -> bool {
    text.match_indices("://").any(|(at, separator)| {
        let rest = &text[at + separator.len()..];
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.contains('@')
    })
}

fn has_key(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.match_indices('=').any(|(at, _)| {
        let before = text[..at].trim_end();
        KEYS.iter().any(|key| before.ends_with(key))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_known_by_its_name_or_its_form() {
        for name in [
            "DB_PASSWORD",
            "api_token",
            "OPENAI_API_KEY",
            "SentryDsn",
            "CLIENT_SECRETS",
            "AWS_CREDENTIALS",
            "DB_PASS",
            "PGPASS_PWD",
            "BASIC_AUTH",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in
            ["SQLALCHEMY_POOL_SIZE", "LOG_LEVEL", "WEB_CONCURRENCY", "DATABASE_URL", "BYPASS", "AUTHOR"]
        {
            assert!(!is_secret(name), "{name}");
        }
        for text in [
            "postgres://app:hunter2@db:5432/chat",
            "a,amqp://u@h",
            "host=db Password = hunter2",
            "Server=db;Pwd=hunter2",
        ] {
            assert!(holds_secret(text), "{text}");
        }
        for line in
            ["login as postgres://app:hunter2@db/chat", "Token=abc", r#"{"a": 1, "access_token": "abc"}"#]
        {
            let whole = format!("one\n{line}\nthree");
            assert_eq!(shown(&whole), format!("one\n{HIDDEN}\nthree"), "{line}");
        }
        let plain = r#"{"detail": "Invalid internal API key: token missing"}"#;
        assert_eq!(shown(plain), plain);
        for text in ["http://inference:8003/a@b", "ana@example.org", "20", "host=db port=5432", "a=b"] {
            assert!(!holds_secret(text), "{text}");
        }
    }
}
