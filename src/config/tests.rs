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
