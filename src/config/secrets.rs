//! Where secrets come from: a file of their own, or the environment; never the configuration file, which lies in repositories.

use std::io::Read as _;
use std::path::Path;

use super::Purpose;
use crate::clients::Secret;
use crate::yaml::{Faults, Field, Fields, Place};

/// No token is longer.
const MAX_BYTES: u64 = 64 << 10;

/// What secrets are read with.
pub(super) struct Secrets<'a> {
    /// The configuration file's folder, to which the paths in it are relative.
    pub(super) folder: &'a Path,
    /// Whether they must be there.
    pub(super) purpose: Purpose,
    /// The environment.
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
}

/// What became of a secret.
pub(super) enum Found {
    /// It is there.
    Secret(Secret),
    /// The configuration names a file for it that is not on this machine, which only checks.
    Elsewhere,
    /// Nothing names it.
    None,
}

impl Secrets<'_> {
    /// The token of a section: from its `token_file`, or from the variable.
    pub(super) fn token(&self, fields: &mut Fields<'_>, variable: &str, faults: &mut Faults) -> Found {
        let hint = format!("put it into a file and name that in `token_file`, or set {variable}");
        fields.refuse("token", "a secret in the configuration; expected it elsewhere", &hint, faults);
        self.value(fields.get("token_file"), variable, faults)
    }

    /// What stands in the file that a field names, or in the variable.
    pub(super) fn value(&self, file: Option<Field<'_>>, variable: &str, faults: &mut Faults) -> Found {
        let value = (self.environment)(variable).filter(|value| !value.trim().is_empty());
        match (file, value) {
            (Some(field), Some(_)) => {
                let name = field.name;
                faults.add(
                    field.key,
                    format!("`{name}` is here and {variable} in the environment; expected one of them"),
                    Some(format!("remove the line, or unset {variable}")),
                );
                Found::None
            }
            (Some(field), None) => self.read_file(field, faults),
            (None, Some(value)) => Found::Secret(Secret::new(value.trim())),
            (None, None) => Found::None,
        }
    }

    /// For a section that is not in the file at all.
    pub(super) fn token_of_environment(&self, variable: &str) -> Option<Secret> {
        let value = (self.environment)(variable).filter(|value| !value.trim().is_empty())?;
        Some(Secret::new(value.trim()))
    }

    fn read_file(&self, field: Field<'_>, faults: &mut Faults) -> Found {
        let Some(scalar) = field.text(faults) else { return Found::None };
        let path = self.folder.join(&scalar.text);
        let mut text = String::new();
        let read = std::fs::File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
        match read {
            Err(error) => {
                self.missing(
                    field.place(),
                    format!("the file {} can not be read: {error}; expected a token in it", path.display()),
                    faults,
                );
                Found::Elsewhere
            }
            Ok(_) if text.trim().is_empty() => {
                self.missing(
                    field.place(),
                    format!("the file {} is empty; expected a token in it", path.display()),
                    faults,
                );
                Found::Elsewhere
            }
            Ok(_) => Found::Secret(Secret::new(text.trim())),
        }
    }

    /// A secret is not there: a fault for those who run with it.
    pub(super) fn missing(&self, place: Place, message: String, faults: &mut Faults) {
        match self.purpose {
            Purpose::Run => faults.add(place, message, None),
            Purpose::Check => {
                faults.warn(place, message, Some("it must be there when runbookd runs".to_owned()));
            }
        }
    }
}

impl Found {
    /// Whether there is one, here or elsewhere.
    pub(super) const fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// The secret, where it is here.
    pub(super) fn secret(self) -> Option<Secret> {
        match self {
            Self::Secret(secret) => Some(secret),
            Self::Elsewhere | Self::None => None,
        }
    }
}
