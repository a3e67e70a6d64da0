//! `links:`: where a person finds more, such as the dashboards of a service.

use super::UrlTemplate;
use super::names::{Names, Scope};
use super::probes::address;
use crate::yaml::{Faults, Field, Fields};

/// An address for people. runbookd never asks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTemplate {
    /// What is there.
    pub title: String,
    /// Where.
    pub to: LinkTo,
}

/// What a link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkTo {
    /// An address.
    Url(UrlTemplate),
    /// The dashboard of this title, in the Grafana of the configuration.
    Dashboard(String),
}

/// More would be a page of its own.
const MOST: usize = 10;
/// In characters.
const TITLE: usize = 60;

pub(super) fn links(field: Field<'_>, names: &mut Names<'_>, faults: &mut Faults) -> Vec<LinkTemplate> {
    let items = field.list("links: [{dashboard: Application Performance}]", faults).unwrap_or_default();
    if items.len() > MOST {
        field.wrong(&format!("expected at most {MOST} links"), None, faults);
    }
    items.into_iter().filter_map(|item| link(item, names, faults)).collect()
}

fn link(item: Field<'_>, names: &mut Names<'_>, faults: &mut Faults) -> Option<LinkTemplate> {
    let mut fields = Fields::of(item.node, "a link", faults)?;
    let dashboard = fields.get("dashboard");
    let link = if let Some(field) = dashboard {
        let title = title(field, faults);
        title.map(|title| LinkTemplate { to: LinkTo::Dashboard(title.clone()), title })
    } else {
        let title = fields
            .need("title", "title: Application Performance, or dashboard: Application Performance")
            .and_then(|field| title(field, faults));
        let url = fields
            .need("url", "url: \"https://wiki.example.org/chat-api\"")
            .and_then(|field| address(field, Scope::Alert, names, faults));
        title.zip(url).map(|(title, url)| LinkTemplate { title, to: LinkTo::Url(url) })
    };
    fields.end(faults);
    link
}

fn title(field: Field<'_>, faults: &mut Faults) -> Option<String> {
    let title = field.string(faults)?;
    let is_short = title.chars().count() <= TITLE && !title.chars().any(char::is_control);
    if !is_short || title.trim().is_empty() {
        field.wrong(&format!("expected one line of at most {TITLE} characters"), None, faults);
        return None;
    }
    Some(title)
}
