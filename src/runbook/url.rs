//! The address of an `http` probe: read and checked when the runbook is loaded, filled in when an alert is answered.
//!
//! An alert's labels are hostile input. A value is encoded for the place that it stands in, so that it is one piece of the path or of the
//! query and nothing else; it can not change the scheme, the port, or where the host ends. That the host may be asked at all is for the
//! client's allow-list to say.

use std::ops::Range;

use super::template::{Part, Template, TemplateFault, no_value};

/// An address with placeholders, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    scheme: &'static str,
    /// The host, and the port if one is written.
    authority: Template,
    /// From the first slash on.
    rest: Vec<Segment>,
}

/// A piece of the path or of the query: what stands between two of `/ ? & =`, or one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    parts: Vec<Part>,
}

/// Why an address can not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    /// A placeholder without a value.
    #[error("{}", no_value(.0))]
    Empty(String),
    /// A value that would be more than a name of a host, or a piece of the path.
    #[error("the value of ${{{0}}} can not be {1}")]
    Unfit(String, &'static str),
}

const IN_HOST: &str = "a part of a host's name";
const IN_PATH: &str = "a piece of a path, as it would lead elsewhere";

impl UrlTemplate {
    /// Reads an address, such as `http://web.${labels.namespace}.svc:8080/health?deep=${labels.app}`.
    ///
    /// # Errors
    /// What is wrong with it, at least one fault.
    pub fn parse(text: &str) -> Result<Self, Vec<TemplateFault>> {
        let whole = Template::parse(text)?;
        let fault = |at: usize, message| Err(vec![TemplateFault { at, message }]);
        let holes = holes(&whole);
        let is_literal = |at: usize| !holes.iter().any(|hole| hole.contains(&at));
        let (scheme, from) = match text {
            _ if text.starts_with("http://") => ("http", 7),
            _ if text.starts_with("https://") => ("https", 8),
            _ => return fault(0, "the address must begin with http:// or https://"),
        };
        for (at, c) in text.char_indices().filter(|(at, _)| is_literal(*at)) {
            match c {
                '#' => return fault(at, "a fragment is never sent; expected an address without #"),
                '\\' => return fault(at, "a backslash has no place in an address; expected /"),
                '!'..='~' => {}
                _ => return fault(at, "expected ASCII without spaces; write other characters as %XX"),
            }
        }
        let ends = |c: char| matches!(c, '/' | '?');
        let end = text
            .char_indices()
            .find(|(at, c)| *at >= from && is_literal(*at) && ends(*c))
            .map_or(text.len(), |(at, _)| at);
        let authority = &text[from..end];
        if let Some(at) = authority.find('@') {
            return fault(from + at, "an address must not hold a name or a password");
        }
        let authority = Template::parse(authority)?;
        if authority.parts.is_empty() {
            return fault(from, "the address names no host");
        }
        if !plausible(&authority) {
            return fault(
                from,
                "expected a host, and perhaps a port, such as web.shop.svc:8080; only ${vars.NAME} may hold the port",
            );
        }
        let rest = Template::parse(&text[end..])?;
        Ok(Self { scheme, authority, rest: segments(rest) })
    }

    /// The paths of the placeholders, and the byte of the text at which each begins.
    #[must_use]
    pub fn placeholders(text: &str) -> Vec<(String, usize)> {
        let template = Template::parse(text);
        let of =
            |template: &Template| template.placeholders().map(|(path, at)| (path.to_owned(), at)).collect();
        template.as_ref().map(of).unwrap_or_default()
    }

    /// The address of the host alone, when no value of an alert is needed to say it.
    #[must_use]
    pub fn origin(&self, mut variable: impl FnMut(&str) -> Option<String>) -> Option<String> {
        let of_vars = |path: &str| path.starts_with("vars.").then(|| variable(path)).flatten();
        let authority = authority(&self.authority, of_vars).ok()?;
        Some(format!("{}://{authority}/", self.scheme))
    }

