//! Addresses of resources, and the patterns that allow some of them.
//!
//! `aws_route53_record.validation` is that resource and none of its instances, `aws_route53_record.validation["a"]` that instance, `aws_route53_record.validation[*]`
//! every instance that has a key or a number. `module.eks.*` is everything in that module, modules in it included, and `module.eks[*].*` the same of a module with
//! instances. `*` stands nowhere else: not alone, not for a part of a name, not for a type.
//! Source: <https://developer.hashicorp.com/terraform/cli/state/resource-addressing>.

use std::fmt;

/// One step of an address: a name, and the key of an instance as it is written between the brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    name: String,
    key: Option<String>,
}

/// Which addresses are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    steps: Vec<Step>,
    /// It ends in `.*`.
    everything_in: bool,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected the address of a resource, such as aws_route53_record.validation[*], module.dns.aws_route53_record.main or module.eks.*";
        let (rest, everything_in) = match text.strip_suffix(".*") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let steps = steps(rest).ok_or(EXPECTED)?;
        let inner = modules(&steps);
        let fits = match everything_in {
            true => !steps.is_empty() && inner.is_empty(),
            false => is_resource(inner),
        };
        if !fits {
            return Err(EXPECTED);
        }
        Ok(Self { text: text.to_owned(), steps, everything_in })
    }

    /// Whether it allows this address; one that can not be read is allowed by none.
    #[must_use]
    pub fn allows(&self, address: &str) -> bool {
        let Some(steps) = steps(address).filter(|steps| is_resource(modules(steps))) else { return false };
        let is_long_enough = match self.everything_in {
            true => steps.len() > self.steps.len(),
            false => steps.len() == self.steps.len(),
        };
        is_long_enough && self.steps.iter().zip(&steps).all(|(ours, theirs)| ours.allows(theirs))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Step {
    fn allows(&self, step: &Self) -> bool {
        self.name == step.name
            && match self.key.as_deref() {
                // In an address it is never one: a key is a number, or in quotes.
                Some("*") => step.key.as_deref().is_some_and(|key| key != "*"),
                key => key == step.key.as_deref(),
            }
    }
}

/// What comes after the modules.
fn modules(mut steps: &[Step]) -> &[Step] {
    while let [word, _, rest @ ..] = steps {
        if word.name != "module" || word.key.is_some() {
            break;
        }
        steps = rest;
    }
    steps
}

/// A type and a name, perhaps after `data` or `ephemeral`; only the name has a key.
fn is_resource(steps: &[Step]) -> bool {
    let rest = match steps {
        [first, rest @ ..] if matches!(first.name.as_str(), "data" | "ephemeral") && first.key.is_none() => {
            rest
        }
        all => all,
    };
    let [kind, _] = rest else { return false };
    kind.key.is_none() && !matches!(kind.name.as_str(), "module" | "data" | "ephemeral")
}

fn steps(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = text;
    loop {
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            return None;
        }
        let (key, after) = match after.strip_prefix('[') {
            Some(inner) => {
                let (key, after) = key(inner)?;
                (Some(key.to_owned()), after)
            }
            None => (None, after),
        };
        steps.push(Step { name: name.to_owned(), key });
        if after.is_empty() {
            return Some(steps);
        }
        rest = after.strip_prefix('.')?;
    }
}

