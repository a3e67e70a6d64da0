//! How a process is run and ended, with programs that are no terraform: they do what terraform does rarely.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::runner::{How, Job, Ran, Stop, run};
use super::sink::Sink;
use super::{Variable, never_handed_on};
use crate::clients::Secret;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

fn job(folder: &Path, script: &str) -> Job {
    let path = Variable { name: "PATH".to_owned(), value: Secret::new("/usr/bin:/bin"), hide: false };
    Job {
        program: "/bin/sh".into(),
        words: [OsString::from("-c"), OsString::from(format!("echo $$ > group; {script}"))].into(),
        directory: folder.to_owned(),
        environment: vec![path],
        within: LONG,
        grace: LONG,
        sink: Sink::keep(1 << 20),
        log: None,
    }
}

async fn ran(job: Job) -> Ran {
    run(job, watch::channel(false).1, Arc::new(())).await.unwrap()
}

/// The processes of the group that are no zombies. Field 3 of `stat` is the state, and field 5 the group.
fn alive(folder: &Path) -> Vec<String> {
    let group = std::fs::read_to_string(folder.join("group")).unwrap().trim().to_owned();
    let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
    let of_group = |stat: &String| {
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields.get(2) == Some(&group.as_str()) && fields[0] != "Z"
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(stat).filter(of_group).collect()
}

/// Until the script has come to where it writes this file.
async fn until_written(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < LONG, "{} is not written", path.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_ignores_sigint_is_killed_with_all_of_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap '' INT; sleep 600 & (sleep 600; true) & sleep 600; sleep 600";
    let ran = ran(Job { within: SHORT, grace: SHORT, ..job(folder.path(), script) }).await;
    assert_eq!(ran.how, How::Stopped { why: Stop::Late, killed: true });
    assert_eq!(alive(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn what_ends_by_sigint_is_not_killed_and_is_heard_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap 'echo in order; exit 7' INT; sleep 600 & wait";
    let ran = ran(Job { within: SHORT, ..job(folder.path(), script) }).await;
    assert_eq!(ran.how, How::Stopped { why: Stop::Late, killed: false });
    assert_eq!(ran.output.whole(), Some(&b"in order\n"[..]));
    assert_eq!(alive(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn what_it_leaves_behind_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let ran = ran(job(folder.path(), "(trap '' INT HUP TERM; sleep 600) & sleep 600 & exit 3")).await;
    assert_eq!(ran.how, How::Exited(3));
    assert_eq!(alive(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_who_waits_and_an_end_of_the_daemon_interrupt_it() {
    for shuts_down in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let script = "trap 'echo x > interrupted; exit 0' INT; echo x > ready; sleep 600 & wait";
        let (down, watched) = watch::channel(false);
        let held = Arc::new(());
        let running = tokio::spawn(run(job(folder.path(), script), watched, Arc::clone(&held)));
        until_written(&folder.path().join("ready")).await;
        assert_eq!(Arc::strong_count(&held), 2, "it is held while it runs");
        if shuts_down {
            down.send_replace(true);
            let ran = running.await.unwrap().unwrap();
            assert_eq!(ran.how, How::Stopped { why: Stop::ShuttingDown, killed: false });
        } else {
            running.abort();
        }
        let begun = Instant::now();
        while Arc::strong_count(&held) > 1 {
            assert!(begun.elapsed() < LONG, "it is not let go");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(folder.path().join("interrupted").exists());
        assert_eq!(alive(folder.path()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn much_output_does_not_stop_it_and_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let script = "head -c 30000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit 5";
    let ran = ran(job(folder.path(), script)).await;
    assert_eq!(ran.how, How::Exited(5));
    assert_eq!(ran.output.whole(), None);
    let (Sink::Keep { kept, .. }, Sink::Keep { kept: errors, .. }) = (ran.output, ran.errors) else {
        panic!()
    };
    assert_eq!((kept.len(), errors.len()), (1 << 20, 64 << 10));
}

#[tokio::test]
async fn a_long_log_is_read_to_its_end_and_takes_no_room() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    let script = "yes $(printf 'x%.0s' $(seq 1000)) | head -c 30000000; echo; echo first >&2; echo '{\"type\": \"apply_errored\", \"hook\": {\"resource\": {\"addr\": \"a.b\"}}}'";
    let log = folder.path().join("x.log");
    let job = Job { sink: Sink::events(10 << 20), log: Some(log.clone()), ..job(folder.path(), script) };
    let ran = ran(job).await;
    assert_eq!(ran.how, How::Exited(0));
    let told = ran.output.told();
    assert_eq!(told.failed, ["a.b"]);
    assert!(told.cut);
    let data = std::fs::metadata(&log).unwrap();
    assert_eq!(data.mode() & 0o777, 0o600);
    assert!(data.len() > 30_000_000 && data.blocks() * 512 < 10_000_000, "{} blocks", data.blocks());
}

#[tokio::test]
async fn it_gets_the_listed_environment_an_empty_input_and_no_shell_between() {
    let folder = tempfile::tempdir().unwrap();
    let ran = ran(Job { program: "/usr/bin/env".into(), words: Vec::new(), ..job(folder.path(), "") }).await;
    assert_eq!(ran.output.whole(), Some(&b"PATH=/usr/bin:/bin\n"[..]));
    let words = ["%s|".into(), "$(id); `id`".into(), "a b".into()];
    let echo = Job { program: "/usr/bin/printf".into(), words: words.into(), ..job(folder.path(), "") };
    assert_eq!(self::ran(echo).await.output.whole(), Some(&b"$(id); `id`|a b|"[..]));
    assert_eq!(self::ran(job(folder.path(), "cat; exit 4")).await.how, How::Exited(4));
}

#[test]
fn what_makes_terraform_log_or_do_more_is_never_handed_on() {
    for name in [
        "TF_LOG",
        "TF_LOG_PATH",
        "TF_LOG_PROVIDER",
        "TF_CLI_ARGS",
        "TF_CLI_ARGS_apply",
        "RUNBOOKD_SLACK_TOKEN",
        "LD_PRELOAD",
    ] {
        assert!(never_handed_on(name), "{name}");
    }
    for name in ["TF_VAR_token", "TF_CLI_CONFIG_FILE", "PATH", "AWS_PROFILE"] {
        assert!(!never_handed_on(name), "{name}");
    }
}
