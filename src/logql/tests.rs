//! What a query may hold, what is made from it, and that no value can change what it asks.

use std::time::Duration;

use proptest::prelude::*;
use regex::Regex;

use super::{LogQuery, Rendered};

/// All queries of the chaos page that runbookd was made for; the two lines of its scenario 5 are two queries.
const CHAOS_PAGE: [&str; 16] = [
    r#"{namespace="samosachaat-prod"} | json | level="error""#,
    r#"{namespace="samosachaat-prod",app="chat-api"} | json | message=~".*startup.*|.*shutdown.*""#,
    r#"{namespace="kube-system"} | json | message=~".*NotReady.*|.*node.*removed.*""#,
    r#"{app=~"auth|chat-api"} | json | message=~".*connection.*pool.*|.*timeout.*|.*asyncpg.*|.*QueuePool.*overflow.*""#,
    "{app=\"inference\"} | json | message=~\".*OOMKilled.*|.*memory.*|.*killed.*\"\n# Also check events:\n# kubectl get events -n samosachaat-prod --sort-by='.lastTimestamp' | grep -i oom",
    r#"{app="chat-api"} | json | inference_time_ms > 5000"#,
    r#"{app="inference"} | json | message=~".*queue.*full.*|.*timeout.*|.*worker.*busy.*""#,
    "# All errors across all services\n{namespace=\"samosachaat-prod\"} | json | level=\"error\" | line_format \"{{.service}}: {{.message}}\"",
    "# Trace a request across services\n{namespace=\"samosachaat-prod\"} | json | trace_id=\"<TRACE_ID>\"",
    "# Auth failures\n{app=\"auth\"} | json | level=\"error\" | message=~\".*oauth.*|.*jwt.*|.*unauthorized.*\"",
    "# Inference issues\n{app=\"inference\"} | json | message=~\".*error.*|.*timeout.*|.*OOM.*|.*worker.*\"",
    "# Slow database queries\n{app=~\"auth|chat-api\"} | json | message=~\".*slow.*query.*|.*timeout.*\"",
    "# Recent pod restarts\n{namespace=\"samosachaat-prod\"} | json | message=~\".*started.*|.*shutdown.*|.*ready.*\"",
    r#"{app="a"} | json service="a.b[0]", level | logfmt --strict --keep-empty | unpack | decolorize | drop x, y=~"z" | keep app, pod"#,
    r#"{app=`a`} |= "foo$" or "$" != `b` |~ "a|b" !~ "\\d+" | pattern "<_> <x>" | regexp "(?P<y>.*)" | label_format a=b, c="{{.d}}""#,
    r#"{app="a", pod!=""} | json | (a >= 1.5s or b == -20MB) and c=ip("10.0.0.0/8"), d!~"e" f="g" !> "<_>""#,
];

