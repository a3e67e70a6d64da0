//! Labels, names, log lines and the words of other systems can be anything: no message may mention anybody, leave its block, or
//! break Slack's limits by them.

use std::sync::LazyLock;

use proptest::prelude::*;
use regex::Regex;
use runbookd::clients::slack::Message;
use runbookd::incident::event::Link;
use runbookd::incident::{Event, Recorded};
use runbookd::notify::transcript::transcript;
use serde_json::Value;

use super::stories::{self, Story};

/// The keys of the events whose values come from outside.
const FREE_TEXT: [&str; 22] = [
    "runbook",
    "saw",
    "limit",
    "why",
    "message",
    "reason",
    "line",
    "from",
    "asked",
    "probe",
    "by",
    "name",
    "namespace",
    "says",
    "touches",
    "before",
    "after",
    "field",
    "uid",
    "controller",
    "rollout_in_progress",
    "generator_url",
];
/// The keys whose whole maps come from outside.
const MAPS: [&str; 5] = ["labels", "annotations", "scope", "each", "by"];

/// The story with every text from outside replaced by one of `words`.
fn with_words(story: &Story, words: &[String]) -> Story {
    let mut turn = words.iter().cycle();
    let mut next = || turn.next().unwrap().clone();
    let events = story.events.iter().map(|recorded| {
        let mut value = serde_json::to_value(recorded).unwrap();
        replace(&mut value, &mut next);
        serde_json::from_value::<Recorded>(value).unwrap()
    });
    Story { id: story.id.clone(), events: events.collect() }
}

fn replace(value: &mut Value, next: &mut impl FnMut() -> String) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(text) if FREE_TEXT.contains(&key.as_str()) => *text = next(),
                    Value::Array(texts) if key == "touches" => {
                        *texts = (0..9).map(|_| Value::String(next())).collect();
                    }
                    Value::Object(inner) if MAPS.contains(&key.as_str()) => {
                        let mut replaced = serde_json::Map::new();
                        for (_, value) in std::mem::take(inner) {
                            let value = if value.is_string() { Value::String(next()) } else { value };
                            replaced.insert(next(), value);
                        }
                        if key == "annotations" {
                            replaced.insert("summary".to_owned(), Value::String(next()));
                        }
                        *inner = replaced;
                    }
                    other => replace(other, next),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, next)),
        _ => {}
    }
}

fn word() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just("<!channel>".to_owned()),
        Just("<!here|here> <@U1> <#C1> <https://evil.example|click>".to_owned()),
        Just("&lt;!channel&gt; &amp;".to_owned()),
        Just("`".to_owned()),
        Just("```\n```".to_owned()),
        Just("\u{202e}\u{200b}\u{1b}[31m\r\n\t\u{0}".to_owned()),
        Just("*_~> @channel; at least 5; at most 0".to_owned()),
        Just("{\"message\": \"<!here> `\", \"level\": \"*\"}".to_owned()),
        Just("<!date^1^{time_secs}|x>".to_owned()),
        "[&<>`]{50,400}",
        "[a-z]{500,3000}",
        "é{0,700}",
        ".{0,60}",
    ];
    prop::collection::vec(fragment, 0..4).prop_map(|fragments| fragments.concat())
}

/// The only markup of Slack's that we write: moments, and links to where the operator says.
static OURS: LazyLock<Regex> = LazyLock::new(|| {
    let link = r"<https://grafana\.example\.org/[^<>|\s]*\|[^<>|]*>";
    Regex::new(&format!(r"<!date\^-?\d+\^\{{time_secs\}}\|[-0-9TZ:]+>|{link}")).unwrap()
});