    /// The address with every placeholder filled in.
    ///
    /// # Errors
    /// The first placeholder without a value, or with one that does not fit its place.
    pub fn with(&self, mut value: impl FnMut(&str) -> Option<String>) -> Result<String, Unfilled> {
        let mut text = format!("{}://{}", self.scheme, authority(&self.authority, &mut value)?);
        for segment in &self.rest {
            let mut filled = String::new();
            let mut last = None;
            for part in &segment.parts {
                match part {
                    Part::Text(written) => filled.push_str(written),
                    Part::Placeholder(path) => {
                        let value = need(&mut value, path)?;
                        filled.push_str(&encoded(&value));
                        last = Some(path);
                    }
                }
            }
            // `.` and `..` are steps in a path, and so is what is written `%2e`.
            if let Some(path) = last
                && matches!(filled.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
            {
                return Err(Unfilled::Unfit(path.clone(), IN_PATH));
            }
            text.push_str(&filled);
        }
        Ok(text)
    }
}

fn need(value: &mut impl FnMut(&str) -> Option<String>, path: &str) -> Result<String, Unfilled> {
    value(path).filter(|value| !value.is_empty()).ok_or_else(|| Unfilled::Empty(path.to_owned()))
}

/// The host and the port. What an operator wrote into `vars:` may hold both; a value of an alert is a part of a name and nothing else.
fn authority(template: &Template, mut value: impl FnMut(&str) -> Option<String>) -> Result<String, Unfilled> {
    let mut text = String::new();
    for part in &template.parts {
        match part {
            Part::Text(written) => text.push_str(written),
            Part::Placeholder(path) => {
                let value = need(&mut value, path)?;
                let is_own = path.starts_with("vars.");
                let fits = |c: char| {
                    c.is_ascii_alphanumeric()
                        || matches!(c, '.' | '-')
                        || is_own && matches!(c, ':' | '[' | ']')
                };
                if !value.chars().all(fits) {
                    return Err(Unfilled::Unfit(path.clone(), IN_HOST));
                }
                text.push_str(&value);
            }
        }
    }
    Ok(text)
}

/// Whether this can be a host with a port, whatever the values of its placeholders are.
fn plausible(authority: &Template) -> bool {
    let mut in_port = false;
    let mut in_brackets = false;
    for part in &authority.parts {
        match part {
            Part::Placeholder(path) if in_port || in_brackets => {
                if in_brackets || !path.starts_with("vars.") {
                    return false;
                }
            }
            Part::Placeholder(_) => {}
            Part::Text(text) => {
                for c in text.chars() {
                    let fits = match c {
                        '[' => !std::mem::replace(&mut in_brackets, true),
                        ']' => std::mem::replace(&mut in_brackets, false),
                        ':' if in_brackets => true,
                        ':' => !std::mem::replace(&mut in_port, true),
                        _ if in_port => c.is_ascii_digit(),
                        _ if in_brackets => c.is_ascii_hexdigit() || c == '.',
                        _ => c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'),
                    };
                    if !fits {
                        return false;
                    }
                }
            }
        }
    }
    !in_brackets
}

/// Where in the text the placeholders stand.
fn holes(template: &Template) -> Vec<Range<usize>> {
    template.placeholders().map(|(path, at)| at..at + path.len() + "${}".len()).collect()
}

fn segments(rest: Template) -> Vec<Segment> {
    let mut segments = vec![Segment { parts: Vec::new() }];
    let mut add = |part, begins: bool| {
        if begins {
            segments.push(Segment { parts: Vec::new() });
        }
        if let Some(segment) = segments.last_mut() {
            segment.parts.push(part);
        }
    };
    for part in rest.parts {
        match part {
            Part::Placeholder(_) => add(part, false),
            Part::Text(text) => {
                let mut piece = String::new();
                let mut begins = false;
                for c in text.chars() {
                    if matches!(c, '/' | '?' | '&' | '=') {
                        add(Part::Text(std::mem::take(&mut piece)), begins);
                        add(Part::Text(c.to_string()), true);
                        begins = true;
                    } else {
                        piece.push(c);
                    }
                }
                add(Part::Text(piece), begins);
            }
        }
    }
    segments
}

/// `value` as one piece of a path or a query: whatever is not unreserved (RFC 3986, section 2.3) is written as `%XX`.
fn encoded(value: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            // Writing to a String can not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, value: &str) -> Result<String, Unfilled> {
        UrlTemplate::parse(text).unwrap().with(|_| Some(value.to_owned()))
    }

