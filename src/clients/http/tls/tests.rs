//! Certificates that are good, and everything that can be wrong with one, in front of real sockets. They are made here, and judged at a moment
//! that is always the same.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::{Allowed, Policy};
use super::*;

const NAME: &str = "shop.example";

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// So many days from the moment of these tests.
fn day(days: i64) -> i64 {
    now().as_second() + days * 86_400
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str, is_ca: bool, (from, to): (i64, i64)) -> CertificateParams {
    let mut params = CertificateParams::new(if is_ca { vec![] } else { vec![name.to_owned()] }).unwrap();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    let at = |days: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(day(days)).unwrap());
    (params.not_before, params.not_after) = (at(from), at(to));
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    }
    params
}

fn authority(name: &str) -> Authority {
    CertifiedIssuer::self_signed(params(name, true, (-10_000, 10_000)), KeyPair::generate().unwrap()).unwrap()
}

fn intermediate(name: &str, days: (i64, i64), root: &Authority) -> Authority {
    CertifiedIssuer::signed_by(params(name, true, days), KeyPair::generate().unwrap(), root).unwrap()
}

/// What a server needs to present.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

fn identity(name: &str, days: (i64, i64), issuer: &Authority, others: &[&Authority]) -> Identity {
    let key = KeyPair::generate().unwrap();
    let own = params(name, false, days).signed_by(&key, issuer).unwrap();
    let chain =
        std::iter::once(own.der().clone()).chain(others.iter().map(|one| one.der().clone())).collect();
    Identity { chain, key }
}

fn trust(root: &Authority) -> Trust {
    Trust::from_pem(root.pem().as_bytes()).unwrap()
}

/// Presents whatever it is given, whether or not the key belongs to it.
#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl ResolvesServerCert for Presents {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn presents(identity: &Identity) -> Arc<Presents> {
    let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    Arc::new(Presents(Arc::new(CertifiedKey::new(identity.chain.clone(), key))))
}

fn builder(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
}

/// A server that shakes hands like this; its port.
async fn server(config: ServerConfig) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await
                && stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0)
            {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        }
    });
    port
}

async fn asked(port: u16, trust: Trust) -> Result<Certificate, CallError> {
    asked_at(port, trust, now()).await
}

async fn asked_at(port: u16, trust: Trust, at: Timestamp) -> Result<Certificate, CallError> {
    let host = format!("127.0.0.1:{port}");
    let policy = Policy::new(vec![Allowed::parse(&host).unwrap()]);
    Http::trusting(policy, trust).certificate(&format!("https://{host}"), Some(NAME), at).await
}

async fn shown(identity: &Identity, trust: Trust) -> Certificate {
    let config = builder(rustls::ALL_VERSIONS).with_no_client_auth().with_cert_resolver(presents(identity));
    asked(server(config).await, trust).await.unwrap()
}

#[tokio::test]
async fn a_good_certificate_is_read_whole() {
    let root = authority("Root");
    let found = shown(&identity(NAME, (-10, 30), &root, &[]), trust(&root)).await;
    assert_eq!((found.subject.as_str(), found.issuer.as_str()), ("CN=shop.example", "CN=Root"));
    assert_eq!(found.names, [NAME]);
    assert_eq!((found.not_before.as_second(), found.not_after.as_second()), (day(-10), day(30)));
    assert_eq!((found.version, found.good_until), (Some("TLS 1.3"), Some(found.not_after)));
    assert!(found.faults.is_empty() && found.ended.is_none(), "{found:#?}");
}

