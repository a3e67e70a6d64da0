//! Whom the client asks, and whom never: the policy over random hosts and addresses, and the client in front of real sockets.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::super::wire::{Reply as Said, Wire};
use super::*;

fn policy(hosts: &[&str]) -> Policy {
    Policy::new(hosts.iter().map(|host| Allowed::parse(host).expect(host)).collect())
}

fn origin(url: &str) -> Option<Origin> {
    Origin::of(&Url::parse(url).ok()?)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// A resolver that gives these addresses in their order, and the last one from then on; and how often it was asked.
fn resolver(answers: &[&[&str]]) -> (Resolver, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let answers: Vec<Vec<IpAddr>> =
        answers.iter().map(|answer| answer.iter().map(|text| ip(text)).collect()).collect();
    let resolver: Resolver = Arc::new(move |_, _| {
        let at = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        let found = answers[at].clone();
        Box::pin(async move { Ok(found) })
    });
    (resolver, asked)
}

fn client(hosts: &[&str], answers: &[&[&str]]) -> (Http, Arc<AtomicUsize>) {
    let (resolver, asked) = resolver(answers);
    (Http::with(policy(hosts), Duration::from_millis(400), resolver, Trust::default()), asked)
}

fn port_of(wire: &Wire) -> &str {
    wire.url.rsplit(':').next().unwrap()
}

#[test]
fn hosts_are_read_and_compared_in_one_form() {
    for (text, shown) in [
        ("web.shop.svc:8080", "web.shop.svc:8080"),
        ("WEB.shop.svc.", "web.shop.svc"),
        ("10.0.0.5:80", "10.0.0.5:80"),
        ("::1", "::1"),
        ("[::1]:80", "[::1]:80"),
        ("::ffff:10.0.0.5", "10.0.0.5"),
        ("0x7f.1", "127.0.0.1"),
    ] {
        assert_eq!(Allowed::parse(text).unwrap().to_string(), shown);
    }
    for text in [
        "",
        "*",
        "*.shop.svc",
        "a/b",
        "http://web",
        "user@web",
        "web:",
        "web:0",
        "web:99999",
        "a b",
        "web:80:80",
    ] {
        assert!(Allowed::parse(text).is_err(), "{text}");
    }
}

#[test]
fn only_what_is_listed_is_allowed_whatever_way_it_is_written() {
    let policy = policy(&["web.shop.svc:8080", "auth.shop.svc", "127.0.0.1:8002", "[fd00::1]:80"]);
    for (url, allowed) in [
        ("http://web.shop.svc:8080/", true),
        ("http://WEB.SHOP.SVC.:8080/x?y", true),
        ("https://web.shop.svc:8080/", true),
        ("http://web.shop.svc/", false),
        ("http://web.shop.svc:8081/", false),
        ("http://evil.web.shop.svc:8080/", false),
        ("http://web.shop.svc.evil:8080/", false),
        ("http://auth.shop.svc:1/", true),
        ("http://127.0.0.1:8002/", true),
        ("http://2130706433:8002/", true),
        ("http://[::ffff:127.0.0.1]:8002/", true),
        ("http://127.0.0.2:8002/", false),
        ("http://localhost:8002/", false),
        ("http://[fd00::1]/", true),
        ("http://[fd00::2]/", false),
    ] {
        assert_eq!(policy.allows(&origin(url).unwrap()), allowed, "{url}");
    }
    for url in [
        "http://user@web.shop.svc:8080/",
        "http://:p@web.shop.svc:8080/",
        "ftp://auth.shop.svc/",
        "file:///etc/passwd",
        "http://auth.shop.svc:0/",
    ] {
        assert!(origin(url).is_none_or(|origin| !policy.allows(&origin)), "{url}");
    }
}

#[test]
fn addresses_that_no_service_has_are_refused_in_every_disguise() {
    for text in [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::169.254.169.254",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::",
    ] {
        assert!(is_special(ip(text)), "{text}");
    }
    for text in [
        "10.0.0.5",
        "192.168.1.1",
        "172.16.0.1",
        "8.8.8.8",
        "100.64.0.1",
        "fd00::1",
        "2001:db8::1",
        "64:ff9b::8.8.8.8",
    ] {
        assert!(!is_special(ip(text)), "{text}");
    }
}

#[test]
fn loopback_and_metadata_are_reached_by_their_own_address_or_as_localhost_only() {
    let connects =
        |hosts: &[&str], url: &str, address: &str| policy(hosts).connects(&origin(url).unwrap(), ip(address));
    assert!(connects(&["web"], "http://web/", "10.0.0.1"));
    assert!(!connects(&["web"], "http://web/", "127.0.0.1"));
    assert!(!connects(&["web"], "http://web/", "::ffff:169.254.169.254"));
    assert!(!connects(&["web"], "http://other/", "10.0.0.1"));
    assert!(connects(&["127.0.0.1:8002"], "http://127.0.0.1:8002/", "127.0.0.1"));
    assert!(!connects(&["127.0.0.1:8002"], "http://127.0.0.1:8003/", "127.0.0.1"));
    // A name beside it may lead there, on that port alone.
    assert!(connects(&["web", "127.0.0.1:8002"], "http://web:8002/", "127.0.0.1"));
    assert!(!connects(&["web", "127.0.0.1:8002"], "http://web:80/", "127.0.0.1"));
    assert!(connects(&["localhost:80"], "http://localhost/", "::1"));
    assert!(!connects(&["localhost:80"], "http://localhost/", "169.254.169.254"));
    assert!(!connects(&["localhost:80"], "http://localhost/", "0.0.0.0"));
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_not_even_looked_up() {
    let wire = Wire::start(vec![Said::json("{}")]).await;
    let (http, asked) = client(&["other:80"], &[&["127.0.0.1"]]);
    for url in
        [wire.url.clone(), format!("http://web.svc:{}/", port_of(&wire)), "http://user@other/".to_owned()]
    {
        let error = http.get(&url).await.unwrap_err();
        assert_eq!(error.reason, Reason::ClientError, "{error}");
    }
    let error = http.get("http://web.svc:81/health?secret=1").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ask web.svc:81: client_error (web.svc:81 is not in `http: {allow: [...]}` of the configuration, so nothing was asked)"
    );
    assert_eq!((asked.load(Ordering::SeqCst), wire.seen().len()), (0, 0), "nothing was called");
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_connected_to() {
    let wire = Wire::start(vec![Said::json("{}")]).await;
    let url = format!("http://web.svc:{}/", port_of(&wire));
    for answer in [&["127.0.0.1"][..], &["::ffff:127.0.0.1"], &["10.255.255.1", "127.0.0.1"]] {
        let (http, _) = client(&["web.svc"], &[answer]);
        let error = http.get(&url).await.unwrap_err();
        assert!(error.message.contains("nothing was asked"), "{error}");
    }
    assert!(wire.seen().is_empty(), "nothing was called");
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_what_was_checked_is_connected_to() {
    let wire = Wire::start(vec![Said::json("{}")]).await;
    let allowed = format!("127.0.0.1:{}", port_of(&wire));
    // The second answer would be another machine; and the system's resolver knows no such name.
    let (http, asked) = client(&["web.invalid", &allowed], &[&["127.0.0.1"], &["169.254.169.254"]]);
    let reply = http.get(&format!("http://web.invalid:{}/health", port_of(&wire))).await.unwrap();
    assert!(matches!(reply, Reply::Answer { status: 200, whole: true, .. }), "{reply:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(wire.seen()[0].headers["host"], format!("web.invalid:{}", port_of(&wire)));
    // Asked again it is checked again, and is then refused.
    let error = http.get(&format!("http://web.invalid:{}/health", port_of(&wire))).await.unwrap_err();
    assert!(error.message.contains("169.254.169.254"), "{error}");
    assert_eq!(wire.seen().len(), 1);
}

#[tokio::test]
async fn a_question_is_a_plain_get_and_no_redirect_is_followed() {
    let other = Wire::start(vec![Said::json("{}")]).await;
    let to = vec![
        ("Location".to_owned(), format!("{}/elsewhere", other.url)),
        ("Set-Cookie".to_owned(), "session=1".to_owned()),
    ];
    let wire = Wire::start(vec![Said::Answer(302, to, String::new()), Said::json("{}")]).await;
    let http = Http::new(policy(&["127.0.0.1"]));
    let url = format!("{}/health?a=b", wire.url);
    let reply = http.get(&url).await.unwrap();
    assert!(matches!(reply, Reply::Answer { status: 302, .. }), "{reply:?}");
    http.get(&url).await.unwrap();
    assert!(other.seen().is_empty(), "nothing was called");
    for seen in wire.seen() {
        assert_eq!((seen.method.as_str(), seen.uri.as_str(), seen.body.as_str()), ("GET", "/health?a=b", ""));
        for header in ["cookie", "authorization", "referer", "proxy-authorization"] {
            assert!(!seen.headers.contains_key(header), "{header}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let wire =
        Wire::start(vec![Said::json(&"x".repeat(MOST_BYTES + 1)), Said::json(&"x".repeat(MOST_BYTES))]).await;
    let http = Http::new(policy(&["127.0.0.1"]));
    for is_whole in [false, true] {
        let Reply::Answer { body, whole, .. } = http.get(&wire.url).await.unwrap() else {
            panic!("an answer")
        };
        assert_eq!((body.len(), whole), (MOST_BYTES, is_whole));
    }
}

#[tokio::test]
async fn what_the_other_side_did_is_an_answer_and_what_the_network_did_not_deliver_is_none() {
    let (http, _) = client(&["127.0.0.1", "gone.invalid"], &[&[]]);
    let refused = http.get(&Wire::nowhere().await).await.unwrap();
    assert_eq!(refused, Reply::None("the connection was refused".to_owned()));
    let broken = http.get(&Wire::breaking().await).await.unwrap();
    assert_eq!(
        broken,
        Reply::None("the connection was broken off, or what came over it was no answer".to_owned())
    );
    let wire = Wire::start(vec![Said::Hang]).await;
    let silent = http.get(&wire.url).await.unwrap();
    assert_eq!(silent, Reply::None("the connection was taken, and no answer came within 400 ms".to_owned()));
    let nameless = http.get("http://gone.invalid/").await.unwrap_err();
    assert_eq!(
        (nameless.reason, nameless.message.as_str()),
        (Reason::Unreachable, "the name has no address")
    );
    let failing: Resolver = Arc::new(|_, _| Box::pin(async { Err(io::Error::other("no such name")) }));
    let http = Http::with(policy(&["web"]), Duration::from_secs(1), failing, Trust::default());
    assert_eq!(http.get("http://web/").await.unwrap_err().reason, Reason::Unreachable);
}

#[tokio::test]
async fn an_address_of_ipv6_is_asked_as_it_is_written() {
    // Not every machine has one.
    let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else { return };
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(async || "here");
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let (http, asked) = client(&["::1"], &[&[]]);
    let reply = http.get(&url).await.unwrap();
    assert!(matches!(reply, Reply::Answer { status: 200, .. }), "{reply:?}");
    let (none, _) = client(&["localhost"], &[&[]]);
    assert_eq!(none.get(&url).await.unwrap_err().reason, Reason::ClientError);
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nothing had to be looked up");
}

#[tokio::test]
async fn a_connection_that_never_comes_about_is_unknown() {
    // A listener whose queue is full: nobody takes the connection, and nobody refuses it.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    for _ in 0..8 {
        let connect = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(100), connect).await {
            Ok(stream) => held.push(stream.unwrap()),
            Err(_) => break,
        }
    }
    let (http, _) = client(&["127.0.0.1"], &[&[]]);
    let error = http.get(&format!("http://{address}/")).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Unreachable | Reason::Timeout), "{error}");
}

#[tokio::test]
async fn the_same_question_at_the_same_time_is_one_request() {
    let wire = Wire::start(vec![Said::json("{}")]).await;
    let http = Http::new(policy(&["127.0.0.1"]));
    let (a, b) = tokio::join!(http.get(&wire.url), http.get(&wire.url));
    assert_eq!(a, b);
    assert_eq!(wire.seen().len(), 1);
}

/// Hosts as runbooks and alerts could have them, and addresses as resolvers could give them.
fn hosts() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "web",
            "localhost",
            "auth.shop.svc",
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "[::1]"
        ])
        .prop_map(str::to_owned),
        any::<u32>().prop_map(|number| number.to_string()),
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
        "[a-z@%.:\\[\\]0-9-]{1,12}",
    ]
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    let special =
        ["127.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1", "fe80::1", "0.0.0.0", "64:ff9b::7f00:1"];
    prop_oneof![
        prop::sample::select(special.map(ip).to_vec()),
        any::<std::net::Ipv4Addr>().prop_map(IpAddr::V4),
        any::<std::net::Ipv6Addr>().prop_map(IpAddr::V6),
        any::<std::net::Ipv4Addr>().prop_map(|address| IpAddr::V6(address.to_ipv6_mapped())),
    ]
}