fn check(message: &Message) {
    let mut total = 0;
    let mut look = |text: &str, most: usize| {
        let length = text.chars().count();
        assert!(length <= most, "{length} > {most}: {text}");
        assert!(length > 0, "an empty text is an error to Slack");
        total += length;
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        let rest = OURS.replace_all(text, "");
        assert!(!rest.contains('<'), "{rest}");
        for line in rest.lines() {
            assert!(!line.strip_prefix("> ").unwrap_or(line).contains('>'), "{line}");
            let entities = ["&amp;", "&lt;", "&gt;"];
            for (position, _) in line.match_indices('&') {
                assert!(entities.iter().any(|entity| line[position..].starts_with(entity)), "{line}");
            }
        }
        let mut fenced = false;
        for line in text.lines() {
            if line == "```" {
                fenced = !fenced;
            } else {
                let ticks = line.matches('`').count();
                assert!(ticks % 2 == 0 && !line.contains("``"), "{line}");
                assert!(!fenced || ticks == 0, "{line}");
            }
        }
        assert!(!fenced, "{text}");
    };
    look(&message.text, 300);
    let blocks = message.blocks.as_array().unwrap();
    assert!(!blocks.is_empty() && blocks.len() <= 50);
    for block in blocks {
        let text = |value: &Value| {
            assert!(value["type"] == "plain_text" || value["verbatim"] == true, "{value}");
            value["text"].as_str().unwrap().to_owned()
        };
        match block["type"].as_str().unwrap() {
            "header" => look(&text(&block["text"]), 150),
            "context" => block["elements"].as_array().unwrap().iter().for_each(|it| look(&text(it), 2_000)),
            "section" => {
                if let Some(fields) = block["fields"].as_array() {
                    assert!(fields.len() <= 10);
                    fields.iter().for_each(|field| look(&text(field), 2_000));
                } else {
                    look(&text(&block["text"]), 3_000);
                }
            }
            other => assert_eq!(other, "section"),
        }
    }
    assert!(total < 13_000, "{total}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_leaves_its_place(words in prop::collection::vec(word(), 1..20)) {
        for (_, story) in stories::all() {
            let story = with_words(&story, &words);
            let thread = story.thread();
            thread.iter().for_each(check);
            (1..=story.events.len()).for_each(|count| check(&story.head_after(count)));
            let shown = transcript(&thread);
            prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n'));
        }
    }
}

fn with_links(links: Vec<Link>) -> Story {
    let Event::Confirmed { found, answers, .. } = stories::confirmed() else { unreachable!() };
    Story::new(stories::opened()).and(1.0, Event::Confirmed { found, answers, links })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_link_leads_elsewhere_or_leaves_its_place(words in prop::collection::vec((word(), word()), 1..10)) {
        let link = |(title, rest): &(String, String)| {
            Link { title: title.clone(), url: format!("https://grafana.example.org/{rest}") }
        };
        with_links(words.iter().map(link).collect()).thread().iter().for_each(check);
    }
}

#[test]
fn a_link_is_one_and_says_where_it_leads() {
    let explore = "https://grafana.example.org/explore?schemaVersion=1&panes=%7B%22a%22%3A1%7D&orgId=1";
    let link = |title: &str, url: &str| Link { title: title.to_owned(), url: url.to_owned() };
    let links = vec![
        link("pool_errors in Explore", explore),
        link("Node Health", "https://grafana.example.org/dashboards?query=Node+Health"),
    ];
    let head = with_links(links).thread().remove(0).blocks.to_string();
    let escaped = explore.replace('&', "&amp;");
    assert!(head.contains(&format!("🔗 <{escaped}|pool_errors in Explore>\\n🔗 <https://")), "{head}");
}

#[test]
fn a_long_value_says_how_much_is_missing() {
    let story = with_words(&stories::recovered(), &["x".repeat(5_000)]);
    let head = story.thread().remove(0);
    let text = head.blocks.to_string();
    assert!(text.contains("… (4906 more characters)"), "{text}");
}

#[test]
fn many_targets_are_counted_and_not_all_listed() {
    let names: Vec<String> = (0..300).map(|number| format!("service-{number:03}")).collect();
    let legs: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 7.0)).collect();
    let story = Story::new(stories::opened()).and(1.0, stories::confirmed()).and(1.1, stories::legs(&legs));
    let thread = story.thread();
    thread.iter().for_each(check);
    assert!(transcript(&thread[..1]).contains("… and 292 more"));
}
