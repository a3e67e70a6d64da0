//! From YAML text to nodes with places, within a budget. Below serde-saphyr lies a parser of events, granit-parser; its events carry
//! spans, styles, anchors and tags, which a serde data model would lose.

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, options};

use super::{Faults, Place, Scalar, Style};

/// No file may be longer.
pub const MAX_BYTES: usize = 1 << 20;
/// No file may hold more nodes.
pub const MAX_NODES: usize = 50_000;
/// No node may lie deeper.
pub const MAX_DEPTH: usize = 32;

/// One document of a file.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its root.
    pub root: Node,
    /// Its text from the first field on, for those who keep it.
    pub text: String,
}

/// A value, and where it began.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it began.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Value {
    /// Text, a number, a boolean or nothing.
    Scalar(Scalar),
    /// `- a`, `[a]`
    List(Vec<Node>),
    /// `a: b`, `{a: b}`
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key began.
    pub place: Place,
    /// The value.
    pub value: Node,
}

impl Node {
    /// Whether there is nothing in it: an empty map or list, or no value at all, as when every line below a key is a comment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::List(list) => list.is_empty(),
            Value::Map(entries) => entries.is_empty(),
            Value::Scalar(scalar) => scalar.is_null(),
        }
    }

    /// What it is, for a message.
    #[must_use]
    pub fn found(&self) -> String {
        match &self.value {
            Value::List(list) if list.is_empty() => "an empty list".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(entries) if entries.is_empty() => "an empty map".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Scalar(scalar) if scalar.is_null() => "empty".to_owned(),
            Value::Scalar(scalar) if scalar.boolean().is_some() => format!("the boolean {}", scalar.text),
            Value::Scalar(scalar) if scalar.is_number() => format!("the number {}", scalar.text),
            Value::Scalar(scalar) => format!("{:?}", crate::text::cut(&scalar.text, 60)),
        }
    }
}

/// Reads a file of one or several documents; a document without anything in it is passed over. What is not YAML, or not the part of
/// YAML that runbookd reads, is added to `faults`.
///
/// After a syntax error, or where a value is missing that an alias stands for, there are no documents: further faults would be guesses.
pub fn parse(text: &str, faults: &mut Faults) -> Vec<Document> {
    if text.len() > MAX_BYTES {
        let message = format!("the file is {} bytes long; expected at most {MAX_BYTES}", text.len());
        faults.whole(None, message, Some("split it into several files".to_owned()));
        return Vec::new();
    }
    let mut options = options! { emit_unresolved_aliases: true };
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = TreeReader { text, parser, faults, nodes: 0, is_partial: false };
    match reader.documents() {
        Ok(documents) if !reader.is_partial => documents,
        Ok(_) | Err(Stop::Budget) => Vec::new(),
        Err(Stop::Scan(error)) => {
            scan_fault(&error, faults);
            Vec::new()
        }
    }
}

/// Why the reading ended early.
enum Stop {
    /// It is not YAML.
    Scan(Box<ScanError>),
    /// The fault is noted already.
    Budget,
}

struct TreeReader<'t> {
    text: &'t str,
    parser: Parser<'t, serde_saphyr::granit_parser::StrInput<'t>>,
    faults: &'t mut Faults,
    nodes: usize,
    /// Something was left out, so that what refers to it would be reported wrongly.
    is_partial: bool,
}