    #[test]
    fn a_value_is_one_piece_of_the_path_or_the_query() {
        let url = "http://web.shop.svc:8080/a/${labels.a}/b?q=${labels.a}&r=1";
        assert_eq!(
            filled(url, "x/../?#&=%+ \u{e9}").unwrap(),
            "http://web.shop.svc:8080/a/x%2F..%2F%3F%23%26%3D%25%2B%20%C3%A9/b?q=x%2F..%2F%3F%23%26%3D%25%2B%20%C3%A9&r=1"
        );
        assert_eq!(filled("https://h", "x").unwrap(), "https://h");
        assert_eq!(filled("http://h/${labels.a}${labels.b}", "a").unwrap(), "http://h/aa");
    }

    #[test]
    fn no_value_is_a_step_up_in_the_path_and_an_empty_one_is_a_refusal() {
        for (url, value) in [
            ("http://h/${labels.a}/x", ".."),
            ("http://h/${labels.a}", "."),
            ("http://h/.${labels.a}/x", "."),
            ("http://h/%2e${labels.a}/x", "."),
            ("http://h/${labels.a}${labels.a}", "."),
        ] {
            let refused = filled(url, value).unwrap_err();
            assert_eq!(refused, Unfilled::Unfit("labels.a".to_owned(), IN_PATH), "{url}");
        }
        assert_eq!(filled("http://h/a${labels.a}/x", "..").unwrap(), "http://h/a../x");
        assert_eq!(filled("http://h/${labels.a}", "").unwrap_err(), Unfilled::Empty("labels.a".to_owned()));
    }

    #[test]
    fn a_value_of_an_alert_is_a_part_of_a_host_and_a_variable_may_hold_the_port() {
        let host = "http://web.${labels.namespace}.svc:8080/health";
        assert_eq!(filled(host, "shop").unwrap(), "http://web.shop.svc:8080/health");
        for value in ["a:80", "a@b", "a/b", "a?b", "a#b", "[::1]", "a b", "a\\b", "%61", "\u{e9}"] {
            let refused = filled(host, value).unwrap_err();
            assert_eq!(refused, Unfilled::Unfit("labels.namespace".to_owned(), IN_HOST), "{value}");
        }
        assert_eq!(filled("http://${vars.web}/health", "web:8080").unwrap(), "http://web:8080/health");
        assert!(filled("http://${vars.web}/health", "user@web").is_err());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "web/health",
            "ftp://web",
            "HTTP://web",
            "http://",
            "http:///health",
            "http://user@web/",
            "http://web:8080:1/",
            "http://web:port/",
            "http://web:${labels.port}/",
            "http://[::1${labels.a}]/",
            "http://[::1/",
            "http://web/#top",
            "http://web/a b",
            "http://web\\a",
            "http://web/${labels.a",
            "${vars.url}",
        ] {
            assert!(UrlTemplate::parse(url).is_err(), "{url}");
        }
        for url in
            ["http://web", "http://[::1]:80/", "https://10.0.0.1/?a=${labels.a}", "http://${each.app}/"]
        {
            assert!(UrlTemplate::parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn the_host_is_known_beforehand_unless_an_alert_says_it() {
        let origin = |text: &str| {
            UrlTemplate::parse(text).unwrap().origin(|path| (path == "vars.web").then(|| "w:1".to_owned()))
        };
        assert_eq!(origin("http://web:80/a/${labels.b}"), Some("http://web:80/".to_owned()));
        assert_eq!(origin("https://${vars.web}/a"), Some("https://w:1/".to_owned()));
        assert_eq!(origin("http://web.${labels.namespace}.svc/a"), None);
        assert_eq!(origin("http://${vars.other}/a"), None);
    }
}
