//! What terraform said, in words that people may see: summaries, without the values that are to be hidden.

use std::time::Duration;

use super::events::{Events, Holder, Problem};
use super::runner::{How, Stop};
use super::{MOST_OUTPUT, Settings, Terraform};
use crate::clients::http::hidden;
use crate::clients::{CallError, Reason, Secret};
use crate::text::{cut, span};

/// How much of an error is shown.
const SHOWN: usize = 120;
/// So many errors.
const ERRORS: usize = 3;

impl Terraform {
    /// What keeps a command from having worked that changes nothing.
    pub(super) fn failed(&self, call: &str, how: How, told: &Events, within: Duration) -> CallError {
        let (reason, message) = match how {
            How::Stopped { why: Stop::Late, .. } => {
                (Reason::Timeout, format!("terraform took longer than {}, and was stopped", span(within)))
            }
            How::Stopped { .. } => {
                (Reason::Unreachable, "terraform was stopped, as runbookd is ending".to_owned())
            }
            How::Signalled(signal) => {
                (Reason::ServerError, format!("terraform was ended by signal {signal}"))
            }
            How::Exited(_) if told.locked.is_some() => {
                (Reason::Conflict, self.locked(told.locked.as_ref().unwrap_or(&Holder::default())))
            }
            How::Exited(_) if told.not_initialised() => (
                Reason::ClientError,
                format!(
                    "the directory is not initialised: run `terraform init` where it is made ready ({})",
                    self.errors(told, &[])
                ),
            ),
            How::Exited(code) if told.errors.is_empty() => (
                Reason::ServerError,
                format!("terraform ended with code {code}, and said nothing that can be shown"),
            ),
            How::Exited(_) => (Reason::ServerError, self.errors(told, &[])),
        };
        CallError::new(call, reason, &message)
    }

    /// `the state is locked by root@vm (apply) since 2026-11-23 12:00:00`.
    pub(super) fn locked(&self, holder: &Holder) -> String {
        let Holder { who, operation, since } = holder;
        let fit = |text: &String| self.fit(text, &[], SHOWN);
        let who = who.as_ref().map_or_else(|| "somebody".to_owned(), fit);
        let operation = operation.as_ref().map(|word| format!(" ({})", fit(word))).unwrap_or_default();
        let since = since.as_ref().map(|at| format!(" since {}", fit(at))).unwrap_or_default();
        format!("the state is locked by {who}{operation}{since}")
    }

    /// The summaries of the errors.
    pub(super) fn errors(&self, told: &Events, hide: &[Secret]) -> String {
        let one = |Problem { summary, place }: &Problem| {
            let summary = self.fit(summary, hide, SHOWN);
            place.as_ref().map_or_else(
                || summary.clone(),
                |place| format!("{summary}: {}", self.fit(place, hide, SHOWN)),
            )
        };
        let mut texts: Vec<String> = told.errors.iter().map(one).collect();
        texts.dedup();
        let more = texts.len().saturating_sub(ERRORS);
        texts.truncate(ERRORS);
        if more > 0 {
            texts.push(format!("{more} more"));
        }
        if told.cut {
            texts.push(format!("terraform wrote more than {} MiB", MOST_OUTPUT >> 20));
        }
        texts.join("; ")
    }

    /// A text of terraform's, or of a provider's, without what is to be hidden.
    pub(super) fn fit(&self, text: &str, hide: &[Secret], most: usize) -> String {
        let Settings { environment, shown, .. } = &self.0.settings;
        let ours = environment.iter().filter(|variable| variable.hide).map(|variable| &variable.value);
        let mut text = text.as_bytes().to_vec();
        for secret in ours.chain(hide) {
            text = hidden::without(&text, secret.reveal());
        }
        let text = shown(&String::from_utf8_lossy(&text));
        let line: Vec<&str> =
            text.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty()).collect();
        cut(&line.join(" "), most)
    }
}