impl<'t> TreeReader<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Stop> {
        self.parser.next_event().transpose().map_err(|error| Stop::Scan(Box::new(error)))
    }

    fn documents(&mut self) -> Result<Vec<Document>, Stop> {
        let mut documents = Vec::new();
        let mut begins = 0;
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart => {}
                Event::StreamEnd => break,
                Event::DocumentStart(..) => {}
                Event::DocumentEnd => {
                    let ends = span.start.byte_offset().unwrap_or(self.text.len());
                    let text = self.text.get(line_start(self.text, begins)..ends).unwrap_or_default();
                    let text = text.trim_end().to_owned();
                    documents.extend(
                        root.take().filter(|node| !is_null(node)).map(|root| Document { root, text }),
                    );
                }
                event => {
                    begins = span.start.byte_offset().unwrap_or(0);
                    root = self.node(event, &span, 1)?;
                }
            }
        }
        Ok(documents)
    }

    /// The node that begins with this event; none when it is one that is refused.
    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Result<Option<Node>, Stop> {
        let place = place(span);
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            self.faults.add(
                place,
                format!("the file holds too many values; expected at most {MAX_NODES}"),
                Some("split it into several files".to_owned()),
            );
            return Err(Stop::Budget);
        }
        if depth > MAX_DEPTH {
            self.faults.add(place, too_deep(), None);
            return Err(Stop::Budget);
        }
        self.refuse_properties(&event, span);
        let value = match event {
            Event::Scalar(text, style, ..) => {
                let raw = span.slice(self.text).unwrap_or_default().to_owned();
                // An empty value arrives as a `~` that nobody wrote.
                let text = if raw.is_empty() && style == ScalarStyle::Plain {
                    String::new()
                } else {
                    text.into_owned()
                };
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::Single,
                    ScalarStyle::DoubleQuoted => Style::Double,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                Value::Scalar(Scalar { text, style, raw, start: place })
            }
            Event::SequenceStart(..) => {
                let mut list = Vec::new();
                while let Some((event, span)) = self.next()? {
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    list.extend(self.node(event, &span, depth + 1)?);
                }
                Value::List(list)
            }
            Event::MappingStart(..) => Value::Map(self.map(depth)?),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.faults.add(
                    place,
                    "an alias (`*name`) is not read here; expected the value itself",
                    Some("write the value out, or put a `*` that is meant as text in quotes".to_owned()),
                );
                self.is_partial = true;
                return Ok(None);
            }
            _ => return Ok(None),
        };
        Ok(Some(Node { place, value }))
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = std::collections::BTreeMap::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, &span, depth + 1)?;
            let Some((event, span)) = self.next()? else { break };
            let value = self.node(event, &span, depth + 1)?;
            let Some(key) = key else { continue };
            let Value::Scalar(Scalar { text, .. }) = &key.value else {
                self.is_partial = true;
                let message = format!("the key is {}; expected a name", key.found());
                self.faults.add(
                    key.place,
                    message,
                    Some("put quotes around text that begins with { or [".to_owned()),
                );
                continue;
            };
            if text == "<<" {
                self.is_partial = true;
                let message = "a merge key (`<<`) is not read here; expected a field".to_owned();
                self.faults.add(key.place, message, Some("write the fields out".to_owned()));
                continue;
            }
            if let Some(first) = seen.insert(text.clone(), key.place) {
                let message = format!(
                    "`{text}` stands here a second time; expected it once, as in line {}",
                    first.line
                );
                self.faults.add(key.place, message, Some("remove one of the two".to_owned()));
                seen.insert(text.clone(), first);
                continue;
            }
            let Some(value) = value else { continue };
            entries.push(Entry { key: text.clone(), place: key.place, value });
        }
        Ok(entries)
    }

    fn refuse_properties(&mut self, event: &Event<'_>, span: &Span) {
        if matches!(event, Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..))
            && event.anchor_id().is_some_and(|id| id != 0)
        {
            self.faults.add(
                place(span),
                "this value has an anchor (`&name`), which is not read here; expected the value alone",
                Some("write the value out wherever it is needed".to_owned()),
            );
        }
        if let Some(tag) = event.tag() {
            let at = span.tag_start.map_or_else(|| place(span), |start| place_of(&start));
            self.faults.add(
                at,
                format!(
                    "this value has the tag `{}`, which is not read here; expected the value alone",
                    tag.original()
                ),
                Some("remove the tag, or put a `!` that is meant as text in quotes".to_owned()),
            );
        }
    }
}

/// The begin of the line, where only spaces lie between: the first field's indentation is part of the document.
fn line_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    let spaces = before.len() - before.trim_end_matches(' ').len();
    let start = at - spaces;
    if start == 0 || before[..start].ends_with('\n') { start } else { at }
}

fn is_null(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.is_null())
}

fn place(span: &Span) -> Place {
    place_of(&span.start)
}

fn place_of(marker: &Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1 }
}

fn too_deep() -> String {
    format!("too many levels inside one another; expected at most {MAX_DEPTH}")
}

/// The parser's own words, with a hint for what people do most often.
fn scan_fault(error: &ScanError, faults: &mut Faults) {
    let place = place_of(error.marker());
    let text = error.info();
    if text.contains("recursion limit") {
        faults.add(place, too_deep(), None);
        return;
    }
    let hint = if text.contains("tab") {
        "indent with spaces"
    } else {
        "look at the indentation and at quotes and brackets without an end, here and in the line above; text with `: `, ` #`, `{` or `[` needs quotes"
    };
    faults.add(place, format!("not YAML: {text}"), Some(hint.to_owned()));
}
