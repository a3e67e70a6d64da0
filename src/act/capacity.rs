//! Whether a larger pool fits into its database: what all services of it could ask for together, held against what RDS says it takes. Reads only.
//!
//! Counted is the most: (pool size + overflow) x processes x pods, of as many pods as an autoscaler may make or are wanted, whichever is more, with those that a rollout
//! makes on top. Whatever can not be told stands against the change. It needs the right to list `horizontalpodautoscalers` besides those of `env`.

use super::fields::read;
use super::proper;
use crate::clients::Reason;
use crate::clients::kubernetes::{At, Kubernetes, Object};
use crate::clients::rds::{Rds, Unknown};
use crate::incident::plan::{Against, SetField, Target};
use crate::runbook::within::{Count, Within};
use crate::runbook::{Field, Kind};
use crate::text::count;

/// What stands there, as the API server fills it in where a Deployment says nothing.
const DEFAULT_SURGE: &str = "25%";
const NOTHING_ON_A_GUESS: &str =
    "a pool larger than its database turns the pool's error into everybody's, so nothing is done on a guess";

/// What a service could ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Demand {
    deployment: String,
    pool_size: u64,
    max_overflow: u64,
    processes: u64,
    pods: u64,
}

impl Demand {
    fn sum(&self) -> Option<u64> {
        self.pool_size.checked_add(self.max_overflow)?.checked_mul(self.processes)?.checked_mul(self.pods)
    }
}

/// Whether the change fits: the sum in words, or what stands against it.
pub(super) async fn judge(
    kubernetes: &Kubernetes,
    rds: Option<&Rds>,
    within: &Within,
    target: &Target,
    container: &str,
    changes: &[SetField],
) -> Result<String, Against> {
    let Within { database, .. } = within;
    let unknown = |why: String, passes: bool| Against {
        saw: format!("whether {database} takes what a larger pool asks for can not be told: {why}"),
        why: NOTHING_ON_A_GUESS.to_owned(),
        passes,
    };
    let demands = demands(kubernetes, within, target, container, changes)
        .await
        .map_err(|Untold { why, passes }| unknown(why, passes))?;
    let Some(rds) = rds else {
        return Err(unknown("the configuration names no RDS (`aws`)".to_owned(), false));
    };
    let limit = match rds.max_connections(database).await {
        Ok(Ok(limit)) => limit,
        Ok(Err(Unknown(why))) => return Err(unknown(why, false)),
        Err(error) => return Err(unknown(error.to_string(), error.reason.worth_retrying())),
    };
    let too_large = || unknown("the sum is too large to be one".to_owned(), false);
    let each: Option<Vec<(u64, String)>> = demands.iter().map(|one| Some((one.sum()?, said(one)?))).collect();
    let each = each.ok_or_else(too_large)?;
    let sum = each.iter().try_fold(u64::from(within.reserved), |sum, (one, _)| sum.checked_add(*one));
    let sum = sum.ok_or_else(too_large)?;
    let parts: Vec<String> = each.into_iter().map(|(_, words)| words).collect();
    let saw = format!(
        "{database} could be asked for {} at once: {}, {} for others",
        count(sum, "connection", "connections"),
        parts.join(", "),
        within.reserved
    );
    if sum > limit.connections {
        let why = format!(
            "it takes {}; (pool size + overflow) x processes x pods at the most has to stay below that, or the pool's error becomes the database's",
            limit.says
        );
        return Err(Against { saw, why, passes: false });
    }
    Ok(format!("{saw}; it takes {}", limit.says))
}

/// `auth (5 + 10) x 1 x 3 = 45`.
fn said(demand: &Demand) -> Option<String> {
    let Demand { deployment, pool_size, max_overflow, processes, pods } = demand;
    Some(format!("{deployment} ({pool_size} + {max_overflow}) x {processes} x {pods} = {}", demand.sum()?))
}

/// What can not be told, and whether asking again may help.
struct Untold {
    why: String,
    passes: bool,
}

impl Untold {
    fn for_good(why: String) -> Self {
        Self { why, passes: false }
    }
}

