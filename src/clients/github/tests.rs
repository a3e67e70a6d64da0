//! The client against GitHub's documented answers, at the wire. Sources: <https://docs.github.com/en/rest/actions/workflows#create-a-workflow-dispatch-event> (204; 200 with
//! `return_run_details`), <https://docs.github.com/en/rest/actions/workflow-runs> (the run), <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>;
//! the texts of 422 as people met them.

use serde_json::{Value, json};

use super::super::wire::{Reply, Wire};
use super::*;

const TOKEN: &str = "github_pat_do-not-show-me";
const OPERATION: &str = "01JD0000000000000000000001";

fn workflow() -> Workflow {
    Workflow::parse("octo-org/octo-repo/upgrade.yml@main").unwrap()
}

fn github(wire: &Wire, run_details: bool) -> GitHub {
    let settings = Settings {
        url: wire.url.clone(),
        workflows: vec![workflow()],
        run_details,
        ..Settings::new(Secret::new(TOKEN))
    };
    GitHub::new(settings).unwrap()
}

async fn with(replies: Vec<Reply>) -> (GitHub, Wire) {
    let wire = Wire::start(replies).await;
    (github(&wire, true), wire)
}

fn since() -> Timestamp {
    "2026-11-23T12:00:30.5Z".parse().unwrap()
}

/// The documentation's example, as far as it matters.
fn run(id: u64, title: &str, status: &str, conclusion: Option<&str>) -> Value {
    json!({
        "id": id, "name": "Upgrade", "node_id": "MDEyOldvcmtmbG93IFJ1bjI2OTI4OQ==", "check_suite_id": 42, "head_branch": "main",
        "head_sha": "acb5820ced9479c074f688cc328bf03f341a511d", "path": ".github/workflows/upgrade.yml@main", "run_number": 562,
        "run_attempt": 1, "event": "workflow_dispatch", "display_title": title, "status": status, "conclusion": conclusion,
        "workflow_id": 159_038, "url": format!("https://api.github.com/repos/octo-org/octo-repo/actions/runs/{id}"),
        "html_url": format!("https://github.com/octo-org/octo-repo/actions/runs/{id}"), "pull_requests": [],
        "created_at": "2026-11-23T12:00:31Z", "updated_at": "2026-11-23T12:00:31Z",
    })
}

fn list(runs: &[Value]) -> Reply {
    Reply::json(&json!({"total_count": runs.len(), "workflow_runs": runs}).to_string())
}

fn refusal(status: u16, headers: &[(&str, &str)], message: &str) -> Reply {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Reply::Answer(
        status,
        headers,
        json!({"message": message, "documentation_url": "https://docs.github.com"}).to_string(),
    )
}

async fn start(github: &GitHub) -> Result<Option<u64>, CallError> {
    github.dispatch(&workflow(), &BTreeMap::from([("ami".to_owned(), "ami-2".to_owned())]), OPERATION).await
}

