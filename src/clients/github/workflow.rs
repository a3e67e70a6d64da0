//! A workflow, as the configuration names it: `owner/repository/file.yml@ref`. Each part is checked, because it becomes a part of an address.

use std::fmt;

/// A workflow of a repository, on a branch or a tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workflow {
    owner: String,
    repository: String,
    file: String,
    reference: String,
}

impl Workflow {
    /// Reads one.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected a workflow such as acme/infra/upgrade.yml@main";
        let (path, reference) = text.split_once('@').ok_or(EXPECTED)?;
        let parts: Vec<&str> = path.split('/').collect();
        let [owner, repository, file] = parts.as_slice() else { return Err(EXPECTED) };
        let is = |text: &str, more: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            (1..=100).contains(&text.len())
                && text.chars().all(fits)
                && !text.split('/').any(|part| matches!(part, "" | "." | ".."))
        };
        let is_file = is(file, "-_.") && (file.ends_with(".yml") || file.ends_with(".yaml"));
        if !is(owner, "-_") || !is(repository, "-_.") || !is_file || !is(reference, "-_./") {
            return Err(EXPECTED);
        }
        Ok(Self {
            owner: (*owner).to_owned(),
            repository: (*repository).to_owned(),
            file: (*file).to_owned(),
            reference: reference.to_owned(),
        })
    }

    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    pub(super) fn reference(&self) -> &str {
        &self.reference
    }

    pub(super) fn path(&self) -> String {
        format!("/repos/{}/{}/actions/workflows/{}", self.owner, self.repository, self.file)
    }
}

impl fmt::Display for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}@{}", self.owner, self.repository, self.file, self.reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_named_and_none_leads_elsewhere() {
        for text in ["acme/infra/upgrade.yml@main", "a-b/c.d_e/f.yaml@release/1.2", "a/b/c.yml@v1"] {
            assert_eq!(Workflow::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "acme/infra/upgrade.yml",
            "acme/infra/upgrade.yml@",
            "acme/infra@main",
            "acme/infra/x/upgrade.yml@main",
            "acme/infra/.github/workflows/upgrade.yml@main",
            "acme/../upgrade.yml@main",
            "acme/infra/upgrade@main",
            "acme/infra/*.yml@main",
            "acme/infra/upgrade.yml?x=1@main",
            "acme/infra/upgrade.yml@main branch",
            "acme/infra/upgrade.yml@a/../b",
            "acme/infra/upgrade.yml@main@main",
            "/infra/upgrade.yml@main",
            "acme/infra/12345@main",
        ] {
            assert!(Workflow::parse(text).is_err(), "{text}");
        }
    }
}
