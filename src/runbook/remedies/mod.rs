//! Reads what a remediation does: its one action with its options, and what stands beside it (`container`, `restore`, `make_it_last`).
//!
//! Everything that can be said without the cluster is said here; whether a number is too small for what runs there is for the plan.

mod env;
mod http;
mod resources;
mod restore;
mod scale;
mod terraform;
mod within;
mod workflow;

use super::load::Wants;
use super::names::{Names, is_container};
use super::{Action, Kind, Remedy, Resources, RestoreWhen, Variables};
use crate::yaml::{Faults, Field, Fields, Value};

pub(super) use within::bounded;

/// Who wants more than a hundred times as much, has mistyped it.
const MOST_PERCENT: u32 = 10_000;
/// What is shown to people as one line.
const LONGEST_NOTE: usize = 200;
const MAKE_IT_LAST: &str = "make_it_last: inference.replicaCount in values-prod.yaml";

/// What a remediation does.
pub(super) struct Done {
    pub(super) remedy: Remedy,
    pub(super) restore: RestoreWhen,
    pub(super) make_it_last: Option<String>,
}

/// What can stand beside an action.
struct Beside<'n> {
    container: Option<Field<'n>>,
    restore: Option<Field<'n>>,
    make_it_last: Option<Field<'n>>,
}

/// Reads the action of a step; none when it can not be read. `kinds` is what it would be done to.
pub(super) fn done(
    fields: &mut Fields<'_>,
    kinds: Option<&'static [Kind]>,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Option<Done> {
    let words = Action::OF_RUNBOOKS.map(Action::as_str);
    let actions: Vec<_> =
        Action::OF_RUNBOOKS.into_iter().filter_map(|one| Some((fields.get(one.as_str())?, one))).collect();
    let beside = Beside {
        container: fields.get("container"),
        restore: fields.get("restore"),
        make_it_last: fields.get("make_it_last"),
    };
    for (field, action) in &actions {
        fits(*field, *action, kinds, faults);
    }
    if actions.is_empty() && !fields.has_almost(&words) {
        let all: Vec<_> = Action::OF_RUNBOOKS.iter().map(|one| format!("`{}`", example(*one))).collect();
        faults.add(
            fields.place,
            format!("the step does nothing; expected one action: {}", all.join(", ")),
            Some(format!("add {}", all.first().map_or("", String::as_str))),
        );
    }
    for (second, _) in actions.iter().skip(1) {
        let hint = "write two steps: the next begins when the one before it did not help";
        faults.add(second.key, "a second action in one step; expected one", Some(hint.to_owned()));
    }
    // With several, nobody can say which of them the rest is about.
    let [(field, action)] = actions.as_slice() else { return None };
    let before = faults.count();
    let done = one((*field, kinds), *action, &beside, fields, (names, scale), faults);
    done.filter(|_| faults.count() == before)
}

/// What an action can look like.
const fn example(action: Action) -> &'static str {
    match action {
        Action::Restart => "restart: {}",
        Action::Rollback => "rollback: {}",
        Action::Evict => "evict: {}",
        Action::DeletePod => "delete_pod: {}",
        Action::Cordon => "cordon: {}",
        Action::Uncordon => "uncordon: {}",
        Action::Scale => "scale: {add: 2, at_most: 6}",
        Action::Resources => "resources: {limits: {memory: 2Gi}}",
        Action::Env => "env: {POOL_SIZE: {add: 10, at_most: 40}}",
        Action::Http => "http: {post: /reload, each: pod, port: 8080}",
        Action::Route53 => "route53: {}",
        Action::Terraform => {
            "terraform: {directory: certificates, allow: [\"aws_route53_record.validation[*]\"], at_most: 2}"
        }
        Action::Workflow => "workflow: {run: acme/infra/upgrade.yml@main}",
        // Not of runbooks.
        Action::PutBack | Action::ChangeAgain => "",
    }
}