#[tokio::test]
async fn every_reason_not_to_accept_a_certificate_is_named() {
    let (root, other) = (authority("Root"), authority("Other"));
    let middle = intermediate("Middle", (-100, 100), &root);
    let good = (-10, 30);
    let self_signed = |is_ca| {
        let key = KeyPair::generate().unwrap();
        let mut params = params(NAME, false, good);
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        Identity { chain: vec![params.self_signed(&key).unwrap().der().clone()], key }
    };
    for (presented, faults) in [
        (identity(NAME, (-30, -1), &root, &[]), &["it expired 1d ago, on 2026-11-22 12:00 UTC"][..]),
        (identity(NAME, (2, 30), &root, &[]), &["it is valid only in 2d, from 2026-11-25 12:00 UTC on"]),
        (identity("web.example", good, &root, &[]), &["it is not for shop.example, but for web.example"]),
        (self_signed(false), &["it is self-signed, and nobody who is trusted vouches for it"]),
        (self_signed(true), &["it is self-signed, and nobody who is trusted vouches for it"]),
        (
            identity(NAME, good, &other, &[]),
            &["its issuer is not trusted, and no intermediate certificate was sent: CN=Other"],
        ),
        (
            identity(NAME, good, &other, &[&other]),
            &["its chain ends in a self-signed certificate that is not trusted: CN=Other"],
        ),
        (
            identity(NAME, good, &middle, &[]),
            &["its issuer is not trusted, and no intermediate certificate was sent: CN=Middle"],
        ),
        (
            identity(NAME, good, &intermediate("Past", (-100, -1), &root), &[]),
            &["its issuer is not trusted, and no intermediate certificate was sent: CN=Past"],
        ),
        (
            identity("web.example", (-30, -1), &other, &[]),
            &[
                "it expired 1d ago, on 2026-11-22 12:00 UTC",
                "it is not for shop.example, but for web.example",
                "its issuer is not trusted, and no intermediate certificate was sent: CN=Other",
            ],
        ),
    ] {
        let found = shown(&presented, trust(&root)).await;
        assert_eq!(found.faults, faults, "{found:#?}");
        assert_eq!(found.good_until, None);
    }
    let past = intermediate("Past", (-100, -1), &root);
    let found = shown(&identity(NAME, good, &past, &[&past]), trust(&root)).await;
    assert_eq!(found.faults, ["a certificate of its chain has expired"]);
    let fits = shown(&identity(NAME, good, &middle, &[&middle]), trust(&root)).await;
    assert_eq!(fits.good_until, Some(fits.not_after), "{fits:#?}");
}

#[tokio::test]
async fn a_chain_ends_with_the_first_certificate_that_it_needs() {
    let root = authority("Root");
    let short = intermediate("Short", (-100, 20), &root);
    // Sent as well, as old ones are, and needed by nobody.
    let (unneeded, expired) =
        (intermediate("Unneeded", (-100, 5), &root), intermediate("Expired", (-100, -5), &root));
    let found = shown(&identity(NAME, (-10, 30), &short, &[&short, &unneeded, &expired]), trust(&root)).await;
    assert_eq!(found.good_until.map(Timestamp::as_second), Some(day(20)), "{found:#?}");
    let direct = shown(&identity(NAME, (-10, 30), &root, &[&unneeded, &expired]), trust(&root)).await;
    assert_eq!(direct.good_until.map(Timestamp::as_second), Some(day(30)), "{direct:#?}");
}

#[tokio::test]
async fn the_moment_decides_and_is_the_askers() {
    let root = authority("Root");
    let identity = identity(NAME, (-10, 30), &root, &[]);
    let config = builder(rustls::ALL_VERSIONS).with_no_client_auth().with_cert_resolver(presents(&identity));
    let port = server(config).await;
    let at = |days: i64| Timestamp::from_second(day(days)).unwrap();
    assert!(asked_at(port, trust(&root), at(-10)).await.unwrap().faults.is_empty());
    assert!(asked_at(port, trust(&root), at(30)).await.unwrap().faults.is_empty());
    let late =
        asked_at(port, trust(&root), crate::clock::after(at(30), Duration::from_secs(1))).await.unwrap();
    assert_eq!(late.faults, ["it expired 1 s ago, on 2026-12-23 12:00 UTC"]);
    assert_eq!(asked_at(port, trust(&root), at(-11)).await.unwrap().faults.len(), 1);
    // Without the authority nobody vouches for it, whatever the day.
    assert_eq!(asked(port, Trust::default()).await.unwrap().faults.len(), 1);
}

