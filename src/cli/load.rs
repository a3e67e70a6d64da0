//! `runbookd inject load`: many requests at a time to one address, from where the command runs. Nothing is sent before a person has said so.

use std::io::{self, BufRead, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::{HeaderMap, Method};
use serde::Serialize;

use super::output::{self, Output, finish, note};
use super::paint::{Paint, Tone};
use crate::chaos::load::{Ended, Header, MOST_BODY, Moment, Since, Summary, Wanted};
use crate::clients::load::{Address, Call};
use crate::text::{count, span};
use crate::yaml::{parse_duration, write_duration};

/// Makes load: many clients, each of which asks again when it has its answer
///
/// Everything goes to the host that the address names: its name is looked up once, and no redirect is followed. It ends with its duration, whatever the other side does; what is
/// waited for then is given up. Ctrl-C ends it at once. With --rate the time of an answer is counted from when its request was due, so that what a slow server held up is in the figures.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Load {
    /// Where to: http or https, a host, perhaps a port, and a path
    pub url: String,
    /// How it is asked [default: GET, or POST with a body]
    #[arg(long, value_name = "METHOD")]
    pub method: Option<String>,
    /// A header, as 'Name: value'; may be repeated
    #[arg(long, value_name = "HEADER")]
    pub header: Vec<String>,
    /// A header whose value is in a file, as 'Name: FILE'; may be repeated
    #[arg(long, value_name = "HEADER")]
    pub header_file: Vec<String>,
    /// The body
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    pub body: Option<String>,
    /// The file that holds the body
    #[arg(long, value_name = "FILE")]
    pub body_file: Option<PathBuf>,
    /// So many clients, each of which waits for its answer before it asks again (at most 1000)
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub concurrency: u32,
    /// All clients together send no more than this (at most 10000/s) [default: as fast as the answers come]
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub rate: Option<u32>,
    /// It ends after so long (at most 1h)
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub duration: Duration,
    /// It ends after so many, if that is sooner
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,
    /// For so long one answer is waited for (at most 5m)
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Do not ask whether it is meant
    #[arg(long)]
    pub yes: bool,
    /// For people, or one JSON document
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

const AFTER_HELP: &str = "\
Exit codes: 0 it was played to its end, whatever was answered; 1 not one answer came, or it was interrupted; 2 wrong usage, or nobody could be asked whether it is meant.

Examples:
  runbookd inject load http://chat-api:8002/api/health --concurrency 200 --requests 200
                                                   The chaos page's 200 requests at once
  runbookd inject load http://chat-api:8002/api/conversations/test/messages --header 'Content-Type: application/json' \\
      --body '{\"content\":\"tell me a story\"}' --timeout 2m --duration 10m
                                                   50 clients want a story, for ten minutes
  runbookd inject load https://samosachaat.art/api/me --header-file 'Authorization: token' --rate 20/s";

/// On a terminal it says so often how it stands.
const EVERY: Duration = Duration::from_secs(1);
/// In a log it says so less often.
const EVERY_IN_A_LOG: Duration = Duration::from_secs(10);
/// No token is longer.
const MOST_SECRET: usize = 64 << 10;
/// These can be asked; the others are for proxies and for tracing.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Asks whether it is meant, and makes the load.
///
/// # Errors
/// When the host can not be looked up, or nothing can be written.
pub async fn run(args: Load) -> anyhow::Result<ExitCode> {
    finish(load(args).await)
}

async fn load(args: Load) -> anyhow::Result<ExitCode> {
    let load = match wanted(&args) {
        Ok(load) => load,
        Err(usage) => {
            note(&format!("runbookd: {usage}; nothing was sent"));
            return Ok(ExitCode::from(2));
        }
    };
    let address = load.wanted().call.address.clone();
    if !args.yes {
        let stdin = io::stdin();
        let what = meant(load.wanted());
        if !stdin.is_terminal() {
            note(&format!(
                "runbookd: nothing was sent: this would send {what}, and there is no terminal to ask on; say so with --yes"
            ));
            return Ok(ExitCode::from(2));
        }
        let mut asked = io::stderr().lock();
        write!(asked, "This sends {what}. Type the host to go on: ")?;
        asked.flush()?;
        if !names(&mut stdin.lock(), &address)? {
            note(&format!("That is not {}; nothing was sent.", address.host()));
            return Ok(ExitCode::FAILURE);
        }
    }
    let what = format!("{} {}", load.wanted().call.method, address.shown());
    let stop = super::stopped()?;
    note(&format!("{what}: {}; Ctrl-C ends it", meant(load.wanted())));
    let every = if io::stderr().is_terminal() { EVERY } else { EVERY_IN_A_LOG };
    let mut begins = true;
    // A terminal that does not read holds nothing up: what it does not take in time is left out, and Ctrl-C is heard.
    let (telling, told_there) = std::sync::mpsc::sync_channel::<String>(1);
    std::thread::spawn(move || told_there.iter().for_each(|text| note(&text)));
    let tell = |moment: &Moment| {
        let heading = match std::mem::take(&mut begins) {
            true => format!("\n{}  (of the last {})\n", heading(), span(every)),
            false => String::new(),
        };
        let _ = telling.try_send(format!("{heading}{}", line(moment)));
    };
    let summary = load.play(stop, every, tell).await?;
    match args.output {
        Output::Text => output::lines(told(&what, &summary, Paint::of_stdout()))?,
        Output::Json => {
            output::json(&Whole {
                call: &what,
                concurrency: args.concurrency,
                rate: args.rate,
                summary: &summary,
            })?;
        }
    }
    let played = summary.answers > 0 && summary.ended != Ended::Interrupted;
    Ok(if played { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Whole<'s> {
    call: &'s str,
    concurrency: u32,
    /// In a second.
    rate: Option<u32>,
    #[serde(flatten)]
    summary: &'s Summary,
}

/// What the arguments ask for, or what is wrong with them. No value of a header is in it.
fn wanted(args: &Load) -> Result<crate::chaos::load::Load, String> {
    let address = Address::parse(&args.url).map_err(|error| format!("the address: {error}"))?;
    let mut headers = HeaderMap::new();
    for (at, text) in (1..).zip(&args.header) {
        let header = Header::parse(text).map_err(|error| format!("--header, the {at}. one: {error}"))?;
        headers.append(header.name, header.value);
    }
    for (at, text) in (1..).zip(&args.header_file) {
        let header = secret(text).map_err(|error| format!("--header-file, the {at}. one: {error}"))?;
        headers.append(header.name, header.value);
    }
    let body = match (&args.body, &args.body_file) {
        (Some(text), _) => Some(text.clone().into_bytes()),
        (None, Some(path)) => Some(read(path, MOST_BODY).map_err(|error| format!("--body-file: {error}"))?),
        (None, None) => None,
    };
    let method = match &args.method {
        Some(name) => {
            METHODS.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(name)).ok_or_else(
                || format!("--method: expected one of {}", METHODS.map(|m| m.to_string()).join(", ")),
            )?
        }
        None if body.is_some() => Method::POST,
        None => Method::GET,
    };
    let wanted = Wanted {
        call: Call { address, method, headers, body },
        clients: args.concurrency,
        rate: args.rate,
        duration: args.duration,
        requests: args.requests,
        timeout: args.timeout,
    };
    crate::chaos::load::Load::new(wanted).map_err(|error| error.to_string())
}

/// The header whose value is in a file.
fn secret(text: &str) -> Result<Header, String> {
    let (name, path) = Header::split(text).map_err(|error| error.to_string())?;
    if path.is_empty() {
        return Err(format!("expected the file with the value of {name} behind the colon"));
    }
    let value = read(Path::new(path), MOST_SECRET)?;
    let value = std::str::from_utf8(&value).map_err(|_| format!("{path} is not text"))?.trim();
    if value.is_empty() {
        return Err(format!("{path} is empty; expected the value of {name} in it"));
    }
    Header::new(name, value).map_err(|error| format!("{path}: {error}"))
}

/// What is in the file, which may not be larger.
fn read(path: &Path, most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("{} can not be read: {error}", path.display()))?;
    if bytes.len() > most {
        return Err(format!("{} is too large; expected at most {most} bytes", path.display()));
    }
    Ok(bytes)
}

/// Reads `20/s`.
fn rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").and_then(|number| number.parse().ok());
    number.ok_or_else(|| "expected a whole number of requests in a second, such as 20/s".to_owned())
}

