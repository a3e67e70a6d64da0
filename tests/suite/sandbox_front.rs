//! The public host of the sandbox, as a browser meets it: its certificate, its faults, and what it passes on.

use std::net::SocketAddr;
use std::time::Duration;

use runbookd::clients::install_tls;
use runbookd::sandbox::{CertificateFault, CrashCause, CrashFault, HOST, Options, Sandbox, System, Trouble};

async fn get(sandbox: &Sandbox) -> Result<(u16, String), reqwest::Error> {
    install_tls();
    let address: SocketAddr = sandbox.front_address().parse().unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .resolve(HOST, address)
        .tls_certs_only([reqwest::Certificate::from_pem(sandbox.front_ca().as_bytes()).unwrap()])
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let answer = client.get(format!("https://{HOST}:{}/api/health", address.port())).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_host_passes_requests_on_and_says_itself_when_nobody_is_behind_it() {
    let sandbox = Sandbox::start(Options { pace: 20, ..Options::default() }).await.unwrap();
    let (status, body) = get(&sandbox).await.unwrap();
    assert_eq!(status, 200, "{body}");
    assert!(body.contains(r#""service":"frontend""#), "{body}");
    let world = sandbox.world();
    let fault =
        CrashFault { reason: "Error", exit_code: 1, lasts: Duration::ZERO, cause: CrashCause::EveryPod };
    world.crash("frontend", &fault);
    assert!(
        world
            .until(Duration::from_secs(90), |world| world.pods("frontend").iter().all(|pod| !pod.ready))
            .await
    );
    let (status, body) = get(&sandbox).await.unwrap();
    assert_eq!(status, 503);
    assert!(body.contains("503 Service Temporarily Unavailable"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_refuses_a_certificate_with_a_fault_and_takes_the_next_good_one() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let world = sandbox.world();
    let hour = Duration::from_hours(1);
    for (fault, is_taken) in [
        (Some(CertificateFault::Expired { ago: hour }), false),
        (Some(CertificateFault::OtherName), false),
        (Some(CertificateFault::Expiring { left: hour }), true),
        (None, true),
    ] {
        assert!(world.present_certificate(fault));
        assert_eq!(get(&sandbox).await.is_ok(), is_taken, "{fault:?}");
    }
    world.disturb_next(System::Front, Trouble::Down, 1);
    assert!(get(&sandbox).await.unwrap_err().is_connect(), "closed before hands were shaken");
    assert!(get(&sandbox).await.is_ok());
}