#[tokio::test]
async fn a_certificate_that_belongs_to_somebody_else_is_not_accepted() {
    let root = authority("Root");
    let stolen = Identity { key: KeyPair::generate().unwrap(), ..identity(NAME, (-10, 30), &root, &[]) };
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let config = builder(versions).with_no_client_auth().with_cert_resolver(presents(&stolen));
        let found = asked(server(config).await, trust(&root)).await.unwrap();
        assert_eq!(found.faults, ["a signature does not belong to its key"]);
        assert_eq!((found.version, found.good_until), (None, None));
    }
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_of_the_client_has_shown_its_own() {
    let root = authority("Root");
    let identity = identity(NAME, (-10, 30), &root, &[]);
    for (versions, version) in
        [(&[&rustls::version::TLS13][..], "TLS 1.3"), (&[&rustls::version::TLS12], "TLS 1.2")]
    {
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let wants = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let config =
            builder(versions).with_client_cert_verifier(wants).with_cert_resolver(presents(&identity));
        let found = asked(server(config).await, trust(&root)).await.unwrap();
        assert_eq!((found.version, found.good_until), (Some(version), Some(found.not_after)), "{found:#?}");
        // With 1.3 it is refused only after the handshake.
        assert_eq!(found.ended.is_some(), version == "TLS 1.2", "{found:#?}");
    }
}

/// A listener that does this with every connection.
async fn listener<F: Future<Output = ()> + Send>(
    does: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            does(listener.accept().await.unwrap().0).await;
        }
    });
    port
}

#[tokio::test]
async fn a_host_that_shows_no_certificate_is_unknown() {
    let http = listener(async |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 16]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let error = asked(http.await, Trust::default()).await.unwrap_err();
    assert_eq!(error.message, "what came back is no TLS; does the port speak plain HTTP?");
    let gone = listener(async |stream: TcpStream| drop(stream));
    let error = asked(gone.await, Trust::default()).await.unwrap_err();
    assert!(error.message.starts_with("the connection broke off in the TLS handshake"), "{error}");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = asked(free, Trust::default()).await.unwrap_err();
    assert_eq!(error.reason, Reason::Unreachable, "{error}");
    // It shakes hands with nobody who speaks only what we do.
    let root = authority("Root");
    let identity = identity(NAME, (-10, 30), &root, &[]);
    let mut config =
        builder(&[&rustls::version::TLS13]).with_no_client_auth().with_cert_resolver(presents(&identity));
    config.alpn_protocols = vec![b"odd".to_vec()];
    assert!(
        asked(server(config).await, trust(&root)).await.unwrap().faults.is_empty(),
        "no protocol is asked for"
    );
}

