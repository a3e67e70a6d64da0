//! One call that may change something: sent once, whatever comes back.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use super::{Http, To, body, shown};
use crate::clients::error::sources;
use crate::clients::{CallError, Reason};
use crate::text::span;

/// Whoever has seen this before does nothing again.
/// Source: <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Order<'o> {
    /// Such as `POST`.
    pub method: &'o str,
    /// Further headers.
    pub headers: &'o [(String, String)],
    /// The same for the same call.
    pub key: &'o str,
    /// The body.
    pub json: Option<&'o serde_json::Value>,
    /// For how long an answer is waited for.
    pub within: Duration,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It was answered.
    Answer {
        /// With this status.
        status: u16,
        /// The body, or its first 64 KiB.
        body: Vec<u8>,
    },
    /// No connection came about, so nothing has happened.
    NotTaken(String),
    /// The connection was taken, and no answer came: nobody knows.
    Lost(String),
}

impl Http {
    /// Makes one call, once.
    ///
    /// # Errors
    /// As [`Self::get`]; nothing was sent then.
    pub async fn send(&self, to: To<'_>, order: Order<'_>) -> Result<Sent, CallError> {
        let way = self.way(to)?;
        let unfit = |what: &str| CallError::unsent(&way.call, what);
        let method = order.method.parse::<http::Method>().map_err(|_| unfit("it is no method of HTTP"))?;
        let client = self.client(&way, order.within).await?;
        let key = HeaderValue::from_str(order.key).map_err(|_| unfit("the operation's id is no header"))?;
        let mut request = client.request(method, way.url.clone()).header(IDEMPOTENCY_KEY, key);
        for (name, value) in order.headers {
            request = request.header(name, value);
        }
        if let Some(json) = order.json {
            let text = HeaderValue::from_static("application/json");
            request = request.header(CONTENT_TYPE, text).body(json.to_string());
        }
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let sent = shown(request, &way).send().await;
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let error = match sent {
            Ok(answer) => {
                let status = answer.status().as_u16();
                return Ok(Sent::Answer { status, body: body(answer, &way).await.0 });
            }
            Err(error) => error,
        };
        if error.is_builder() {
            return Err(CallError::new(&way.call, Reason::ClientError, "the request can not be made"));
        }
        if error.is_connect() {
            let refused = sources(&error)
                .filter_map(|source| source.downcast_ref::<io::Error>())
                .any(|source| source.kind() == io::ErrorKind::ConnectionRefused);
            let why = if refused { "the connection was refused" } else { "no connection came about" };
            return Ok(Sent::NotTaken(why.to_owned()));
        }
        if error.is_timeout() {
            return Ok(Sent::Lost(format!("no answer came within {}", span(order.within))));
        }
        Ok(Sent::Lost("the connection was broken off, or what came over it was no answer".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use serde_json::json;

    use super::super::{Allowed, AllowedPods, Key, KeyTo, Network, PodAt, Policy, Reply, Trust};
    use super::*;
    use crate::clients::Secret;
    use crate::clients::wire::{Reply as Said, Wire};

    const SECRET: &str = "do-not-show-me";

    fn order(headers: &[(String, String)]) -> Order<'_> {
        Order { method: "POST", headers, key: "op-1", json: None, within: Duration::from_secs(2) }
    }

    fn key(to: KeyTo) -> Key {
        Key { to, header: HeaderName::from_static("x-api-key"), value: Secret::new(SECRET) }
    }

    fn port(wire: &Wire) -> u16 {
        wire.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    fn pods(port: u16, network: &str) -> AllowedPods {
        let networks = vec![Network::parse(network).unwrap()];
        AllowedPods { namespace: "shop".to_owned(), port, networks }
    }

    #[tokio::test]
    async fn a_call_is_sent_once_with_its_key_and_its_body_and_no_redirect_is_followed() {
        let other = Wire::start(vec![Said::json("{}")]).await;
        let to = vec![("Location".to_owned(), other.url.clone())];
        let wire = Wire::start(vec![Said::Answer(307, to, String::new()), Said::error(503, "busy")]).await;
        let http = Http::new(Policy::new(vec![Allowed::parse("127.0.0.1").unwrap()]));
        let headers = [("X-Requested-By".to_owned(), "runbookd".to_owned())];
        let body = json!({"model": "small"});
        for status in [307, 503] {
            let order = Order { json: Some(&body), ..order(&headers) };
            let sent = http.send(To::Url(&format!("{}/swap?a=b", wire.url)), order).await.unwrap();
            assert!(matches!(sent, Sent::Answer { status: found, .. } if found == status), "{sent:?}");
        }
        assert!(other.seen().is_empty(), "nothing was called");
        let seen = wire.seen();
        assert_eq!(seen.len(), 2, "once each, whatever comes back");
        for seen in seen {
            assert_eq!((seen.method.as_str(), seen.uri.as_str()), ("POST", "/swap?a=b"));
            assert_eq!(seen.body, r#"{"model":"small"}"#);
            assert_eq!(seen.headers["idempotency-key"], "op-1");
            assert_eq!(seen.headers["x-requested-by"], "runbookd");
            assert_eq!(seen.headers["content-type"], "application/json");
        }
    }

    #[tokio::test]
    async fn what_surely_did_not_happen_is_told_from_what_nobody_knows() {
        let http = Http::new(Policy::new(vec![Allowed::parse("127.0.0.1").unwrap()]));
        let sent = |url: String| {
            let http = http.clone();
            async move { http.send(To::Url(&url), order(&[])).await.unwrap() }
        };
        assert_eq!(
            sent(Wire::nowhere().await).await,
            Sent::NotTaken("the connection was refused".to_owned())
        );
        assert!(matches!(sent(Wire::breaking().await).await, Sent::Lost(_)));
        let silent = Wire::start(vec![Said::Hang]).await;
        assert_eq!(sent(silent.url.clone()).await, Sent::Lost("no answer came within 2 s".to_owned()));
    }

    #[tokio::test]
    async fn no_answer_from_before_a_call_is_shared_with_a_question_from_after_it() {
        let silent = Wire::start(vec![Said::Hang]).await;
        let other = Wire::start(vec![Said::json("{}")]).await;
        let allowed = Allowed::parse("127.0.0.1").unwrap();
        let http = Http::with_keys(
            Policy::new(vec![allowed]),
            Duration::from_secs(2),
            std::sync::Arc::new(|_, _| Box::pin(async { Ok(Vec::new()) })),
            Trust::default(),
            Vec::new(),
        );
        let ask = || {
            let (http, url) = (http.clone(), silent.url.clone());
            tokio::spawn(async move { http.get(&url).await })
        };
        let before = [ask(), ask()];
        while silent.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        http.send(To::Url(&other.url), order(&[])).await.unwrap();
        let after = ask();
        for asked in before.into_iter().chain([after]) {
            asked.await.unwrap().unwrap();
        }
        assert_eq!(silent.seen().len(), 2, "those from before are one question, the one after it another");
    }

    #[tokio::test]
    async fn only_the_pods_that_are_listed_are_reached_and_only_in_their_networks() {
        let wire = Wire::start(vec![Said::json("{}")]).await;
        let (local, port) = (IpAddr::from([127, 0, 0, 1]), port(&wire));
        let at = |namespace, address, port| PodAt { namespace, address, port };
        let with = |allowed: Vec<AllowedPods>| Http::new(Policy::default().with_pods(allowed));
        let listed = || pods(port, "127.0.0.0/8");
        for (http, pod, path) in [
            (with(vec![]), at("shop", local, port), "/"),
            (with(vec![listed()]), at("other", local, port), "/"),
            (with(vec![pods(1, "127.0.0.0/8")]), at("shop", local, port), "/"),
            (with(vec![pods(port, "10.0.0.0/8")]), at("shop", local, port), "/"),
            // No network is named, and this machine is no pod.
            (with(vec![AllowedPods { networks: vec![], ..listed() }]), at("shop", local, port), "/"),
            (with(vec![listed()]), at("shop", local, port), "@10.0.0.1/"),
            (with(vec![listed()]), at("shop", local, port), "stats"),
        ] {
            let error = http.send(To::Pod(pod, path), order(&[])).await.unwrap_err();
            assert_eq!(error.reason, Reason::ClientError, "{pod:?}{path}");
            assert!(http.ask(To::Pod(pod, path)).await.is_err(), "{pod:?}{path}");
        }
        assert!(wire.seen().is_empty(), "nothing was called");
        let pod = at("shop", local, port);
        with(vec![listed()]).send(To::Pod(pod, "/swap"), order(&[])).await.unwrap();
        assert_eq!((wire.seen().len(), wire.seen()[0].uri.as_str()), (1, "/swap"));
        // That the pods may be asked says nothing of the same address as a host.
        assert!(with(vec![listed()]).get(&wire.url).await.is_err());
    }

    #[tokio::test]
    async fn what_is_shown_to_one_is_shown_to_nobody_else_and_does_not_come_back() {
        let echo = format!("invalid key {SECRET}, {SECRET}!");
        let said = || Said::error(401, &echo);
        let one = Wire::start(vec![said(), said(), said()]).await;
        let other = Wire::start(vec![said()]).await;
        let host = |wire: &Wire| Allowed::parse(&format!("127.0.0.1:{}", port(wire))).unwrap();
        let policy =
            Policy::new(vec![host(&one), host(&other)]).with_pods(vec![pods(port(&one), "127.0.0.0/8")]);
        let keys = vec![key(KeyTo::Host(host(&one)))];
        let http = Http::showing(policy, Trust::default(), keys);
        let Sent::Answer { body, .. } = http.send(To::Url(&one.url), order(&[])).await.unwrap() else {
            panic!()
        };
        assert_eq!(String::from_utf8(body).unwrap(), "invalid key [hidden], [hidden]!");
        let Reply::Answer { body, .. } = http.get(&one.url).await.unwrap() else { panic!() };
        assert!(!String::from_utf8(body.to_vec()).unwrap().contains(SECRET));
        http.get(&other.url).await.unwrap();
        // The key of a host is not that of the pods.
        let pod = PodAt { namespace: "shop", address: IpAddr::from([127, 0, 0, 1]), port: port(&one) };
        http.ask(To::Pod(pod, "/")).await.unwrap();
        let keys =
            |wire: &Wire| wire.seen().iter().filter(|seen| seen.headers.contains_key("x-api-key")).count();
        assert_eq!((keys(&one), keys(&other)), (2, 0));
        assert!(!format!("{:?}", key(KeyTo::Pods { namespace: String::new(), port: 1 })).contains(SECRET));
    }
}