/// Loopback, link-local and unspecified by their own definition, apart from the code that is tested.
fn must_not_be_reached_by_name(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            a == 127 || a == 0 || (a, b) == (169, 254)
        }
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(inner) => must_not_be_reached_by_name(IpAddr::V4(inner)),
            None => {
                let bits = u128::from(address);
                bits <= 1 || bits >> 118 == 0xfe80 >> 6
            }
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_connected_to_that_is_not_allowed(
        list in prop::collection::vec((hosts(), prop::option::of(1_u16..4)), 0..4),
        host in hosts(),
        port in 1_u16..4,
        address in addresses(),
    ) {
        let entry = |(host, port): &(String, Option<u16>)| match port {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let texts: Vec<String> = list.iter().map(entry).collect();
        let allowed: Vec<Allowed> = texts.iter().filter_map(|text| Allowed::parse(text).ok()).collect();
        let policy = Policy::new(allowed.clone());
        let Some(origin) = origin(&format!("http://{host}:{port}/")) else { return Ok(()) };
        let shown = origin.to_string();
        let (shown_host, shown_port) = shown.rsplit_once(':').unwrap();
        let listed = |host: &str, port: &str| {
            let host = host.trim_matches(['[', ']']);
            allowed.iter().any(|entry| {
                let entry = entry.to_string();
                entry == host || entry == format!("{host}:{port}") || entry == format!("[{host}]:{port}")
            })
        };
        if policy.connects(&origin, address) {
            prop_assert!(listed(shown_host, shown_port), "{shown} is not in {texts:?}");
            if must_not_be_reached_by_name(address) {
                let by_itself = listed(&address.to_canonical().to_string(), shown_port);
                prop_assert!(by_itself || shown_host == "localhost", "{shown} at {address} with {texts:?}");
            }
        }
    }

    #[test]
    fn no_value_of_an_alert_changes_whom_a_request_is_for(value in "(?s).{1,20}", in_host in any::<bool>()) {
        let text = if in_host { "http://web-${labels.x}.svc:8080/a" } else { "http://web.svc:8080/a/${labels.x}/b?q=${labels.x}" };
        let template = crate::runbook::UrlTemplate::parse(text).unwrap();
        let Ok(filled) = template.with(|_| Some(value.clone())) else { return Ok(()) };
        let url = Url::parse(&filled).unwrap();
        prop_assert_eq!(url.scheme(), "http");
        prop_assert_eq!(url.port(), Some(8080));
        prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
        if in_host {
            prop_assert_eq!(url.host_str().unwrap(), format!("web-{}.svc", value.to_ascii_lowercase()));
            prop_assert_eq!(url.path(), "/a");
        } else {
            prop_assert_eq!(url.host_str(), Some("web.svc"));
            let steps: Vec<&str> = url.path_segments().unwrap().collect();
            prop_assert_eq!(steps.len(), 3, "{}", filled);
            prop_assert_eq!((steps[0], steps[2]), ("a", "b"));
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(pairs, vec![("q".to_owned(), value)]);
        }
    }
}