/// Whether the action can be done to what the targets are.
fn fits(field: Field<'_>, action: Action, kinds: Option<&'static [Kind]>, faults: &mut Faults) {
    let on = |kind: &&Kind| !action.acts_on().contains(kind);
    if let Some(kind) = kinds.and_then(|kinds| kinds.iter().find(on)) {
        let acts_on: Vec<_> = action.acts_on().iter().map(|kind| kind.as_str()).collect();
        let message = format!(
            "`{}` of a {}; expected a target that is a {}",
            action.as_str(),
            kind.as_str(),
            acts_on.join(" or a ")
        );
        let hint = match (action, kind) {
            (Action::Scale, Kind::DaemonSet) => "a DaemonSet has one pod a node; see `targets`",
            _ => "see `targets`",
        };
        faults.add(field.key, message, Some(hint.to_owned()));
    }
}

/// Reads the only action of a step, with what stands beside it.
fn one(
    (field, kinds): (Field<'_>, Option<&'static [Kind]>),
    action: Action,
    beside: &Beside<'_>,
    fields: &Fields<'_>,
    (names, scale): (&mut Names<'_>, u32),
    faults: &mut Faults,
) -> Option<Done> {
    let stays = beside.restore(action, field, fields, scale, faults);
    let make_it_last = beside.make_it_last(action, faults);
    if let (Some(RestoreWhen::Never), Some(place), None) = (stays, beside.restore, beside.make_it_last)
        && action.sets_fields()
    {
        faults.warn(
            place.place(),
            "what is changed stays until the next deploy undoes it; expected `make_it_last`, which tells people where it belongs",
            Some(format!("such as `{MAKE_IT_LAST}`")),
        );
    }
    let remedy = match action {
        Action::Scale => {
            beside.no_container(action, faults);
            scale::scale(field, faults).map(Remedy::Scale)
        }
        Action::Resources => {
            let container = beside.container(faults);
            if beside.container.is_none() && !fields.has_almost(&["container"]) {
                let hint = "add `container: NAME` beside it: a pod can have several";
                faults.add(
                    field.key,
                    "`resources` without `container`; expected the name of the one that is changed",
                    Some(hint.to_owned()),
                );
            }
            let read = resources::parts(field, stays, faults);
            read.zip(container).map(|(parts, container)| Remedy::Resources(Resources { container, parts }))
        }
        Action::Env => {
            let container = beside.container(faults);
            let variables = env::variables(field, faults);
            variables.map(|variables| Remedy::Env(Variables { container, variables, within: None }))
        }
        Action::Http => {
            beside.no_container(action, faults);
            http::call(field, names, scale, faults).map(|call| Remedy::Http(Box::new(call)))
        }
        Action::Terraform => {
            beside.no_container(action, faults);
            terraform::run(field, kinds, names, scale, faults).map(Remedy::Terraform)
        }
        Action::Workflow => {
            beside.no_container(action, faults);
            workflow::run(field, names, scale, faults).map(Remedy::Workflow)
        }
        Action::Restart
        | Action::Rollback
        | Action::Evict
        | Action::DeletePod
        | Action::Cordon
        | Action::Uncordon
        | Action::Route53
        | Action::PutBack
        | Action::ChangeAgain => {
            beside.no_container(action, faults);
            if action == Action::Route53 {
                names.object_to(Wants::Certificates, field.place(), faults);
            }
            if let Some(options) = Fields::of(field.node, "the action", faults) {
                options.end(faults);
            }
            Some(Remedy::Plain(action))
        }
    };
    Some(Done { remedy: remedy?, restore: stays?, make_it_last })
}

impl Beside<'_> {
    /// When it is put back: it must be said of what can be put back, and of nothing else.
    fn restore(
        &self,
        action: Action,
        field: Field<'_>,
        fields: &Fields<'_>,
        scale: u32,
        faults: &mut Faults,
    ) -> Option<RestoreWhen> {
        match (self.restore, action.sets_fields()) {
            (Some(restore), true) => restore::restore(restore, scale, faults),
            (Some(restore), false) => {
                let message = format!(
                    "`restore` beside `{}`, which leaves nothing to put back; expected it beside `scale`, `resources` or `env` only",
                    action.as_str()
                );
                faults.add(restore.key, message, Some("remove it".to_owned()));
                None
            }
            (None, true) => {
                if !fields.has_almost(&["restore"]) {
                    let message = format!(
                        "`{}` without `restore`; expected {}, as nobody remembers a change that was meant for a while",
                        action.as_str(),
                        restore::FORMS
                    );
                    let hint = "add `restore: {when: recovered}`, or `restore: never` for what is to stay";
                    faults.add(field.key, message, Some(hint.to_owned()));
                }
                None
            }
            (None, false) => Some(RestoreWhen::Never),
        }
    }

    fn make_it_last(&self, action: Action, faults: &mut Faults) -> Option<String> {
        let field = self.make_it_last?;
        if !action.sets_fields() {
            let message = format!(
                "`make_it_last` beside `{}`, which sets nothing; expected it beside `scale`, `resources` or `env` only",
                action.as_str()
            );
            faults.add(field.key, message, Some("remove it".to_owned()));
            return None;
        }
        let text = literal(field, faults)?;
        if text.chars().count() > LONGEST_NOTE || text.chars().any(char::is_control) {
            let expected = format!("expected one line of at most {LONGEST_NOTE} characters");
            field.wrong(&expected, Some(format!("such as `{MAKE_IT_LAST}`")), faults);
            return None;
        }
        Some(text)
    }

    fn container(&self, faults: &mut Faults) -> Option<String> {
        let field = self.container?;
        let name = literal(field, faults)?;
        if !is_container(&name) {
            let expected =
                "expected a container's name: small letters, digits and `-` between them, at most 63";
            field.wrong(expected, None, faults);
            return None;
        }
        Some(name)
    }

    fn no_container(&self, action: Action, faults: &mut Faults) {
        if let Some(field) = self.container {
            let message = format!(
                "`container` beside `{}`, which is about whole pods; expected it beside `resources` or `env` only",
                action.as_str()
            );
            faults.add(field.key, message, Some("remove it".to_owned()));
        }
    }
}

