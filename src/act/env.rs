//! Other environment variables of a container. Only what stands in the pod template in clear, and looks like no secret: values are journaled.

use jiff::Timestamp;

use super::capacity;
use super::fields::read;
use super::setting::{Setting, held_back, may_not_last, placed, plain, rolls_out, says};
use super::{PlanError, Right, Wish, right, unread};
use crate::clients::kubernetes::{Kubernetes, Object};
use crate::clients::rds::Rds;
use crate::incident::plan::{Plan, SetField, Target};
use crate::runbook::secrecy::{holds_secret, is_secret};
use crate::runbook::{Action, Field, Variable, Variables};

/// The rights that it needs.
pub(super) const RIGHTS: &[Right] = &[
    right("apps", "deployments", "get"),
    right("apps", "deployments", "patch"),
    right("apps", "statefulsets", "get"),
    right("apps", "statefulsets", "patch"),
    right("apps", "daemonsets", "get"),
    right("apps", "daemonsets", "patch"),
];

pub(super) async fn plan(
    kubernetes: &Kubernetes,
    rds: Option<&Rds>,
    wish: &Wish<'_>,
    to: &Variables,
    target: &Target,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let none = |why: String| PlanError { why, for_good: true };
    let object = read(kubernetes, target).await.map_err(unread)?;
    let workload = object.workload().map_err(unread)?;
    let container = container(target, to.container.as_deref(), &object).map_err(none)?;
    let (mut fields, mut already) = (Vec::new(), Vec::new());
    for (name, variable) in &to.variables {
        let field = Field::Env { container: container.clone(), name: name.clone() };
        if is_secret(name) {
            return Err(none(format!(
                "{name} may be a secret by its name, and secrets are not changed by runbookd"
            )));
        }
        let before = plain(target, &field, object.at(&field.path()))?;
        let after =
            value(&field, variable, before.as_deref()).map_err(|why| none(format!("{target}: {why}")))?;
        // Neither text is said: it stands in the journal for ever.
        if [before.as_deref(), Some(&after)].into_iter().flatten().any(holds_secret) {
            return Err(none(format!(
                "{name} seems to hold a password, by the form of its text, and secrets are not changed by runbookd"
            )));
        }
        if before.as_deref() == Some(after.as_str()) {
            already.push(format!("{} is {after} already", placed(&field, target)));
        } else {
            fields.push(SetField { field, before, after: Some(after), baseline: None });
        }
    }
    if fields.is_empty() {
        return Err(none(already.join("; ")));
    }
    let mut touches = vec![rolls_out(target, &workload)];
    if object.has_env_from(&container) && fields.iter().any(|set| set.before.is_none()) {
        touches.push(format!(
            "{container} has variables from `envFrom`, which are not read: one of this name there no longer counts"
        ));
    }
    let mut against = held_back(target, &workload);
    if let Some(within) = &to.within {
        match capacity::judge(kubernetes, rds, within, target, &container, &fields).await {
            Ok(fits) => touches.push(fits),
            Err(no) => against = against.or(Some(no)),
        }
    }
    let setting = Setting {
        action: Action::Env,
        target,
        says: says("set", target, &fields),
        touches,
        may_not_last: may_not_last(&object),
        against,
        workload: Some(workload),
        sets: wish.sets(target.clone(), &object, fields),
    };
    setting.into_plan(now).ok_or_else(|| none(format!("nothing of {target} would be changed")))
}

/// The container that is meant; never guessed.
fn container(target: &Target, named: Option<&str>, object: &Object) -> Result<String, String> {
    let all = object.containers();
    match (named, all.as_slice()) {
        (Some(name), _) if all.iter().any(|one| one == name) => Ok(name.to_owned()),
        (Some(name), _) => Err(format!("{target} has no container {name}; it has: {}", all.join(", "))),
        (None, [only]) => Ok(only.clone()),
        (None, _) => {
            Err(format!("{target} has several containers ({}); the runbook must name one", all.join(", ")))
        }
    }
}

/// The new value.
fn value(field: &Field, variable: &Variable, live: Option<&str>) -> Result<String, String> {
    let (add, default, at_most) = match variable {
        Variable::Set(text) => return Ok(text.clone()),
        Variable::Add { add, default, at_most } => (*add, *default, *at_most),
    };
    let has = match live {
        // What it is, is not said: it is not what the author thought.
        Some(text) => text.trim().parse::<u32>().map_err(|_| format!("{field} is no whole number"))?,
        None => default.ok_or_else(|| format!("{field} is not there, and the runbook says no default"))?,
    };
    if has >= at_most {
        return Err(format!("{field} is {has} already, and the runbook allows no more than {at_most}"));
    }
    Ok(has.saturating_add(add).min(at_most).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_grows_up_to_its_most_and_nothing_else_does() {
        let field = Field::Env { container: "c".to_owned(), name: "SIZE".to_owned() };
        let add = |default| Variable::Add { add: 10, default, at_most: 40 };
        assert_eq!(value(&field, &add(None), Some("5")).unwrap(), "15");
        assert_eq!(value(&field, &add(None), Some("35")).unwrap(), "40");
        assert_eq!(value(&field, &add(Some(5)), None).unwrap(), "15");
        let none = |live: Option<&str>| value(&field, &add(None), live).unwrap_err();
        assert_eq!(none(Some("40")), "SIZE of c is 40 already, and the runbook allows no more than 40");
        assert_eq!(none(Some("hunter2")), "SIZE of c is no whole number");
        assert_eq!(none(None), "SIZE of c is not there, and the runbook says no default");
    }
}
