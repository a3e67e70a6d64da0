//! Where values may stand in PromQL and what becomes of them, and how far back a query looks.

use proptest::prelude::*;

use super::lex::{Kind as Lexed, tokens};
use super::*;

fn with(text: &str, value: &str) -> Rendered {
    PromQuery::parse(text).unwrap().with(|_| Some(value.to_owned()), 1).unwrap()
}

#[track_caller]
fn refused(text: &str) -> Fault {
    PromQuery::parse(text).expect_err(text).remove(0)
}

#[test]
fn a_value_is_escaped_for_the_string_that_it_stands_in() {
    let value = "a\"b'c\\d.e\n";
    for (text, expected) in [
        (r#"up{a="${labels.x}"}"#, r#"up{a="a\"b'c\\d.e\n"}"#),
        (r"up{a='${labels.x}'}", r#"up{a='a"b\'c\\d.e\n'}"#),
        (r#"up{a!="p-${labels.x}-s"}"#, r#"up{a!="p-a\"b'c\\d.e\n-s"}"#),
        (r#"up{a=~"${labels.x}|z"}"#, r#"up{a=~"a\"b'c\\\\d\\.e\n|z"}"#),
        (r#"up{a!~'${labels.x}'}"#, r#"up{a!~'a"b\'c\\\\d\\.e\n'}"#),
    ] {
        assert_eq!(with(text, value).query, expected, "{text}");
    }
}

#[test]
fn a_query_keeps_its_words_and_loses_its_comments() {
    let text = "sum by (app) ( # the errors\n  rate(x_total{ns=\"${labels.ns}\", code=~'5..'}[5m])\n) / 2e-3 > bool .5";
    let expected = "sum by (app) ( rate(x_total{ns=\"shop\", code=~'5..'}[5m]) ) / 2e-3 > bool .5";
    assert_eq!(with(text, "shop").query, expected);
}

#[test]
fn a_placeholder_stands_in_the_string_of_a_matcher_and_nowhere_else() {
    for (text, part) in [
        ("up{a=${labels.x}}", "may only stand in the string of a label matcher"),
        ("${labels.x}", "may only stand in the string of a label matcher"),
        ("rate(x[${labels.x}])", "may only stand in the string of a label matcher"),
        (r#"label_replace(up, "a", "${labels.x}", "b", ".*")"#, "could change what this one does"),
        (r#"up{"${labels.x}"="a"}"#, "expected the name of a label"),
        ("up{a=`${labels.x}`}", "may not stand in backticks"),
        (r#"up{a=~"(?${labels.x})"}"#, "may not stand right after"),
        (r#"up{a=~"\\${labels.x}"}"#, "may not stand right after"),
        (r#"up{a=~"${labels.x}+"}"#, "only the last character"),
        (r#"up{a="${labels.x"}"#, "has no end"),
    ] {
        let fault = refused(text);
        assert!(fault.message.contains(part), "{text}: {fault:?}");
    }
    let query = PromQuery::parse(r#"up{a="${labels.x}"} + up{b=~'x${vars.y}'}"#).unwrap();
    assert_eq!(query.placeholders().collect::<Vec<_>>(), [("labels.x", 6), ("vars.y", 30)]);
    assert_eq!(query.with(|path| (path == "labels.x").then(|| "v".to_owned()), 1), Err("vars.y".to_owned()));
    assert_eq!(query.with(|_| Some(String::new()), 1), Err("labels.x".to_owned()));
}

#[test]
fn what_is_not_well_bracketed_is_refused_with_its_place() {
    for (text, at, part) in [
        ("", 0, "empty"),
        ("# nothing", 0, "empty"),
        ("sum(up", 3, "never closed"),
        ("sum(up))", 7, "no ( before"),
        ("up{a=\"b\"", 8, "ends too soon"),
        ("up{", 2, "never closed"),
        ("up[5m", 2, "never closed"),
        ("[5m]", 0, "nothing before this range"),
        ("rate(up[5])", 99, ""),
        ("rate(up[5q])", 8, "expected a duration"),
        ("rate(up[1m1h])", 8, "expected a duration"),
        ("rate(up[])", 8, "expected a duration"),
        ("up offset", 9, "ends too soon"),
        ("up{a}", 4, "expected =, !=, =~ or !~"),
        ("up{a=b}", 5, "expected a string"),
        ("up{a=\"b\" c=\"d\"}", 9, "expected , or }"),
        ("{}", 0, "selects everything"),
        ("up{a=~\"(\"}", 6, "no regular expression"),
        ("up @ 1700000000", 3, "a fixed moment"),
        ("up{a=\"b}", 5, "no end on its line"),
        ("up{a='\\\"'}", 6, "escape does not exist"),
        ("up & up", 3, "has no meaning here"),
    ] {
        if at == 99 {
            // A number is a span of seconds, since Prometheus 3.
            assert_eq!(PromQuery::parse(text).unwrap().reach(), Duration::from_secs(5));
            continue;
        }
        let fault = refused(text);
        assert!(fault.at == at && fault.message.contains(part), "{text}: {fault:?}");
    }
}

#[test]
fn a_query_looks_back_as_far_as_the_longest_way_through_its_ranges() {
    for (text, minutes) in [
        ("up", 0),
        ("rate(x[5m])", 5),
        ("rate(a[5m]) / rate(b[10m])", 10),
        ("rate(x[1h30m])", 90),
        ("rate(x[5m] offset 10m)", 15),
        ("rate(x[5m] offset -10m)", 5),
        ("up offset 1h", 60),
        ("max_over_time(rate(x[5m])[30m:1m])", 35),
        ("max_over_time(rate(x[5m])[30m:] offset 1h)", 95),
        ("max_over_time(sum(max_over_time(rate(x[1m])[2m:1m]))[4m:1m])", 7),
        // The newest sample at the subquery's oldest step may be five minutes older.
        ("max_over_time(up[30m:1m])", 35),
        ("max_over_time((up == bool 1)[30m:1m])", 35),
        // A string or a comment is no range.
        ("up{a=\"[1d]\"} # rate(x[1d])", 0),
        ("sum by (offset) (rate(x[5m]))", 5),
        ("x[1w] and y[1d]", 7 * 24 * 60),
    ] {
        let query = PromQuery::parse(text).unwrap();
        assert_eq!(query.reach(), Duration::from_mins(minutes), "{text}");
    }
}

#[test]
fn selectors_outside_of_every_range_are_named_as_they_are_asked() {
    for (text, bare) in [
        ("up", vec!["up"]),
        ("rate(x[5m])", vec![]),
        (r#"up{a="${labels.x}"} / ignoring (b) down"#, vec![r#"up{a="v"}"#, "down"]),
        ("sum by (a, b) (job:up:sum) + on (c) group_left (d) x + up + up", vec!["job:up:sum", "x", "up"]),
        ("sum(a) by (b) or vector(0) > bool Inf", vec!["a"]),
        ("up{a=\"b\"} offset 5m", vec!["up{a=\"b\"} offset 5m"]),
        ("rate(x[5m]) and max_over_time(up[5m:1m])", vec![]),
        ("{__name__=~\"a|b\"}", vec!["{__name__=~\"a|b\"}"]),
        ("count_values(\"v\", up)", vec!["up"]),
        ("time() - last", vec!["last"]),
    ] {
        assert_eq!(with(text, "v").bare, bare, "{text}");
    }
}

#[test]
fn spans_are_divided_by_the_time_scale() {
    let query = PromQuery::parse("max_over_time(rate(x{a=\"5m\"}[5m])[30m:1m]) + up offset 1h").unwrap();
    let rendered = query.with(|_| None, 30).unwrap();
    assert_eq!(
        rendered.query,
        "max_over_time(rate(x{a=\"5m\"}[10000ms])[60000ms:2000ms]) + up offset 120000ms"
    );
    assert_eq!(rendered.reach, Duration::from_mins(2));
}

#[test]
fn a_comparison_that_leaves_series_out_is_pointed_at() {
    for (text, at) in [
        ("up == 0", Some(3)),
        ("rate(x[5m]) > 0.05", Some(12)),
        ("up == bool 0", None),
        ("count(up == 0)", None),
        ("up{a!=\"b\"}", None),
    ] {
        assert_eq!(PromQuery::parse(text).unwrap().filters_at(), at, "{text}");
    }
}

/// What a string of the query stands for, by Go's rules.
fn unquoted(source: &str) -> String {
    let quote = source.chars().next().unwrap();
    let body = &source[1..source.len() - 1];
    let mut text = String::new();
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        assert_ne!(c, quote, "the string ends in {source}");
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next().unwrap() {
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'u' => {
                let code: String = chars.by_ref().take(4).collect();
                text.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap());
            }
            other => {
                assert!(other == '\\' || other == quote, "no such escape: \\{other}");
                text.push(other);
            }
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_stands_for_itself_in_every_matcher(value in "(?s).{1,40}", double in any::<bool>()) {
        // The text is read back by the reader of queries, which would see a placeholder in it.
        let value = value.replace("${", "$ {");
        let quote = if double { '"' } else { '\'' };
        let text = format!("up{{a={quote}${{labels.x}}{quote}, b=~{quote}${{labels.x}}{quote}}}[5m]");
        let rendered = with(&text, &value).query;
        let words = tokens(&rendered).unwrap();
        let strings: Vec<&str> =
            words.iter().filter(|word| matches!(word.kind, Lexed::Quoted(..))).map(|word| word.source).collect();
        prop_assert_eq!(words.len(), 13, "{}", rendered);
        prop_assert_eq!(unquoted(strings[0]), value.clone());
        let pattern = regex::Regex::new(&format!("^(?:{})$", unquoted(strings[1]))).unwrap();
        prop_assert!(pattern.is_match(&value));
        let longer = [value.as_str(), "x"].concat();
        prop_assert!(!pattern.is_match(&longer) && !pattern.is_match(""));
    }

    #[test]
    fn no_text_panics(text in "[a-z{}()\\[\\]=~\"'`$:., 0-9mhs@#\\\\-]{0,40}") {
        if let Ok(query) = PromQuery::parse(&text) {
            let _ = query.with(|_| Some("v".to_owned()), 7);
        }
    }
}