/// Text in which nothing is filled in. Whoever wrote a placeholder did not mean these letters.
fn literal(field: Field<'_>, faults: &mut Faults) -> Option<String> {
    let text = field.string(faults)?;
    is_filled_in(field, &text, faults).then_some(text)
}

fn is_filled_in(field: Field<'_>, text: &str, faults: &mut Faults) -> bool {
    let is_filled_in = !text.contains("${");
    if !is_filled_in {
        let hint = "no placeholder is filled in here: write the value out";
        field.wrong("expected text without `${`", Some(hint.to_owned()), faults);
    }
    is_filled_in
}

/// A whole number between two bounds, both included.
fn whole(field: Field<'_>, least: u32, most: u32, faults: &mut Faults) -> Option<u32> {
    let number = field.whole(u64::from(least), faults)?;
    let number = u32::try_from(number).ok().filter(|number| *number <= most);
    if number.is_none() {
        field.wrong(&format!("expected at most {most}"), None, faults);
    }
    number
}

/// So many hundredths of what is there, which is more than there is.
fn percent(field: Field<'_>, faults: &mut Faults) -> Option<u32> {
    let number = match &field.node.value {
        Value::Scalar(scalar) if scalar.is_number() => scalar.text.parse::<u32>().ok(),
        Value::Scalar(_) | Value::List(_) | Value::Map(_) => None,
    };
    let number = number.filter(|number| (101..=MOST_PERCENT).contains(number));
    if number.is_none() {
        let hint = "150 is half as much again, 200 is twice as much";
        let expected =
            format!("expected a whole number from 101 to {MOST_PERCENT}, as 100 is what there is already");
        field.wrong(&expected, Some(hint.to_owned()), faults);
    }
    number
}
