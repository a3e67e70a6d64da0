//! What RDS answers, in XML. Pure.

use roxmltree::{Document, Node};

use super::unreadable;

/// A DB instance, as far as its limit of connections depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// Such as `postgres`.
    pub engine: String,
    /// Such as `available`.
    pub status: String,
    /// Such as `db.t4g.medium`.
    pub class: String,
    /// Its DB parameter groups, with whether the instance runs with what they say.
    pub groups: Vec<(String, String)>,
    /// The Aurora or Multi-AZ cluster that it belongs to.
    pub cluster: Option<String>,
    /// The class that it is to have.
    pub next_class: Option<String>,
    /// Its storage, in GiB.
    pub storage: Option<u64>,
}

/// One page of a group's parameters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The parameter, when it is on this page; it can be there without a value.
    pub(super) found: Option<Option<String>>,
    /// Where the next page begins.
    pub(super) marker: Option<String>,
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.tag_name().name() == name)
}

fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    let text = child(node, name)?.text()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn children<'a, 'i>(
    node: Node<'a, 'i>,
    list: &'static str,
    item: &'static str,
) -> impl Iterator<Item = Node<'a, 'i>> {
    let all = child(node, list).into_iter().flat_map(|list| list.children());
    all.filter(move |child| child.tag_name().name() == item)
}

/// What lies in `<ActionResponse><ActionResult>`.
fn result<'d, 'i>(document: &'d Document<'i>, action: &str) -> Result<Node<'d, 'i>, String> {
    let root = document.root_element();
    let result = child(root, &format!("{action}Result"));
    result
        .filter(|_| root.tag_name().name() == format!("{action}Response"))
        .ok_or_else(|| format!("the answer is no {action}Response"))
}

fn parsed(body: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(body).map_err(|_| "the answer is no text".to_owned())
}

pub(super) fn instance(body: &[u8], name: &str) -> Result<Instance, String> {
    let document = Document::parse(parsed(body)?).map_err(|error| unreadable(&error))?;
    let result = result(&document, "DescribeDBInstances")?;
    let mut all = children(result, "DBInstances", "DBInstance");
    let (Some(one), None) = (all.next(), all.next()) else {
        return Err("the answer does not hold one instance".to_owned());
    };
    let need = |field: &str| text(one, field).ok_or_else(|| format!("the answer has no {field}"));
    let found = need("DBInstanceIdentifier")?;
    // RDS keeps names in small letters.
    if !found.eq_ignore_ascii_case(name) {
        return Err("the answer is about another instance".to_owned());
    }
    let groups = children(one, "DBParameterGroups", "DBParameterGroup").map(|group| {
        let word = |field| text(group, field).unwrap_or_default();
        (word("DBParameterGroupName"), word("ParameterApplyStatus"))
    });
    Ok(Instance {
        name: found,
        engine: need("Engine")?,
        status: need("DBInstanceStatus")?,
        class: need("DBInstanceClass")?,
        groups: groups.collect(),
        cluster: text(one, "DBClusterIdentifier"),
        next_class: child(one, "PendingModifiedValues").and_then(|next| text(next, "DBInstanceClass")),
        storage: text(one, "AllocatedStorage").and_then(|gib| gib.parse().ok()),
    })
}

pub(super) fn parameters(body: &[u8], name: &str) -> Result<Page, String> {
    let document = Document::parse(parsed(body)?).map_err(|error| unreadable(&error))?;
    let result = result(&document, "DescribeDBParameters")?;
    let is_it = |parameter: &Node<'_, '_>| text(*parameter, "ParameterName").as_deref() == Some(name);
    let found = children(result, "Parameters", "Parameter").find(is_it);
    Ok(Page { found: found.map(|one| text(one, "ParameterValue")), marker: text(result, "Marker") })
}

/// The code and the message of an error.
pub(super) fn error(body: &[u8]) -> Option<(String, String)> {
    let document = Document::parse(std::str::from_utf8(body).ok()?).ok()?;
    let error = child(document.root_element(), "Error")?;
    Some((text(error, "Code")?, text(error, "Message").unwrap_or_default()))
}