/// What would be sent, to whom, and for how long.
fn meant(wanted: &Wanted) -> String {
    let requests = |number| count(number, "request", "requests");
    let (mut parts, how_long) = match wanted.requests {
        Some(number) => (vec![requests(number), format!("up to {} at a time", wanted.clients)], "within"),
        None => (vec![format!("up to {} at a time", requests(wanted.clients.into()))], "for"),
    };
    parts.extend(wanted.rate.map(|rate| format!("at most {rate} in a second")));
    let comma = if parts.len() > 1 { "," } else { "" };
    let (what, whom) = (parts.join(", "), wanted.call.address.authority());
    format!("{what}{comma} to {whom} {how_long} {}", span(wanted.duration))
}

/// Whether the next line names the host, with its port or without.
fn names(input: &mut impl BufRead, address: &Address) -> io::Result<bool> {
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    let answer = answer.trim();
    Ok([address.host(), &address.authority()].iter().any(|name| answer.eq_ignore_ascii_case(name)))
}

fn heading() -> String {
    format!(
        "{:>8} {:>9} {:>9} {:>7} {:>7} {:>7} {:>8} {:>10} {:>9} {:>9}",
        "time", "sent", "2xx", "3xx", "4xx", "5xx", "errors", "in flight", "p50", "p99"
    )
}