/// The key, and what comes after its bracket: a number, a text in quotes in which `\` takes the meaning from the next character, or `*`.
fn key(text: &str) -> Option<(&str, &str)> {
    let end = if text.starts_with('"') {
        let mut escaped = false;
        let end = text.char_indices().skip(1).find_map(|(at, c)| {
            let is_end = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            is_end.then_some(at + 1)
        });
        end?
    } else {
        let end = text.find(']')?;
        let is_number = (1..=18).contains(&end) && text[..end].bytes().all(|byte| byte.is_ascii_digit());
        if !is_number && &text[..end] != "*" {
            return None;
        }
        end
    };
    let after = text[end..].strip_prefix(']')?;
    Some((&text[..end], after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allows(pattern: &str, address: &str) -> bool {
        Pattern::parse(pattern).unwrap_or_else(|_| panic!("{pattern}")).allows(address)
    }

    #[test]
    fn a_pattern_allows_what_it_says_and_nothing_beside_it() {
        for (pattern, allowed) in [
            ("aws_a.b", &["aws_a.b"][..]),
            ("aws_a.b[*]", &["aws_a.b[0]", "aws_a.b[\"x\"]", r#"aws_a.b["x\"].c.d[\""]"#]),
            ("aws_a.b[\"x\"]", &["aws_a.b[\"x\"]"]),
            ("data.aws_a.b", &["data.aws_a.b"]),
            (
                "module.m.*",
                &["module.m.aws_a.b", "module.m.data.aws_a.b", "module.m.module.n[\"x\"].aws_a.b[0]"],
            ),
            ("module.m[*].*", &["module.m[0].aws_a.b", "module.m[\"x.y\"].module.n.aws_a.b"]),
            ("module.m.module.n.*", &["module.m.module.n.aws_a.b"]),
        ] {
            for address in allowed {
                assert!(allows(pattern, address), "{pattern} {address}");
            }
        }
        for (pattern, address) in [
            ("aws_a.b", "aws_a.b[0]"),
            ("aws_a.b", "data.aws_a.b"),
            ("aws_a.b", "module.m.aws_a.b"),
            ("aws_a.b", "aws_a.bc"),
            ("aws_a.b[*]", "aws_a.b"),
            ("aws_a.b[*]", "aws_a.b[*]"),
            ("aws_a.b[*]", "aws_a.b[0].c"),
            ("aws_a.b[*]", r#"aws_a.b["x"].c.d["y"]"#),
            ("aws_a.b[0]", "aws_a.b[00]"),
            ("aws_a.b[0]", "aws_a.b[\"0\"]"),
            ("module.m.*", "module.m[0].aws_a.b"),
            ("module.m.*", "module.mm.aws_a.b"),
            ("module.m.*", "module.m"),
            ("module.m.*", "module.m.aws_a"),
            ("module.m.*", "aws_a.b"),
            ("module.m[*].*", "module.m.aws_a.b"),
            ("module.m.module.n.*", "module.m.aws_a.b"),
            ("aws_a.b", "aws_a.b "),
            ("aws_a.b", ""),
        ] {
            assert!(!allows(pattern, address), "{pattern} {address}");
        }
    }

    #[test]
    fn what_would_mean_more_than_somebody_wrote_is_no_pattern() {
        for text in [
            "",
            "*",
            ".*",
            "aws_a",
            "aws_a.*",
            "aws_*.b",
            "aws_a.b*",
            "module.*",
            "module.*.aws_a.b",
            "module.m",
            "module.m.*.*",
            "data.*",
            "aws_a.b[**]",
            "aws_a.b[",
            "aws_a.b[]",
            "aws_a.b[x]",
            "aws_a.b[\"x]",
            "aws_a[0].b",
            "aws_a.b.c",
            " aws_a.b",
            "module.m.*[0]",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    /// An address that is made of its parts, so that what it is does not have to be read from it.
    #[derive(Debug, Clone)]
    struct Made {
        modules: Vec<(String, Option<String>)>,
        resource: (String, Option<String>),
    }

    impl Made {
        fn text(&self) -> String {
            let key = |key: &Option<String>| key.as_ref().map(|key| format!("[{key}]")).unwrap_or_default();
            let mut text = String::new();
            for (name, index) in &self.modules {
                text.push_str(&format!("module.{name}{}.", key(index)));
            }
            text + &self.resource.0 + &key(&self.resource.1)
        }
    }

    fn keys() -> impl Strategy<Value = Option<String>> {
        let quoted = "[a-b.\\]\\[*\"\\\\ ]{0,6}";
        let quoted =
            quoted.prop_map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")));
        prop_oneof![Just(None), (0..3_u8).prop_map(|number| Some(number.to_string())), quoted.prop_map(Some)]
    }

    fn made() -> impl Strategy<Value = Made> {
        let modules = prop::collection::vec(("[a-b]", keys()), 0..3);
        let kind = prop_oneof!["[a-b]\\.[a-b]", "data\\.[a-b]\\.[a-b]"];
        (modules, kind, keys()).prop_map(|(modules, kind, key)| Made { modules, resource: (kind, key) })
    }

    proptest! {
        #[test]
        fn without_a_star_it_allows_its_own_text_alone(one in made(), other in made()) {
            let pattern = Pattern::parse(&one.text()).unwrap();
            prop_assert!(pattern.allows(&one.text()));
            prop_assert_eq!(pattern.allows(&other.text()), one.text() == other.text());
        }

        #[test]
        fn a_star_for_a_key_allows_that_resource_with_any_key(one in made(), other in made()) {
            let starred = Made { resource: (one.resource.0.clone(), Some("*".to_owned())), ..one.clone() };
            let is_one = one.modules == other.modules && one.resource.0 == other.resource.0 && other.resource.1.is_some();
            prop_assert_eq!(Pattern::parse(&starred.text()).unwrap().allows(&other.text()), is_one);
        }

        #[test]
        fn a_star_at_the_end_allows_what_is_in_that_module(one in made(), other in made()) {
            let text = Made { resource: ("*".to_owned(), None), ..one.clone() }.text();
            let Ok(pattern) = Pattern::parse(&text) else {
                prop_assert!(one.modules.is_empty());
                return Ok(());
            };
            let is_in = other.modules.get(..one.modules.len()) == Some(&one.modules[..]);
            prop_assert_eq!(pattern.allows(&other.text()), is_in);
        }

        #[test]
        fn no_text_is_too_strange(pattern in ".{0,20}", address in ".{0,20}") {
            let _ = Pattern::parse(&pattern).map(|pattern| pattern.allows(&address));
        }
    }
}