async fn demands(
    kubernetes: &Kubernetes,
    within: &Within,
    target: &Target,
    container: &str,
    changes: &[SetField],
) -> Result<Vec<Demand>, Untold> {
    if target.kind != Kind::Deployment || !within.deployments.contains(&target.name) {
        return Err(Untold::for_good(format!(
            "{} is not among its services ({})",
            target.short(),
            within.deployments.join(", ")
        )));
    }
    if let Some(namespace) = within.namespace.as_ref().filter(|namespace| **namespace != target.namespace) {
        return Err(Untold::for_good(format!(
            "its services are in {namespace}, and {} is in {}",
            target.short(),
            target.namespace
        )));
    }
    let mut demands = Vec::new();
    for name in &within.deployments {
        let service =
            Target { kind: Kind::Deployment, namespace: target.namespace.clone(), name: name.clone() };
        let unread = |error: crate::clients::CallError| Untold {
            passes: error.reason.worth_retrying() && error.reason != Reason::NotFound,
            why: error.to_string(),
        };
        let object = read(kubernetes, &service).await.map_err(unread)?;
        let autoscalers = kubernetes
            .autoscalers_of(proper(Kind::Deployment), &service.namespace, name)
            .await
            .map_err(unread)?;
        let own = (service == *target).then_some((container, changes));
        demands.push(demand(within, &service, &object, &autoscalers, own).map_err(Untold::for_good)?);
    }
    Ok(demands)
}

/// What one service could ask for; `own`: the container and the fields that are about to be changed.
fn demand(
    within: &Within,
    service: &Target,
    object: &Object,
    autoscalers: &[Object],
    own: Option<(&str, &[SetField])>,
) -> Result<Demand, String> {
    let containers = object.containers();
    let container = match (own, containers.as_slice()) {
        (Some((container, _)), _) => container.to_owned(),
        (None, [only]) => only.clone(),
        (None, several) => several.iter().find(|one| **one == service.name).cloned().ok_or_else(|| {
            format!(
                "{service} has several containers ({}), and none of them has its name",
                several.join(", ")
            )
        })?,
    };
    let changes = own.map_or(&[][..], |(_, changes)| changes);
    let number = |count: &Count| of(count, service, object, &container, changes);
    let (pool_size, max_overflow) = (number(&within.pool_size)?, number(&within.max_overflow)?);
    if pool_size == 0 {
        return Err(format!("the pool of {service} has the size 0, which means no limit"));
    }
    let processes = number(&within.processes)?;
    let is_guess = matches!(&within.processes, Count::Env { name, .. }
        if object.at(&Field::Env { container: container.clone(), name: name.clone() }.path()) == At::Absent);
    if is_guess && object.command_of(&container).iter().any(|word| says_workers(word)) {
        return Err(format!(
            "the command of {service} says its own number of processes, which is not read; `processes` must say it"
        ));
    }
    if processes == 0 {
        return Err(format!("{service} would have no processes"));
    }
    Ok(Demand {
        deployment: service.name.clone(),
        pool_size,
        max_overflow,
        processes,
        pods: pods(service, object, autoscalers)?,
    })
}

/// `--workers 4`, `--workers=4`, `-w 4`, `-w4`, also in one line for a shell: gunicorn, uvicorn, hypercorn.
fn says_workers(word: &str) -> bool {
    word.split_ascii_whitespace().any(|word| {
        let short =
            word.strip_prefix("-w").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        short || word == "--workers" || word.starts_with("--workers=") || word == "--processes"
    })
}

fn of(
    count: &Count,
    service: &Target,
    object: &Object,
    container: &str,
    changes: &[SetField],
) -> Result<u64, String> {
    let (name, default) = match count {
        Count::Is(number) => return Ok(u64::from(*number)),
        Count::Env { name, default } => (name, *default),
    };
    let field = Field::Env { container: container.to_owned(), name: name.clone() };
    let read = |text: &str| {
        // What it is, is not said: it is not what the author thought.
        text.trim()
            .parse::<u32>()
            .map(u64::from)
            .map_err(|_| format!("{field} in {service} is no whole number"))
    };
    if let Some(set) = changes.iter().find(|set| set.field == field) {
        return read(set.after.as_deref().unwrap_or_default());
    }
    match object.at(&field.path()) {
        At::Text(text) => read(&text),
        At::From(source) => Err(format!("{field} in {service} comes from {source}, which is not read")),
        At::NoItem(name) => Err(format!("{service} has no container {name}")),
        At::Absent if object.has_env_from(container) => {
            Err(format!("{field} in {service} may come from its `envFrom`, which is not read"))
        }
        At::Absent => default
            .map(u64::from)
            .ok_or_else(|| format!("{field} in {service} is not there, and the runbook says no default")),
    }
}