#[tokio::test]
async fn a_run_is_asked_for_once_with_its_mark() {
    let details = json!({"workflow_run_id": 30_433_642, "run_url": "https://api.github.com/repos/octo-org/octo-repo/actions/runs/30433642", "html_url": "https://github.com/octo-org/octo-repo/actions/runs/30433642"});
    let none = || Reply::Answer(204, Vec::new(), String::new());
    let (github, wire) = with(vec![Reply::json(&details.to_string()), none()]).await;
    assert_eq!(start(&github).await, Ok(Some(30_433_642)));
    assert_eq!(start(&github).await, Ok(None), "it is started, and has to be found");
    let other = Wire::start(vec![none()]).await;
    start(&self::github(&other, false)).await.unwrap();
    let seen = wire.seen();
    assert_eq!((seen[0].method.as_str(), seen.len()), ("POST", 2));
    assert_eq!(seen[0].uri, "/repos/octo-org/octo-repo/actions/workflows/upgrade.yml/dispatches");
    assert_eq!(seen[0].headers["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(seen[0].headers["x-github-api-version"], "2022-11-28");
    assert!(seen[0].headers["user-agent"].to_str().unwrap().starts_with("runbookd/"));
    let inputs = json!({"ami": "ami-2", "runbookd_operation": OPERATION});
    let body = |seen: &crate::clients::wire::Seen| serde_json::from_str::<Value>(&seen.body).unwrap();
    assert_eq!(body(&seen[0]), json!({"ref": "main", "inputs": inputs, "return_run_details": true}));
    assert_eq!(body(&other.seen()[0]), json!({"ref": "main", "inputs": inputs}));
}

#[tokio::test]
async fn what_is_not_listed_is_not_called() {
    let (github, wire) = with(Vec::new()).await;
    for text in [
        "octo-org/octo-repo/upgrade.yml@other",
        "octo-org/octo-repo/delete.yml@main",
        "evil/octo-repo/upgrade.yml@main",
    ] {
        let other = Workflow::parse(text).unwrap();
        let error = github.dispatch(&other, &BTreeMap::new(), OPERATION).await.unwrap_err();
        assert_eq!(error.reason, Reason::ClientError);
        assert!(
            github.find(&other, OPERATION, since()).await.is_err() && github.run(&other, 1).await.is_err()
        );
    }
    let inputs = BTreeMap::from([(MARK.to_owned(), "mine".to_owned())]);
    assert!(github.dispatch(&workflow(), &inputs, OPERATION).await.is_err());
    assert!(github.find(&workflow(), "", since()).await.is_err(), "an empty id is in every title");
    assert!(wire.seen().is_empty(), "nothing was called");
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_is_sent_once() {
    for (reply, reason, text) in [
        (
            refusal(404, &[], "Not Found"),
            Reason::NotFound,
            "HTTP 404: Not Found; there is no such repository, or no workflow of this file on its default branch, or the token may not see it (`actions: write`)",
        ),
        (
            refusal(422, &[], "Unexpected inputs provided: [\"runbookd_operation\"]"),
            Reason::ClientError,
            "HTTP 422: Unexpected inputs provided: [\"runbookd_operation\"]; the workflow needs the input `runbookd_operation`, and to show it in its `run-name`",
        ),
        (
            refusal(422, &[], "Required input 'region' not provided"),
            Reason::ClientError,
            "HTTP 422: Required input 'region' not provided",
        ),
        (
            refusal(422, &[], "Invalid request.\n\n\"return_run_details\" is not a permitted key."),
            Reason::ClientError,
            "HTTP 422: Invalid request. \"return_run_details\" is not a permitted key.; this GitHub does not know it: set `github: {run_details: false}`",
        ),
        (
            refusal(422, &[], "No ref found for: main"),
            Reason::ClientError,
            "HTTP 422: No ref found for: main",
        ),
        (
            refusal(403, &[], "Resource not accessible by personal access token"),
            Reason::Denied,
            "HTTP 403: Resource not accessible by personal access token; the token lacks the right `actions: write`, or its organisation does not let it in",
        ),
        (
            refusal(401, &[], &format!("Bad credentials {TOKEN}")),
            Reason::Denied,
            "HTTP 401: Bad credentials [hidden]; the token is not accepted: it has expired, or was withdrawn",
        ),
        (
            refusal(307, &[("location", "https://api.github.com/repositories/1")], "Moved Permanently"),
            Reason::ClientError,
            "HTTP 307: Moved Permanently; the repository has another name now",
        ),
        (Reply::error(502, "<html>"), Reason::ServerError, "HTTP 502: no reason that can be read"),
    ] {
        let (github, wire) = with(vec![reply]).await;
        let error = start(&github).await.unwrap_err();
        assert_eq!((error.reason, error.message.as_str()), (reason, text));
        assert_eq!(wire.seen().len(), 1, "{text}");
        assert!(!format!("{error:?} {error} {github:?}").contains(TOKEN));
    }
}

#[tokio::test]
async fn a_limit_is_told_from_a_missing_right() {
    let reset = (clock::now().as_second() + 600).to_string();
    let seconds = Duration::from_secs;
    for (reply, least, most) in [
        (refusal(403, &[("retry-after", "60")], "You have exceeded a secondary rate limit."), 60, 60),
        (refusal(429, &[("retry-after", "7")], "slow down"), 7, 7),
        (
            refusal(
                403,
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset)],
                "API rate limit exceeded",
            ),
            590,
            600,
        ),
    ] {
        let (github, wire) = with(vec![reply]).await;
        let error = start(&github).await.unwrap_err();
        assert_eq!(error.reason, Reason::RateLimited);
        assert!(error.reason.surely_without_effect());
        let wait = error.retry_after.unwrap();
        assert!(wait >= seconds(least) && wait <= seconds(most), "{wait:?}");
        assert_eq!(wire.seen().len(), 1);
    }
    let plain = vec![refusal(403, &[], "You have exceeded a secondary rate limit. Please wait.")];
    assert_eq!(start(&with(plain).await.0).await.unwrap_err().reason, Reason::RateLimited);
}

#[tokio::test]
async fn a_lost_answer_leaves_open_whether_a_run_was_started() {
    let wire = Wire::start(vec![Reply::Hang]).await;
    let settings = Settings {
        url: wire.url.clone(),
        workflows: vec![workflow()],
        timeout: Duration::from_millis(300),
        ..Settings::new(Secret::new(TOKEN))
    };
    let error = start(&GitHub::new(settings.clone()).unwrap()).await.unwrap_err();
    assert_eq!(error.reason, Reason::Timeout);
    assert_eq!(wire.seen().len(), 1);
    let broken = GitHub::new(Settings { url: Wire::breaking().await, ..settings.clone() }).unwrap();
    assert!(!start(&broken).await.unwrap_err().reason.surely_without_effect());
    let nowhere = GitHub::new(Settings { url: Wire::nowhere().await, ..settings }).unwrap();
    assert_eq!(start(&nowhere).await.unwrap_err().reason, Reason::Unreachable);
}

#[tokio::test]
async fn a_run_is_found_by_its_mark_and_nothing_else_is_taken_for_it() {
    let ours = run(7, &format!("Upgrade ami-2 ({OPERATION})"), "queued", None);
    let like = run(6, &format!("Upgrade {OPERATION}0"), "completed", Some("success"));
    let other = run(5, "Upgrade by hand", "completed", Some("success"));
    let again = run(9, &format!("{OPERATION} again"), "in_progress", None);
    let hidden = json!({"total_count": 60, "workflow_runs": [other]});
    let (github, wire) = with(vec![
        list(&[again, ours, like.clone(), other.clone()]),
        list(&[like, other]),
        list(&[]),
        Reply::json(&hidden.to_string()),
    ])
    .await;
    let workflow = workflow();
    let find = || github.find(&workflow, OPERATION, since());
    let Found::Run(found) = find().await.unwrap() else { panic!() };
    assert_eq!((found.id, found.state), (7, State::UnderWay("queued".to_owned())));
    assert_eq!(found.url, "https://github.com/octo-org/octo-repo/actions/runs/7");
    assert_eq!(find().await.unwrap(), Found::Others(2));
    assert_eq!(find().await.unwrap(), Found::Nothing);
    assert_eq!(find().await.unwrap(), Found::Others(60));
    assert_eq!(
        wire.seen()[0].uri,
        "/repos/octo-org/octo-repo/actions/workflows/upgrade.yml/runs?event=workflow_dispatch&created=%3E%3D2026-11-23T11%3A58%3A30Z&per_page=50"
    );
}

#[tokio::test]
async fn a_run_is_followed_to_a_conclusion_and_only_success_is_one() {
    let under_way = |word: &str| State::UnderWay(word.to_owned());
    let ended = |word: &str| State::Ended(word.to_owned());
    for (status, conclusion, state) in [
        ("queued", None, under_way("queued")),
        ("waiting", None, under_way("waiting")),
        ("in_progress", Some("success"), under_way("in_progress")),
        ("completed", None, under_way("completed")),
        ("completed", Some("success"), State::Succeeded),
        ("completed", Some("failure"), ended("failure")),
        ("completed", Some("cancelled"), ended("cancelled")),
        ("completed", Some("skipped"), ended("skipped")),
        ("completed", Some("neutral"), ended("neutral")),
        ("completed", Some("a_word_of_the_future"), ended("a_word_of_the_future")),
    ] {
        let (github, wire) = with(vec![Reply::json(&run(7, "x", status, conclusion).to_string())]).await;
        assert_eq!(github.run(&workflow(), 7).await.unwrap().state, state, "{status} {conclusion:?}");
        assert_eq!(wire.seen()[0].uri, "/repos/octo-org/octo-repo/actions/runs/7");
    }
}

#[tokio::test]
async fn a_question_is_asked_again_while_github_is_busy() {
    let answer = run(7, "x", "completed", Some("success")).to_string();
    let busy =
        vec![Reply::error(502, ""), refusal(429, &[("retry-after", "0")], "slow down"), Reply::json(&answer)];
    let (github, wire) = with(busy).await;
    assert_eq!(github.run(&workflow(), 7).await.unwrap().state, State::Succeeded);
    assert_eq!(wire.seen().len(), 3);
    // Who is told to come back in an hour does not wait here.
    let (github, wire) = with(vec![refusal(429, &[("retry-after", "3600")], "slow down")]).await;
    assert_eq!(github.run(&workflow(), 7).await.unwrap_err().reason, Reason::RateLimited);
    assert_eq!(wire.seen().len(), 1);
    for body in ["<html>", "{}", "[]"] {
        let (github, _wire) = with(vec![Reply::json(body), Reply::json(body), Reply::json(body)]).await;
        assert_eq!(github.run(&workflow(), 7).await.unwrap_err().reason, Reason::ServerError, "{body}");
        assert!(github.find(&workflow(), OPERATION, since()).await.is_err(), "{body}");
    }
}

#[test]
fn a_token_that_is_none_is_refused_without_showing_it() {
    for token in ["", " ", "github_pat_x\ny"] {
        let error = GitHub::new(Settings::new(Secret::new(token))).unwrap_err();
        assert!(!error.to_string().contains("github_pat"), "{error}");
    }
    assert!(
        GitHub::new(Settings { url: "api.github.com".to_owned(), ..Settings::new(Secret::new(TOKEN)) })
            .is_err()
    );
}