#[tokio::test]
async fn a_host_that_hangs_in_the_handshake_is_given_up_in_time() {
    let hangs = listener(|stream: TcpStream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let host = format!("127.0.0.1:{hangs}");
    let policy = Policy::new(vec![Allowed::parse(&host).unwrap()]);
    let resolver: super::super::Resolver = Arc::new(|_, _| Box::pin(async { Ok(Vec::new()) }));
    let http = Http::with(policy, Duration::from_millis(300), resolver, Trust::default());
    let error = http.certificate(&format!("https://{host}"), Some(NAME), now()).await.unwrap_err();
    assert_eq!(
        (error.reason, error.message.as_str()),
        (Reason::Timeout, "no TLS handshake came about in time")
    );
}

#[tokio::test]
async fn whom_the_policy_does_not_let_be_asked_is_not_connected_to() {
    let root = authority("Root");
    let identity = identity(NAME, (-10, 30), &root, &[]);
    let config = builder(rustls::ALL_VERSIONS).with_no_client_auth().with_cert_resolver(presents(&identity));
    let port = server(config).await;
    let looked_up = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&looked_up);
    // A name that leads to this machine, which is not in the list by itself.
    let resolver: super::super::Resolver = Arc::new(move |_, _| {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(async { Ok(vec!["127.0.0.1".parse().unwrap()]) })
    });
    let client = |hosts: &[String]| {
        let allowed = hosts.iter().map(|host| Allowed::parse(host).unwrap()).collect();
        Http::with(Policy::new(allowed), Duration::from_secs(5), Arc::clone(&resolver), trust(&root))
    };
    let ask = async |http: &Http| http.certificate(&format!("https://{NAME}:{port}"), None, now()).await;
    let error = ask(&client(&[])).await.unwrap_err();
    assert!(error.message.contains("so nothing was asked"), "{error}");
    assert_eq!(looked_up.load(std::sync::atomic::Ordering::SeqCst), 0);
    let error = ask(&client(&[format!("{NAME}:{port}")])).await.unwrap_err();
    assert!(error.message.contains("nothing was asked"), "{error}");
    let both = [format!("{NAME}:{port}"), format!("127.0.0.1:{port}")];
    assert!(ask(&client(&both)).await.unwrap().faults.is_empty());
}

#[tokio::test]
async fn a_request_over_tls_believes_the_same_authorities() {
    let root = authority("Root");
    // reqwest looks at it by the real clock.
    let identity = identity(NAME, (-9000, 9000), &root, &[]);
    let config = builder(rustls::ALL_VERSIONS).with_no_client_auth().with_cert_resolver(presents(&identity));
    let port = server(config).await;
    let get = async |trust: Trust| {
        let resolver: super::super::Resolver =
            Arc::new(|_, _| Box::pin(async { Ok(vec!["127.0.0.1".parse().unwrap()]) }));
        let hosts = [format!("{NAME}:{port}"), format!("127.0.0.1:{port}")];
        let policy = Policy::new(hosts.iter().map(|host| Allowed::parse(host).unwrap()).collect());
        let http = Http::with(policy, Duration::from_secs(5), resolver, trust);
        http.get(&format!("https://{NAME}:{port}/")).await
    };
    let reply = get(trust(&root)).await;
    assert!(matches!(reply, Ok(super::super::Reply::Answer { status: 204, .. })), "{reply:?}");
    assert!(get(Trust::default()).await.is_err());
}

#[test]
fn a_file_of_certificates_holds_certificates() {
    let root = authority("Root");
    let two = format!("# ours\n{}{}", root.pem(), authority("Other").pem());
    assert_eq!(Trust::from_pem(two.as_bytes()).unwrap().0.len(), 2);
    let key = KeyPair::generate().unwrap().serialize_pem();
    let broken = root.pem().replace("MII", "AAA");
    for text in ["", "shop.example", key.as_str(), &broken] {
        assert!(Trust::from_pem(text.as_bytes()).is_err(), "{text}");
    }
}

proptest::proptest! {
    /// What a host sends can be anything.
    #[test]
    fn no_bytes_of_a_certificate_make_reading_it_panic(at in 0_usize..400, byte: u8, cut in 0_usize..400) {
        static OWN: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            identity(NAME, (-10, 30), &authority("Root"), &[]).chain[0].to_vec()
        });
        let mut bytes = OWN.clone();
        let place = at % bytes.len();
        bytes[place] = byte;
        let shorter = bytes[..cut % bytes.len()].to_vec();
        let name = ServerName::try_from(NAME).unwrap();
        let roots = judge::Roots::none();
        for bytes in [bytes, shorter] {
            let shown = Shown { chain: vec![CertificateDer::from(bytes)], ..Shown::default() };
            let judged = judge::judge(&shown, &roots, &name, now());
            proptest::prop_assert!(judged.is_err() || !judged.unwrap().faults.is_empty());
        }
    }
}