fn parse(text: &str) -> LogQuery {
    LogQuery::parse(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

fn render(text: &str, value: &str) -> Rendered {
    parse(text).with(|_| Some(value.to_owned())).unwrap()
}

fn faults(text: &str) -> String {
    let faults = LogQuery::parse(text).expect_err(text);
    assert!(!faults.is_empty());
    faults.iter().map(|fault| format!("{}: {}", fault.at, fault.message)).collect::<Vec<_>>().join("\n")
}

#[test]
fn all_queries_of_the_chaos_page_are_understood() {
    for text in CHAOS_PAGE {
        let query = parse(text);
        assert_eq!(query.placeholders().count(), 0, "{text}");
        let log = render(text, "").log();
        assert!(log.starts_with('{') && !log.contains('\n'), "{log}");
        // What is made from a query is a query, and nothing more is made from that.
        assert_eq!(parse(&log.replace(r#" | __error__="""#, "")).with(|_| None).unwrap().log(), log);
    }
}

#[test]
fn the_labels_of_the_selector_are_known() {
    let query = parse(r#"{namespace="${labels.namespace}", app=~"auth|chat-api"} | json | level="error""#);
    assert_eq!(query.selector_labels().collect::<Vec<_>>(), ["namespace", "app"]);
    assert_eq!(query.placeholders().collect::<Vec<_>>(), [("labels.namespace", 12)]);
}

#[test]
fn errors_of_parsers_and_comparisons_are_left_out() {
    let log = |text| render(text, "x").log();
    let cases = [
        // The metric form fails as a whole when one line is malformed JSON.
        (r#"{app="a"} | json | level="error""#, r#"{app="a"} | json | __error__="" | level="error""#),
        // "n/a" > 5000 is a match with an error.
        (r#"{app="a"} | json | ms > 5000"#, r#"{app="a"} | json | __error__="" | ms > 5000 | __error__="""#),
        (r#"{app="a"} | size > 5 | logfmt"#, r#"{app="a"} | size > 5 | logfmt | __error__="""#),
        (r#"{app="a"} | unpack |= "b""#, r#"{app="a"} | unpack | __error__="" |= "b""#),
        (r#"{app="a"} |= "b""#, r#"{app="a"} |= "b""#),
        (r#"{app="a"}|json|__error__="""#, r#"{app="a"} |json | __error__="" |__error__="""#),
        // Who asks for the errors, or decides about them, is left alone.
        (r#"{app="a"} | json | __error__!="""#, r#"{app="a"} | json | __error__!="""#),
        (r#"{app="a"} | json | drop __error__ | ms > 5"#, r#"{app="a"} | json | drop __error__ | ms > 5"#),
    ];
    for (text, expected) in cases {
        assert_eq!(log(text), expected);
    }
}

#[test]
fn the_forms_of_a_query() {
    let query = render(r#"{namespace="${labels.namespace}",app=~"auth|chat-api"} | json | ms>5"#, "shop");
    let range = Duration::from_secs(300);
    assert_eq!(
        query.count(Some("app"), range),
        r#"sum by (app) (count_over_time({namespace="shop", app=~"auth|chat-api"} | json | __error__="" | ms>5 | __error__="" [300000ms]))"#
    );
    assert_eq!(
        query.all_lines(range),
        r#"sum(count_over_time({namespace="shop", app=~"auth|chat-api"} [300000ms]))"#
    );
    let only = query.only("app", "a\"} or {x=\"");
    assert_eq!(
        only.all_lines(Duration::from_micros(1)),
        r#"sum(count_over_time({namespace="shop", app=~"auth|chat-api", app="a\"} or {x=\""} [1ms]))"#
    );
    assert!(only.count(None, Duration::from_micros(1_500_700)).starts_with("sum(count_over_time({"));
    assert!(only.count(None, Duration::from_micros(1_500_700)).ends_with(" [1500ms]))"));
    // Neither comes from an alert; all the same, they cannot break out.
    assert!(query.count(Some("a) or (b"), range).starts_with("sum by (a__or__b) ("));
    assert!(query.only("1=\"\"} #", "x").log().contains(r#", _1______="x"}"#));
}

#[test]
fn a_value_that_is_missing_or_empty_is_no_query() {
    let query = parse(r#"{a="${labels.one}", b="${labels.two}"} |= "${labels.three}""#);
    let with = |two: &str| {
        query.with(|path| match path {
            "labels.one" => Some("1".to_owned()),
            "labels.two" => Some(two.to_owned()),
            _ => None,
        })
    };
    assert_eq!(with("").unwrap_err(), "labels.two");
    assert_eq!(with("2").unwrap_err(), "labels.three");
}

#[test]
fn placeholders_stand_in_double_quotes_only() {
    for (text, expected) in [
        ("{app=${labels.app}}", "5: a placeholder may only stand inside a string in double quotes"),
        ("{app=`${labels.app}`}", "6: a placeholder may not stand in backticks"),
        (
            r#"{app="${labels.app"}"#,
            "6: this placeholder has no end, or something else than names and dots in it",
        ),
        (r#"{app="${}"}"#, "6: this placeholder has no end, or something else than names and dots in it"),
        (
            r#"{app="${labels..app}"}"#,
            "6: this placeholder has no end, or something else than names and dots in it",
        ),
        (
            r#"{app="${labels.app | upper}"}"#,
            "6: this placeholder has no end, or something else than names and dots in it",
        ),
        (r#"{${labels.app}="a"}"#, "1: a placeholder may only stand inside a string in double quotes"),
        (
            r#"{app="a"} | json | ms > ${vars.most}"#,
            "24: a placeholder may only stand inside a string in double quotes",
        ),
    ] {
        assert!(faults(text).starts_with(expected), "{text}: {}", faults(text));
    }
    // A comment is not asked, so what stands in it does not matter.
    assert_eq!(render("{app=\"a\"} # ${labels.app}\n|= \"b\" # c", "x").log(), r#"{app="a"} |= "b""#);
}

#[test]
fn a_value_never_comes_where_it_could_be_a_program() {
    for text in [
        r#"{app="a"} | line_format "${labels.x}""#,
        r#"{app="a"} | label_format b="${labels.x}""#,
        r#"{app="a"} | json b="${labels.x}""#,
        r#"{app="a"} | regexp "${labels.x}""#,
        r#"{app="a"} | pattern "${labels.x}""#,
        r#"{app="a"} |> "<_>${labels.x}""#,
        r#"{app="a"} | addr=ip("${labels.x}")"#,
        r#"{app="a"} |= ip("${labels.x}")"#,
    ] {
        assert!(faults(text).contains("a value from an alert could change what it does"), "{text}");
    }
    for text in [
        r#"{app=~"a\\${labels.x}"}"#,
        r#"{app=~"\\Q${labels.x}\\E"}"#,
        r#"{app=~"a{${labels.x}}"}"#,
        r#"{app=~"(?${labels.x})a"}"#,
    ] {
        assert!(faults(text).contains("would not stand for itself"), "{text}: {}", faults(text));
    }
    assert!(faults(r#"{app=~"${labels.x}+"}"#).contains("would repeat only the last character"));
    // After an escaped backslash or brace it stands for itself again.
    assert_eq!(
        render(r#"{app=~"a\\\\${labels.x}\\{${labels.x}"}"#, "1.").log(),
        r#"{app=~"a\\\\1\\.\\{1\\."}"#
    );
}

#[test]
fn what_is_no_log_query_is_refused_with_its_place() {
    let cases = [
        ("", "0: the query is empty"),
        ("# only a comment", "0: the query is empty"),
        ("{}", "0: the stream selector selects everything"),
        (r#"{app=~".*"}"#, "0: the stream selector selects everything"),
        (r#"{app!="a", pod=""}"#, "0: the stream selector selects everything"),
        (r#"{app!="${labels.x}"}"#, "0: the stream selector selects everything"),
        (r#"{app=~"(${labels.x})?"}"#, "0: the stream selector selects everything"),
        (r#"sum by (app) (count_over_time({app="a"}[5m]))"#, "39: a range makes this a metric query"),
        (r#"sum({app="a"})"#, "0: this is a metric query"),
        (r#"{app="a"} | json | unwrap ms"#, "19: unwrap makes this a metric query"),
        (r#"app="a""#, "0: a log query begins with a stream selector, {label=\"value\"}"),
        (r#"{app="a"} | jsonn"#, "12: jsonn is neither a stage nor the beginning of a comparison"),
        (
            r#"{app="a"} | json | level="#,
            "25: the query ends too soon; expected a string in double quotes or a number",
        ),
        (
            r#"{app="x"} |= "" or {app="auth"}"#,
            "19: { is not expected here; expected a string in double quotes",
        ),
        ("{app=\"a\"} | json\n{app=\"b\"}", "17: a second query begins here"),
        (r#"{app="a"} |~ "(""#, "13: this is no regular expression: unclosed group"),
        (r#"{app='a'}"#, "5: '\\'' has no meaning here"),
        (r#"{app="a"#, "5: the string in double quotes has no end on its line"),
        ("{app=\"a\nb\"}", "5: the string in double quotes has no end on its line"),
        ("{app=`a}", "5: the string in backticks has no end"),
        (r#"{app=~"a\.b"}"#, "8: this escape does not exist in a string in double quotes"),
        (r#"{app="\ud83d"}"#, "6: this escape does not exist in a string in double quotes"),
        (r#"{app="a",}"#, "9: } is not expected here; expected a label's name"),
        (r#"{app="a"} | level > "b""#, "20: \"b\" is not expected here; > compares with a number"),
        (r#"{app="a"} / 2"#, "10: '/' has no meaning here"),
    ];
    for (text, expected) in cases {
        assert!(faults(text).starts_with(expected), "{text:?}: {}", faults(text));
    }
    let deep = format!(r#"{{app="a"}} | {}"#, "(".repeat(100_000));
    assert!(faults(&deep).contains("too many parentheses"));
}

#[test]
fn the_real_loki_agrees_about_what_is_a_query() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/loki");
    let (mut accepted, mut refused) = (0, 0);
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let Some((request, answer)) = text.split_once("\n<<< response\nHTTP ") else { continue };
        let Some((_, query)) = request.split_once("query (decoded): ") else { continue };
        let (query, ours) = (query.trim_end(), LogQuery::parse(query.trim_end()));
        if answer.starts_with("200") && query.contains('{') && !query.contains('[') {
            assert!(ours.is_ok(), "{query}: {ours:?}");
            accepted += 1;
        } else if answer.contains("\n\nparse error") {
            assert!(ours.is_err(), "{query}");
            refused += 1;
        }
    }
    assert!(accepted > 20 && refused > 5, "{accepted} {refused}");
}

/// An independent reading of LogQL: the words outside strings, and the strings as JSON reads them.
fn read(query: &str) -> (Vec<String>, Vec<String>) {
    let (mut outside, mut strings) = (vec![String::new()], Vec::new());
    let mut chars = query.chars();
    while let Some(c) = chars.next() {
        if c != '"' {
            outside.last_mut().unwrap().push(c);
            continue;
        }
        let mut literal = String::from('"');
        loop {
            let c = chars.next().expect("the string ends");
            literal.push(c);
            match c {
                '\\' => literal.push(chars.next().expect("something is escaped")),
                '"' => break,
                _ => {}
            }
        }
        strings.push(serde_json::from_str(&literal).expect(&literal));
        outside.push(String::new());
    }
    (outside, strings)
}

fn hostile() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("`".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n\t\0\u{7f}\u{85}".to_owned()),
        Just("\u{2028}\u{2029}\u{202e}\u{feff}\u{fffd}".to_owned()),
        Just("$(id)".to_owned()),
        Just("{{.x}}".to_owned()),
        Just("${labels.a}".to_owned()),
        Just("\"} or {app=~\".+".to_owned()),
        Just(" # ".to_owned()),
        Just(".*+?()|[]{}^$-&~\\E\\Q(?i)".to_owned()),
        "(?s:.){0,12}",
        "[a-z]{1,8}",
    ];
    prop::collection::vec(fragment, 1..6)
        .prop_map(|parts| parts.concat())
        .prop_filter("empty", |value| !value.is_empty())
}

const EVERYWHERE: &str = r#"{a="${v}", b!="${v}", c=~"${v}", d=~"x|y${v}[z${v}]"} |= "<${v}>" or "${v}" |~ "q\\.${v}" != "${v}" !~ "${v}" | json | e="${v}" and (f=~"${v}" or g!~".*${v}.*", h > 5) | keep i=~"${v}" | line_format "{{.v}}""#;

proptest! {
    #[test]
    fn a_value_stands_for_itself_wherever_it_stands(value in hostile(), other in hostile()) {
        let (outside, strings) = read(&render(EVERYWHERE, &value).only("only", &value).count(Some("a"), Duration::from_secs(1)));
        let (harmless, _) = read(&render(EVERYWHERE, "v").only("only", "v").count(Some("a"), Duration::from_secs(1)));
        prop_assert_eq!(outside, harmless);

        let [a, b, c, d, only, l1, l2, l3, l4, l5, no_error, e, f, g, i, format, last] = strings.as_slice() else {
            return Err(TestCaseError::fail(format!("{strings:?}")));
        };
        for text in [a, b, only, l2, l4, e] {
            prop_assert_eq!(text, &value);
        }
        prop_assert_eq!(l1, &format!("<{value}>"));
        prop_assert_eq!(format, "{{.v}}");
        prop_assert!(no_error.is_empty() && last.is_empty());

        let compiled = |pattern: &str| Regex::new(&format!("^(?s:{pattern})$")).unwrap();
        for pattern in [c, l5, f, i] {
            // They are the same text; one is enough to try.
            prop_assert_eq!(pattern, c);
        }
        let alone = compiled(c);
        prop_assert!(alone.is_match(&value));
        for changed in [format!("{value}x"), format!("x{value}"), value.chars().skip(1).collect(), other] {
            prop_assert!(!alone.is_match(&changed) || changed == value, "{:?} also matches {:?}", c, changed);
        }
        let one = value.chars().last().unwrap();
        let (inside, after_q, short) = (format!("1{value}2"), format!("q.{value}"), format!("y{value}"));
        let long = format!("{short}{one}");
        prop_assert!(compiled(g).is_match(&inside));
        prop_assert!(compiled(l3).is_match(&after_q));
        let class = compiled(d);
        prop_assert!(class.is_match(&long) && class.is_match("x") && !class.is_match(&short), "{:?}", d);
    }

    #[test]
    fn no_text_at_all_makes_the_parser_panic(text in "[{}()|=~!<>\"`#\\\\$a-z0-9 \n.,-]{0,60}|\\PC{0,40}") {
        match LogQuery::parse(&text) {
            Err(faults) => prop_assert!(faults.iter().all(|fault| fault.at <= text.len() && !fault.message.is_empty())),
            Ok(query) => { let _ = query.with(|path| Some(path.to_owned())).map(|query| query.log()); }
        }
    }

    #[test]
    fn what_is_made_from_a_query_is_one_again(value in hostile()) {
        let log = render(EVERYWHERE, &value).log();
        // `${` inside of a value looks like a placeholder to this parser, and to Loki like nothing special.
        if !log.contains("${") {
            prop_assert!(LogQuery::parse(&log).is_ok(), "{}", log);
        }
    }
}