fn line(moment: &Moment) -> String {
    let [two, three, four, five] = moment.classes;
    let latency = |took: Option<Duration>| took.map_or_else(|| "-".to_owned(), millis);
    format!(
        "{:>8} {:>9} {two:>9} {three:>7} {four:>7} {five:>7} {:>8} {:>10} {:>9} {:>9}",
        write_duration(Duration::from_secs(moment.elapsed.as_secs())),
        moment.sent,
        moment.failures,
        moment.in_flight,
        latency(moment.p50),
        latency(moment.p99),
    )
}

/// A time to three figures or so.
fn millis(took: Duration) -> String {
    let millis = took.as_secs_f64() * 1_000.0;
    match millis {
        _ if millis < 1.0 => format!("{millis:.2} ms"),
        _ if millis < 10.0 => format!("{millis:.1} ms"),
        _ if millis < 1_000.0 => format!("{millis:.0} ms"),
        _ if millis < 100_000.0 => format!("{:.1} s", millis / 1_000.0),
        _ => span(took),
    }
}

/// What came of it, for people.
fn told(what: &str, summary: &Summary, paint: Paint) -> Vec<String> {
    let ended = match summary.ended {
        Ended::Duration => "its time was over",
        Ended::Requests => "every request had its answer, or none",
        Ended::Interrupted => "it was interrupted",
    };
    let list = |all: Vec<String>| if all.is_empty() { "none".to_owned() } else { all.join(", ") };
    let statuses = summary.statuses.iter().map(|(status, number)| format!("{status}: {number}")).collect();
    let errors = summary.errors.iter().map(|(why, number)| format!("{}: {number}", why.words())).collect();
    let mut rows = vec![
        ("ended", format!("after {}: {ended}", millis(summary.elapsed))),
        ("requests", format!("{}, {:.1} in a second", summary.requests, summary.requests_per_second)),
        ("answers", format!("{}, {:.1} in a second", summary.answers, summary.answers_per_second)),
        ("by status", list(statuses)),
        ("errors", list(errors)),
    ];
    if summary.given_up > 0 {
        rows.push(("given up", format!("{}, which were waited for when it ended", summary.given_up)));
    }
    if summary.late > 0 {
        let late = format!("{}, for which no client was free when they were due", summary.late);
        rows.push(("late", late));
    }
    if let Some(latency) = &summary.latency {
        let [min, p50, p90, p99, max] =
            [latency.min, latency.p50, latency.p90, latency.p99, latency.max].map(millis);
        rows.push(("latency", format!("min {min}, p50 {p50}, p90 {p90}, p99 {p99}, max {max}")));
        let since = match latency.since {
            Since::Sent => "of the answers alone, from when each request was sent",
            Since::Due => "of the answers alone, from when each request was due by the rate",
        };
        rows.push(("", since.to_owned()));
    }
    let rows = rows
        .into_iter()
        .map(|(name, value)| format!("  {}  {value}", paint.mark(Tone::Faint, &format!("{name:9}"))));
    [String::new(), paint.mark(Tone::Strong, what)].into_iter().chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    #[test]
    fn only_the_hosts_name_is_a_yes() {
        let address = Address::parse("http://chat-api:8002/api/health").unwrap();
        for (answer, yes) in [
            ("chat-api\n", true),
            ("  CHAT-API:8002\n", true),
            ("", false),
            ("\n", false),
            ("y\n", false),
            ("yes\n", false),
            ("chat-api:80\n", false),
            ("chat\n", false),
            ("http://chat-api:8002/api/health\n", false),
        ] {
            assert_eq!(names(&mut answer.as_bytes(), &address).unwrap(), yes, "{answer:?}");
        }
    }

    #[test]
    fn a_person_is_told_what_would_be_sent() {
        let told = |arguments: &str| {
            let line = format!("load http://chat-api:8002/api/health {arguments}");
            let command = Load::augment_args(clap::Command::new("load"));
            let matches = command.try_get_matches_from(line.split_whitespace()).unwrap();
            meant(wanted(&Load::from_arg_matches(&matches).unwrap()).unwrap().wanted())
        };
        assert_eq!(told(""), "up to 50 requests at a time to chat-api:8002 for 1m");
        assert_eq!(
            told("--rate 5/s --duration 90s --concurrency 1"),
            "up to 1 request at a time, at most 5 in a second, to chat-api:8002 for 1m 30s"
        );
        assert_eq!(
            told("--requests 200 --concurrency 200"),
            "200 requests, up to 200 at a time, to chat-api:8002 within 1m"
        );
    }

    #[test]
    fn a_rate_is_a_whole_number_in_a_second() {
        assert_eq!(rate("20/s"), Ok(20));
        for text in ["", "20", "/s", "1.5/s", "-1/s", "20/m", "20 /s", "99999999999/s"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_written_to_three_figures_or_so() {
        for (micros, text) in [
            (310, "0.31 ms"),
            (1_240, "1.2 ms"),
            (45_400, "45 ms"),
            (2_440_000, "2.4 s"),
            (60_000_000, "60.0 s"),
            (3_600_000_000, "1h"),
        ] {
            assert_eq!(millis(Duration::from_micros(micros)), text);
        }
    }
}
