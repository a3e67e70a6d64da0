//! Each story as a person reads it: the head as it stands at the end, and the thread below it.

use runbookd::notify::texts;
use runbookd::notify::transcript::transcript;

use super::stories;

fn in_its_place(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(check);
}

#[test]
fn each_story_reads_well() {
    in_its_place(|| {
        for (name, story) in stories::all() {
            insta::assert_snapshot!(format!("slack_{name}"), transcript(&story.thread()));
        }
    });
}

#[test]
fn the_head_says_where_the_incident_stands() {
    let story = stories::recovered();
    let heads: Vec<_> = (1..=story.events.len()).map(|count| story.head_after(count)).collect();
    let titles: Vec<_> = heads.iter().map(|head| head.blocks[0]["text"]["text"].as_str().unwrap()).collect();
    let mut moves = titles.clone();
    moves.dedup();
    assert_eq!(
        moves,
        [
            "🔎 Looking into it: database-pool-exhaustion",
            "🔧 Restarting: database-pool-exhaustion",
            "🩺 Checking whether it helped: database-pool-exhaustion",
            "🔎 Deciding what comes next: database-pool-exhaustion",
            "✅ Recovered: database-pool-exhaustion",
        ]
    );
}

#[test]
fn the_same_history_gives_the_same_message() {
    let thread = || stories::recovered().thread();
    assert_eq!(thread(), thread());
}

#[test]
fn the_blocks_of_a_head() {
    in_its_place(|| {
        let head = stories::asking().thread().remove(0);
        let shown = format!("{}\n{}", head.text, serde_json::to_string_pretty(&head.blocks).unwrap());
        insta::assert_snapshot!("slack_blocks_of_a_head", shown);
    });
}

#[test]
fn alerts_that_join_and_resolve_are_shown_in_the_head_only() {
    let story = stories::self_healed();
    let resolved = &story.events[3];
    let incident = runbookd::incident::Incident::replay(&story.id, &story.events[..4]).unwrap();
    assert_eq!(texts::reply(&incident, resolved, &story.events[..4]), None);
    assert!(story.head_after(4).blocks.to_string().contains("`High5xxRate`, resolved"));
}
