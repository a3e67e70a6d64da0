//! Runbooks read from their text, and that the shipped one is what it says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::load::{load, read_one, read_text};
use super::*;

fn vars() -> BTreeMap<String, String> {
    [("namespace", "samosachaat-prod"), ("oncall_channel", "#oncall"), ("unused", "x")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

#[test]
fn the_shipped_runbooks_load_and_their_kept_source_reads_the_same() {
    // What `rules/verify.yaml` asks.
    let addresses = [
        "frontend_address",
        "auth_address",
        "chat_api_address",
        "inference_address",
        "public_address",
        "public_host",
    ];
    let mut vars = vars();
    vars.extend(addresses.map(|name| (name.to_owned(), "web.shop.svc:80".to_owned())));
    vars.insert("database".to_owned(), "shop-db".to_owned());
    let loaded = load(&[PathBuf::from("rules")], Some(&vars), 2).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let mut all = loaded.runbooks.iter();
    let runbook = all.find(|runbook| runbook.name == "database-pool-exhaustion").unwrap();
    assert_eq!(runbook.mode, Mode::Act);
    assert_eq!(runbook.limits.cooldown, Duration::from_secs(450));
    assert_eq!(runbook.limits.rate, Rate { count: 3, per: Duration::from_secs(1800) });
    assert_eq!(runbook.confirm_within, Duration::from_secs(60));
    assert_eq!(runbook.escalate.slack.as_deref(), Some("#oncall"));
    assert_eq!(runbook.vars.keys().collect::<Vec<_>>(), ["database", "namespace", "oncall_channel"]);

    let again = read_one(&runbook.source).unwrap();
    assert_eq!(format!("{again:?}"), format!("{runbook:?}"));
    assert_eq!(again.hash, runbook.hash);
}

/// The steps of a runbook for the deployment `web`; `time_scale` divides its durations.
fn steps(steps: &str, time_scale: u32) -> Vec<Step> {
    let steps = steps.replace("VERIFY", "verify: {within: 5m, hold: 1m, all: [{rollout: complete}]}");
    let text = format!(
        "apiVersion: runbookd.dev/v1\nkind: Runbook\nname: web\nsummary: Help it.\nalerts: ['alertname=\"Web\"']\n\
         confirm: {{errors: {{loki: '{{app=\"web\"}} |= \"error\"', window: 5m, at_least: 5}}}}\n\
         targets: {{deployment: web}}\nsteps:\n{steps}"
    );
    let runbook = read_text(&text, None, time_scale).unwrap_or_else(|faults| panic!("{faults}"));
    let again = read_one(&runbook.source).unwrap();
    assert_eq!(format!("{again:?}"), format!("{runbook:?}"), "what is kept reads the same");
    runbook.steps
}

/// What the only step does, when that is put back, and what is said of making it last.
fn remedy(lines: &str) -> (Remedy, RestoreWhen, Option<String>) {
    let mut steps = steps(&format!("  - {{remediate: help it, VERIFY, {lines}}}\n"), 1);
    match (steps.pop().unwrap().kind, steps.is_empty()) {
        (StepKind::Remediate { remedy, restore, make_it_last, .. }, true) => (remedy, restore, make_it_last),
        other => panic!("{other:?}"),
    }
}

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

#[test]
fn a_plain_action_is_never_put_back() {
    for action in Action::OF_RUNBOOKS.into_iter().filter(|action| !action.sets_fields()) {
        if action.acts_on().contains(&Kind::Deployment) && action != Action::Http && !action.is_elsewhere() {
            let read = remedy(&format!("{}: {{}}", action.as_str()));
            assert_eq!(read, (Remedy::Plain(action), RestoreWhen::Never, None));
        }
    }
}

#[test]
fn a_call_is_read_with_its_variables_filled_in_and_is_never_put_back() {
    let text = r#"
apiVersion: runbookd.dev/v1
kind: Runbook
name: web
summary: Help it.
alerts: ['alertname="Web"']
confirm: {errors: {loki: '{app="web"} |= "error"', window: 5m, at_least: 5}}
targets: {deployment: web}
steps:
  - remediate: tell it
    http:
      put: http://${vars.web}/model?of=${vars.team}
      json: {model: "${vars.model}", size: 2, share: 0.5, warm: true, none: null, tags: [a, "1"]}
      headers: {X-Requested-By: runbookd}
      within: 30s
      observe: {http: "http://${vars.web}/stats", pointer: /model, equals: "${vars.model}"}
    verify: {within: 5m, hold: 1m, all: [{rollout: complete}]}
"#;
    let vars: BTreeMap<String, String> =
        [("web", "web.shop.svc:80"), ("team", "a b"), ("model", "small \"one\"")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let runbook = read_text(text, Some(&vars), 10).unwrap_or_else(|faults| panic!("{faults}"));
    let StepKind::Remediate { remedy: Remedy::Http(call), restore, .. } = &runbook.steps[0].kind else {
        panic!("{:?}", runbook.steps)
    };
    let expected = HttpCall {
        method: "PUT".to_owned(),
        to: CallTo::Url("http://web.shop.svc:80/model?of=a%20b".to_owned()),
        headers: vec![("X-Requested-By".to_owned(), "runbookd".to_owned())],
        json: Some(serde_json::json!({"model": "small \"one\"", "size": 2, "share": 0.5, "warm": true,
            "none": null, "tags": ["a", "1"]})),
        within: Duration::from_secs(3),
        may_take: Duration::from_secs(30),
        observe: Some(Observe {
            at: "http://web.shop.svc:80/stats".to_owned(),
            pointer: "/model".to_owned(),
            equals: serde_json::json!("small \"one\""),
        }),
    };
    assert_eq!((&**call, *restore), (&expected, RestoreWhen::Never));
    // Other variables are another version.
    assert_eq!(runbook.vars, vars);
}

#[test]
fn a_runbook_can_ask_for_every_action_but_those_that_come_due() {
    for action in Action::ALL {
        assert_eq!(Action::OF_RUNBOOKS.contains(&action), !action.restores(), "{action:?}");
    }
}

#[test]
fn the_number_of_pods_is_said_in_three_ways() {
    let by = |text: &str| {
        let (remedy, ..) = remedy(&format!("scale: {text}, restore: {{when: recovered}}"));
        let Remedy::Scale(scale) = remedy else { panic!("{remedy:?}") };
        scale
    };
    assert_eq!(by("{to: 5}"), Scale { by: By::To(5), at_most: 5 });
    assert_eq!(by("{add: 2, at_most: 3}"), Scale { by: By::Add(2), at_most: 3 });
    assert_eq!(by("{percent: 101, at_most: 2}"), Scale { by: By::Percent(101), at_most: 2 });
}

#[test]
fn when_it_is_put_back_is_said_in_three_ways_and_a_time_goes_at_the_pace_of_the_runbook() {
    let restore = |text: &str| {
        let (_, restore, make_it_last) =
            remedy(&format!("scale: {{to: 5}}, restore: {text}, make_it_last: replicaCount in values.yaml"));
        assert_eq!(make_it_last.as_deref(), Some("replicaCount in values.yaml"));
        restore
    };
    assert_eq!(restore("never"), RestoreWhen::Never);
    assert_eq!(restore("{after: 1h30m}"), RestoreWhen::After(Duration::from_mins(90)));
    assert_eq!(restore("{when: recovered}"), RestoreWhen::Recovered);
    let text = "  - {remediate: help it, scale: {to: 5}, restore: {after: 2h}, VERIFY}\n";
    let Some(StepKind::Remediate { restore, .. }) = steps(text, 60).pop().map(|step| step.kind) else {
        panic!("it remediates")
    };
    assert_eq!(restore, RestoreWhen::After(Duration::from_mins(2)));
}

#[test]
fn limits_come_before_requests_each_with_its_declared_value() {
    let (remedy, ..) = remedy(
        "container: inference, restore: {when: recovered}, resources: {\
         requests: {memory: 1Gi, cpu: 2}, limits: {memory: {percent: 200, at_most: 8Gi}, ephemeral-storage: 1.5Gi}, \
         baseline: {limits: {memory: 8Gi}}}",
    );
    let part = |limit, resource: &str, to, baseline| ResourcePart {
        limit,
        resource: resource.to_owned(),
        to,
        baseline,
    };
    let exactly = |text| Amount::Exactly(quantity(text));
    let memory = Amount::Percent { percent: 200, at_most: quantity("8Gi") };
    let expected = Resources {
        container: "inference".to_owned(),
        parts: vec![
            part(true, "memory", memory, Some(quantity("8Gi"))),
            part(true, "ephemeral-storage", exactly("1536Mi"), None),
            part(false, "memory", exactly("1Gi"), None),
            part(false, "cpu", exactly("2"), None),
        ],
    };
    assert_eq!(remedy, Remedy::Resources(expected));
}

#[test]
fn a_declared_value_may_be_more_and_less_than_what_is_set_and_a_request_as_much_as_its_limit() {
    for resources in [
        "{limits: {memory: 2Gi}, baseline: {limits: {memory: 8Gi}}}",
        "{limits: {memory: 2Gi}, baseline: {limits: {memory: 1Gi}}}",
        "{limits: {memory: 1Gi}, requests: {memory: 1024Mi}}",
        "{limits: {memory: 1Mi}}",
        "{requests: {cpu: 1m}, limits: {cpu: 1024}}",
    ] {
        remedy(&format!("container: web, resources: {resources}, restore: {{after: 1h}}"));
    }
}

#[test]
fn variables_are_set_or_raised_in_the_order_in_which_they_are_written() {
    let (remedy, restore, _) = remedy(
        "restore: never, make_it_last: in the chart, env: {SIZE: {add: 10, default: 5, at_most: 40}, LEVEL: debug, \
         _MORE: {add: 1, at_most: 1}, TEXT: {set: 'true'}, FIGURE: {set: 0.50}, PLAIN: -1, QUOTED: '007', DOLLAR: $(HOST) and $5}",
    );
    let set = |name: &str, text: &str| (name.to_owned(), Variable::Set(text.to_owned()));
    let add = |name: &str, add, default, at_most| (name.to_owned(), Variable::Add { add, default, at_most });
    let variables = vec![
        add("SIZE", 10, Some(5), 40),
        set("LEVEL", "debug"),
        add("_MORE", 1, None, 1),
        set("TEXT", "true"),
        set("FIGURE", "0.50"),
        set("PLAIN", "-1"),
        set("QUOTED", "007"),
        set("DOLLAR", "$(HOST) and $5"),
    ];
    assert_eq!(remedy, Remedy::Env(Variables { container: None, variables, within: None }));
    assert_eq!(restore, RestoreWhen::Never);
}

#[test]
fn a_container_is_named_where_a_pod_has_several() {
    let (remedy, ..) = remedy("container: web-1, env: {LEVEL: debug}, restore: {when: recovered}");
    let Remedy::Env(variables) = remedy else { panic!("{remedy:?}") };
    assert_eq!(variables.container.as_deref(), Some("web-1"));
}

#[test]
fn what_works_from_a_description_elsewhere_is_asked_about_unless_the_step_says_otherwise() {
    let mode = |text: &str| steps(&format!("  - {{remediate: help it, VERIFY, {text}}}\n"), 1)[0].mode;
    let terraform = "terraform: {directory: eks, allow: [a.b], at_most: 1}";
    for step in [terraform, "workflow: {run: acme/infra/upgrade.yml@main}"] {
        assert_eq!(mode(step), Some(Mode::Ask), "{step}");
        assert_eq!(mode(&format!("{step}, mode: act")), Some(Mode::Act), "{step}");
        assert_eq!(mode(&format!("{step}, mode: shadow")), Some(Mode::Shadow), "{step}");
    }
    assert_eq!(mode("restart: {}"), None);
}