/// The most pods that there are at once, but for those that are ending: what they still hold is a part of `reserved`.
fn pods(service: &Target, object: &Object, autoscalers: &[Object]) -> Result<u64, String> {
    let at = |object: &Object, path: &[&str]| {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        match object.at(&path) {
            At::Text(text) => Some(text),
            At::Absent | At::From(_) | At::NoItem(_) => None,
        }
    };
    let unreadable = |what: &str| format!("{what} of {service} can not be read");
    // The API server fills in 1.
    let mut pods: u64 = match at(object, &["spec", "replicas"]) {
        Some(text) => text.parse().map_err(|_| unreadable("the number of pods"))?,
        None => 1,
    };
    for autoscaler in autoscalers {
        let most: Option<u64> = at(autoscaler, &["spec", "maxReplicas"]).and_then(|text| text.parse().ok());
        pods = pods.max(most.ok_or_else(|| unreadable("the autoscaler's maximum"))?);
    }
    if at(object, &["spec", "strategy", "type"]).as_deref() == Some("Recreate") {
        return Ok(pods);
    }
    let surge = at(object, &["spec", "strategy", "rollingUpdate", "maxSurge"]);
    let surge = surge.as_deref().unwrap_or(DEFAULT_SURGE);
    // Rounded up, as the Deployment controller does.
    let more = match surge.strip_suffix('%') {
        Some(percent) => {
            percent.parse().ok().and_then(|percent| pods.checked_mul(percent)).map(|all| all.div_ceil(100))
        }
        None => surge.parse().ok(),
    };
    let more: u64 = more.ok_or_else(|| unreadable("the maxSurge"))?;
    pods.checked_add(more).ok_or_else(|| unreadable("the number of pods"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn target() -> Target {
        Target { kind: Kind::Deployment, namespace: "shop".to_owned(), name: "web".to_owned() }
    }

    fn within() -> Within {
        let env = |name: &str, default| Count::Env { name: name.to_owned(), default };
        Within {
            database: "db".to_owned(),
            namespace: None,
            deployments: vec!["web".to_owned()],
            pool_size: env("POOL", Some(5)),
            max_overflow: env("OVERFLOW", Some(10)),
            processes: env("PROCESSES", None),
            reserved: 10,
        }
    }

    fn deployment(replicas: u32, env: &Value, rest: &Value) -> Object {
        let mut spec = json!({"replicas": replicas, "template": {"spec": {"containers": [{"name": "web", "env": env}]}}});
        for (key, value) in rest.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        Object::of("deployment", json!({"metadata": {"name": "web"}, "spec": spec}))
    }

    fn asked(object: &Object, autoscalers: &[Object], changes: &[SetField]) -> Result<u64, String> {
        demand(&within(), &target(), object, autoscalers, Some(("web", changes)))
            .map(|demand| demand.sum().unwrap())
    }

    const TWO: &str = "PROCESSES";

    #[test]
    fn the_most_is_counted() {
        let env = json!([{"name": TWO, "value": "2"}]);
        let plain = deployment(3, &env, &json!({}));
        // (5 + 10) x 2 x (3 + 1): a quarter of three is one.
        assert_eq!(asked(&plain, &[], &[]), Ok(120));
        let change = SetField {
            field: Field::Env { container: "web".to_owned(), name: "POOL".to_owned() },
            before: None,
            after: Some("15".to_owned()),
            baseline: None,
        };
        assert_eq!(asked(&plain, &[], &[change]), Ok(200));
        let recreate = deployment(3, &env, &json!({"strategy": {"type": "Recreate"}}));
        assert_eq!(asked(&recreate, &[], &[]), Ok(90));
        for (surge, expected) in [(json!("50%"), 150), (json!(3), 180), (json!(0), 90), (json!("0%"), 90)] {
            let rolling =
                json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge}}});
            assert_eq!(asked(&deployment(3, &env, &rolling), &[], &[]), Ok(expected), "{surge}");
        }
        let autoscaler =
            |most: u32| Object::of("horizontalpodautoscaler", json!({"spec": {"maxReplicas": most}}));
        // As many as it may make, and a quarter of those: (5 + 10) x 2 x (10 + 3).
        assert_eq!(asked(&plain, &[autoscaler(10)], &[]), Ok(390));
        assert_eq!(asked(&plain, &[autoscaler(2)], &[]), Ok(120), "there are more already");
    }

    #[test]
    fn a_command_that_says_its_own_number_of_processes_is_not_guessed_around() {
        let mut within = within();
        within.processes = Count::Env { name: TWO.to_owned(), default: Some(1) };
        let asked = |command: Value, env: Value| {
            let containers = json!([{"name": "web", "env": env, "command": command}]);
            let spec = json!({"replicas": 1, "template": {"spec": {"containers": containers}}});
            let object = Object::of("deployment", json!({"metadata": {"name": "web"}, "spec": spec}));
            demand(&within, &target(), &object, &[], Some(("web", &[]))).map(|demand| demand.processes)
        };
        for command in [
            json!(["gunicorn", "-w", "4"]),
            json!(["gunicorn", "-w4"]),
            json!(["uvicorn", "--workers=4"]),
            json!(["sh", "-c", "exec uvicorn app:app --workers 4"]),
        ] {
            let error = asked(command.clone(), json!([])).unwrap_err();
            assert!(error.contains("`processes` must say it"), "{command}: {error}");
        }
        assert_eq!(asked(json!(["uvicorn", "app:app"]), json!([])), Ok(1));
        assert_eq!(asked(json!(["gunicorn", "-w", "4"]), json!([{"name": TWO, "value": "3"}])), Ok(3));
    }

    #[test]
    fn what_can_not_be_told_is_never_a_number() {
        let error = |env: &Value, rest: &Value| asked(&deployment(1, env, rest), &[], &[]).unwrap_err();
        let with = |name: &str, value: &Value| {
            let mut entry = json!({"name": name});
            for (key, value) in value.as_object().unwrap() {
                entry[key] = value.clone();
            }
            json!([{"name": TWO, "value": "1"}, entry])
        };
        let none = json!({});
        assert_eq!(
            error(&json!([]), &none),
            "PROCESSES of web in deployment/web in shop is not there, and the runbook says no default"
        );
        let from = json!({"valueFrom": {"configMapKeyRef": {"name": "pools", "key": "size"}}});
        assert_eq!(
            error(&with("POOL", &from), &none),
            "POOL of web in deployment/web in shop comes from the key size of the ConfigMap pools, which is not read"
        );
        for value in ["-1", "x", "", "1.5"] {
            assert_eq!(
                error(&with("OVERFLOW", &json!({"value": value})), &none),
                "OVERFLOW of web in deployment/web in shop is no whole number"
            );
        }
        assert_eq!(
            error(&with("POOL", &json!({"value": "0"})), &none),
            "the pool of deployment/web in shop has the size 0, which means no limit"
        );
        let odd = json!({"strategy": {"rollingUpdate": {"maxSurge": "many"}}});
        assert_eq!(
            error(&with("A", &json!({"value": "b"})), &odd),
            "the maxSurge of deployment/web in shop can not be read"
        );
        let broken = Object::of("horizontalpodautoscaler", json!({"spec": {}}));
        let plain = deployment(1, &json!([{"name": TWO, "value": "1"}]), &none);
        assert_eq!(
            asked(&plain, &[broken], &[]).unwrap_err(),
            "the autoscaler's maximum of deployment/web in shop can not be read"
        );
        let hidden = Object::of(
            "deployment",
            json!({"spec": {"template": {"spec": {"containers": [
                {"name": "web", "env": [{"name": TWO, "value": "1"}], "envFrom": [{"configMapRef": {"name": "c"}}]}]}}}}),
        );
        assert_eq!(
            asked(&hidden, &[], &[]).unwrap_err(),
            "POOL of web in deployment/web in shop may come from its `envFrom`, which is not read"
        );
        let two = Object::of(
            "deployment",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}}}),
        );
        assert_eq!(
            demand(&within(), &target(), &two, &[], None).unwrap_err(),
            "deployment/web in shop has several containers (a, b), and none of them has its name"
        );
    }
}
