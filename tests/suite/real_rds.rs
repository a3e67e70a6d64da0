//! The RDS client against moto, which plays AWS: `pip install 'moto[server,rds]'`. Where it is not installed, the tests say so and end, and `RUNBOOKD_REAL=require` makes
//! that a failure. It checks no signature, and `default.postgres15` does not exist there.

use std::process::Stdio;
use std::time::Duration;

use runbookd::clients::aws::{Aws, Settings};
use runbookd::clients::rds::Rds;
use runbookd::clients::{Reason, Secret, http_client};
use tokio::process::{Child, Command};

use super::daemon::{LIMIT, until};
use super::real_alertmanager::real;

/// moto, and its address. None when it is not installed.
pub(crate) async fn moto() -> Option<(Child, String)> {
    let program = real("moto_server")?;
    let port = runbookd::chaos::stage::free_port().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the real program is started by hand")]
    let child = Command::new(program)
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        // Until a certificate is issued, in seconds.
        .env("MOTO_ACM_VALIDATION_WAIT", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let http = http_client(Duration::from_secs(5)).unwrap();
    let ready = format!("{url}/moto-api/");
    let is_ready = async || http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success());
    assert!(until(LIMIT, is_ready).await, "moto is not ready");
    Some((child, url))
}

/// The account that moto plays.
pub(crate) fn account(url: &str) -> Aws {
    let settings = Settings { endpoint: Some(url.to_owned()), ..Settings::new("eu-central-1") };
    Aws::new(&settings.with_key("AKIDEXAMPLE", Secret::new("secret"), None)).unwrap()
}

/// moto loads a service when it is asked for it first, which takes it seconds where other tests want the cores, too.
pub(crate) const FIRST_ANSWER: Duration = Duration::from_mins(2);

/// What runbookd itself never does. moto finds the service by the scope of the signature, whatever it is.
async fn make(url: &str, form: &str) {
    let scope = "AWS4-HMAC-SHA256 Credential=a/20261122/eu-central-1/rds/aws4_request, SignedHeaders=host, Signature=b";
    let request = http_client(FIRST_ANSWER).unwrap().post(url).header("authorization", scope);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(format!("{form}&Version=2014-10-31")).send().await.unwrap();
    let status = answer.status();
    assert!(status.is_success(), "{form}: {status} {}", answer.text().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_an_instance_is_found_by_its_own_group() {
    let Some((_child, url)) = moto().await else { return };
    let group = "DBParameterGroupName=shop-postgres15";
    make(
        &url,
        &format!("Action=CreateDBParameterGroup&{group}&DBParameterGroupFamily=postgres15&Description=d"),
    )
    .await;
    let set = async |value: &str| {
        let parameter = format!(
            "Parameters.Parameter.1.ParameterName=max_connections&Parameters.Parameter.1.ParameterValue={value}"
        );
        make(&url, &format!("Action=ModifyDBParameterGroup&{group}&{parameter}&Parameters.Parameter.1.ApplyMethod=pending-reboot")).await;
    };
    set("200").await;
    make(
        &url,
        &format!(
            "Action=CreateDBInstance&DBInstanceIdentifier=shop&DBInstanceClass=db.t4g.medium&Engine=postgres&AllocatedStorage=20\
             &MasterUsername=u&MasterUserPassword=ppppppppp&{group}"
        ),
    )
    .await;
    let rds = Rds::new(&account(&url)).unwrap();
    let limit = rds.max_connections("shop").await.unwrap().unwrap();
    assert_eq!(limit.connections, 200, "{}", limit.says);
    // As a default group says it.
    set("LEAST%28%7BDBInstanceClassMemory%2F9531392%7D%2C5000%29").await;
    let limit = rds.max_connections("shop").await.unwrap().unwrap();
    assert_eq!(limit.connections, 372, "{}", limit.says);
    assert_eq!(rds.max_connections("nobody").await.unwrap_err().reason, Reason::NotFound);
    assert_eq!(
        rds.parameter("default.postgres15", "max_connections").await.unwrap_err().reason,
        Reason::NotFound
    );
}
