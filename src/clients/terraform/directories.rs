//! Which directories terraform may be run in: those that the configuration names, below its root, looked up anew each time. A plan runs what the
//! directory says, so a symlink that leads out of the root is a refusal.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::super::CallError;
use super::super::error::Reason;

/// Whether a directory can be named like this: relative to the root, and below it.
#[must_use]
pub fn is_below(path: &Path) -> bool {
    path.components().next().is_some()
        && path.components().all(|component| matches!(component, Component::Normal(_)))
}

/// The directory of this name, as it is now.
pub(super) fn find(
    root: &Path,
    named: &BTreeMap<String, PathBuf>,
    name: &str,
    call: &str,
) -> Result<PathBuf, CallError> {
    let refuse = |message: &str| CallError::unsent(call, message);
    let Some(below) = named.get(name) else {
        let message = "the configuration names no such directory; add it to `terraform: {directories: {}}`";
        return Err(refuse(message));
    };
    if !is_below(below) {
        return Err(refuse("the directory is not named relative to the root, and below it"));
    }
    let missing = |path: &Path, error: &std::io::Error| {
        CallError::new(call, Reason::NotFound, &format!("{} can not be found: {error}", path.display()))
    };
    let root = root.canonicalize().map_err(|error| missing(root, &error))?;
    let path = root.join(below);
    let directory = path.canonicalize().map_err(|error| missing(&path, &error))?;
    if directory == root || !directory.starts_with(&root) {
        return Err(refuse(&format!(
            "{} leads out of {}; expected a directory below it",
            path.display(),
            root.display()
        )));
    }
    if !has_configuration(&directory).map_err(|error| missing(&directory, &error))? {
        return Err(refuse(&format!(
            "{} holds no *.tf; expected a directory with a configuration of terraform",
            directory.display()
        )));
    }
    Ok(directory)
}

fn has_configuration(directory: &Path) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| name.ends_with(".tf") || name.ends_with(".tf.json")) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_a_named_directory_below_the_root_with_a_configuration_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        for path in ["a/b", "empty", "a/c"] {
            std::fs::create_dir_all(root.join(path)).unwrap();
        }
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        for path in ["outside/main.tf", "root/main.tf", "root/a/b/main.tf", "root/a/c/x.tf.json"] {
            std::fs::write(folder.path().join(path), "").unwrap();
        }
        symlink(folder.path().join("outside"), root.join("out")).unwrap();
        symlink("../..", root.join("a/up")).unwrap();
        symlink(".", root.join("self")).unwrap();
        symlink("b", root.join("a/in")).unwrap();
        let names = [
            "a/b",
            "a/c",
            "a/in",
            "empty",
            "out",
            "a/up",
            "self",
            "gone",
            ".",
            "..",
            "a/../../outside",
            "",
            "/etc",
        ];
        let named = names.map(|name| (name.to_owned(), PathBuf::from(name))).into();
        let found = |name: &str| find(&root, &named, name, "plan");
        assert_eq!(found("a/b").unwrap(), root.canonicalize().unwrap().join("a/b"));
        assert_eq!(found("a/in").unwrap(), root.canonicalize().unwrap().join("a/b"));
        assert!(found("a/c").is_ok());
        for name in ["empty", "out", "a/up", "self", ".", "..", "a/../../outside", "", "/etc", "not-named"] {
            assert_eq!(found(name).unwrap_err().reason, Reason::ClientError, "{name}");
        }
        assert_eq!(found("gone").unwrap_err().reason, Reason::NotFound);
        // What was right a moment ago is looked at anew.
        std::fs::remove_dir_all(root.join("a/b")).unwrap();
        symlink(folder.path().join("outside"), root.join("a/b")).unwrap();
        assert!(found("a/b").is_err());
    }
}
