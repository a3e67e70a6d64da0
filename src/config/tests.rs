//! The configuration: what its files may say, and that the default file says exactly the defaults.

use super::*;

fn read(text: &str) -> Config {
    let (config, faults) = Config::read(text, None, Purpose::Run, &|_| None);
    assert!(faults.is_empty(), "{faults}");
    config.unwrap()
}

#[test]
fn the_commented_default_file_says_exactly_the_defaults() {
    assert_eq!(format!("{:#?}", read(DEFAULT_FILE)), format!("{:#?}", Config::default()));
    assert_eq!(format!("{:#?}", read("")), format!("{:#?}", Config::default()));
}

#[test]
fn the_example_of_the_default_file_says_what_alertmanager_has_without_it() {
    let read = |text: &str| format!("{:#?}", read(text).alertmanager.unwrap());
    let short = "alertmanager: {url: http://alertmanager:9093, receiver: runbookd}";
    let section = DEFAULT_FILE.lines().skip_while(|line| *line != "# alertmanager:");
    let section = section.take_while(|line| line.starts_with('#')).map(|line| &line[2..]);
    let fields =
        section.filter(|line| !line.contains("token_file") && (line.contains(": ") || line.ends_with(':')));
    let text: Vec<&str> = fields.filter(|line| !line.contains(" `") && !line.contains("Or ")).collect();
    assert_eq!(text.len(), 5, "{text:#?}");
    assert_eq!(read(&text.join("\n")), read(short));
}
