//! Reads `within:`, the limit of a database that a larger pool must stay below.

use super::super::load::Wants;
use super::super::names::{Names, Scope, is_container, is_label};
use super::super::within::{Count, Within};
use super::super::{Remedy, Variables};
use super::whole;
use crate::yaml::{Faults, Field, Fields, Value};

/// The defaults of `SQLAlchemy`. Source: <https://docs.sqlalchemy.org/en/20/core/pooling.html#sqlalchemy.pool.QueuePool>.
const POOL_SIZE: u32 = 5;
const MAX_OVERFLOW: u32 = 10;
/// For administrators, migrations, and RDS itself.
const RESERVED: u32 = 10;
const MOST: u32 = 100_000;
const MOST_DEPLOYMENTS: usize = 50;
const EXAMPLE: &str = "within: {database: shop-db, deployments: [auth, chat-api], processes: 1}";

/// Reads the bound, and puts it to the remedy that it bounds. None when either can not be used.
pub(in crate::runbook) fn bounded(
    field: Field<'_>,
    remedy: Remedy,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Remedy> {
    let within = within(field, names, faults)?;
    names.object_to(Wants::Database, field.place(), faults);
    let Remedy::Env(Variables { container, variables, .. }) = remedy else {
        let message = format!(
            "`within` beside `{}`, which grows no pool; expected it beside `env` only",
            remedy.action().as_str()
        );
        faults.add(field.key, message, Some("remove it".to_owned()));
        return None;
    };
    if !variables.iter().any(|(changed, _)| within.variables().any(|name| name == changed)) {
        let counted: Vec<_> = within.variables().collect();
        let hint = format!("it counts {}; name another in `pool_size: {{env: ...}}`", counted.join(", "));
        let message = "`within` counts none of the variables that the step changes; expected one of them";
        faults.add(field.key, message, Some(hint));
        return None;
    }
    Some(Remedy::Env(Variables { container, variables, within: Some(Box::new(within)) }))
}

fn within(field: Field<'_>, names: &mut Names<'_>, faults: &mut Faults) -> Option<Within> {
    let before = faults.count();
    let mut fields = Fields::of(field.node, "`within`", faults)?;
    let database =
        fields.need("database", "database: shop-db").and_then(|field| database(field, names, faults));
    let deployments = fields
        .need("deployments", "deployments: [auth, chat-api]")
        .and_then(|field| deployments(field, faults));
    let namespace = match fields.get("namespace") {
        Some(field) => namespace(field, names, faults).map(Some),
        None => Some(None),
    };
    let of_env = |name: &str, default| Some(Count::Env { name: name.to_owned(), default: Some(default) });
    let pool_size = match fields.get("pool_size") {
        Some(field) => count(field, faults),
        None => of_env("SQLALCHEMY_POOL_SIZE", POOL_SIZE),
    };
    let max_overflow = match fields.get("max_overflow") {
        Some(field) => count(field, faults),
        None => of_env("SQLALCHEMY_MAX_OVERFLOW", MAX_OVERFLOW),
    };
    let processes = fields.need("processes", "processes: 1").and_then(|field| count(field, faults));
    let reserved = match fields.get("reserved") {
        Some(field) => whole(field, 0, MOST, faults),
        None => Some(RESERVED),
    };
    fields.end(faults);
    if faults.count() > before {
        return None;
    }
    Some(Within {
        database: database?,
        namespace: namespace?,
        deployments: deployments?,
        pool_size: pool_size?,
        max_overflow: max_overflow?,
        processes: processes?,
        reserved: reserved?,
    })
}

/// The instance's name: no alert says which database it is.
fn database(field: Field<'_>, names: &mut Names<'_>, faults: &mut Faults) -> Option<String> {
    let fits = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && name.len() <= 63
    };
    let expected = "expected the identifier of an RDS DB instance: letters, digits and hyphens, at most 63";
    of_installation(field, fits, (expected, Some("not its address: `shop-db`")), names, faults)
}

/// A database is one installation's: which namespace its services are in, no alert says.
fn namespace(field: Field<'_>, names: &mut Names<'_>, faults: &mut Faults) -> Option<String> {
    of_installation(field, is_container, ("expected the name of a namespace", None), names, faults)
}

/// A name with the configuration's variables filled in.
fn of_installation(
    field: Field<'_>,
    fits: impl Fn(&str) -> bool,
    (expected, hint): (&str, Option<&str>),
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<String> {
    let template = names.template(field, Scope::Installation, faults)?;
    match template.with(|path| names.used.get(path.strip_prefix("vars.")?).cloned()) {
        Ok(name) if fits(&name) => Some(name),
        Ok(_) => {
            field.wrong(expected, hint.map(str::to_owned), faults);
            None
        }
        // Without a configuration every variable is believed.
        Err(_) => field.string(faults),
    }
}

fn deployments(field: Field<'_>, faults: &mut Faults) -> Option<Vec<String>> {
    let items = field.list("deployments: [auth, chat-api]", faults)?;
    if items.is_empty() || items.len() > MOST_DEPLOYMENTS {
        let expected = format!("expected from 1 to {MOST_DEPLOYMENTS} Deployments, all that connect to it");
        field.wrong(&expected, Some("empty never means all".to_owned()), faults);
        return None;
    }
    let mut deployments: Vec<String> = Vec::new();
    for item in items {
        let name = item.string(faults)?;
        if !is_container(&name) {
            let expected =
                "expected a Deployment's name: small letters, digits and `-` between them, at most 63";
            item.wrong(expected, None, faults);
            return None;
        }
        if deployments.contains(&name) {
            item.wrong("expected each Deployment once", None, faults);
            return None;
        }
        deployments.push(name);
    }
    Some(deployments)
}

/// `2`, or `{env: WEB_CONCURRENCY, default: 1}`.
fn count(field: Field<'_>, faults: &mut Faults) -> Option<Count> {
    if !matches!(field.node.value, Value::Map(_)) {
        return whole(field, 0, MOST, faults).map(Count::Is);
    }
    let mut fields = Fields::of(field.node, "the number", faults)?;
    let name = fields.need("env", "env: SQLALCHEMY_POOL_SIZE").and_then(|field| {
        let name = field.string(faults)?;
        if !is_label(&name) {
            field.wrong("expected the name of a variable", Some(format!("such as `{EXAMPLE}`")), faults);
            return None;
        }
        Some(name)
    });
    let default = match fields.get("default") {
        Some(field) => whole(field, 0, MOST, faults).map(Some),
        None => Some(None),
    };
    fields.end(faults);
    Some(Count::Env { name: name?, default: default? })
}
