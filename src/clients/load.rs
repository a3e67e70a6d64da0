//! One request that is made again and again, by many clients at once, to one address that a person has named: what `runbookd inject load` is made of.
//!
//! The name is looked up once, and nothing else is connected to. No redirect is followed, no proxy is used, nothing is sent twice, and of an answer nothing is
//! kept but its status.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, Method};
use reqwest::Url;
use serde::Serialize;

use super::error::sources;
use super::http::Nobody;
use super::{CONNECT_TIMEOUT, ConnectError, built, http_client_builder};

/// A connection that nobody used for so long is closed: Node.js and uvicorn close theirs after 5 s, and a request that meets that would count as broken off.
const IDLE: Duration = Duration::from_secs(4);

/// Where the requests go: a host that stands in the address as it is, and nothing that leads elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Url);

/// Why requests can not go there. The address itself may hold a password and is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Not `http` or `https`, not a host, or characters that have no place there.
    #[error("expected an address such as http://chat-api:8002/api/health")]
    NoAddress,
    /// `user:password@`.
    #[error(
        "it holds a name or a password; expected an address without: put it into a file, and name that with --header-file 'Authorization: FILE'"
    )]
    Credentials,
    /// `#...`
    #[error("a fragment is never sent; expected an address without #")]
    Fragment,
    /// The host is read as another one than what is written, as `0x7f.1` is.
    #[error("its host means {0}; expected the host as it is: write {0}")]
    OtherHost(String),
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or(BadAddress::NoAddress)?;
        // What the parser would take out or turn round is no part of an address.
        if text.contains('\\') || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadAddress::NoAddress);
        }
        let url = Url::parse(text).map_err(|_| BadAddress::NoAddress)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(BadAddress::Credentials);
        }
        if url.fragment().is_some() {
            return Err(BadAddress::Fragment);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(BadAddress::NoAddress)?;
        let port = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
        if !authority[..port.unwrap_or(authority.len())].eq_ignore_ascii_case(host) {
            return Err(BadAddress::OtherHost(host.to_owned()));
        }
        Ok(Self(url))
    }

    /// The host as it is named.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The host and the port, also where the port is not written.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host(), self.port())
    }

    /// The address for people, without what its query holds.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut url = self.0.clone();
        let query = url.query().map(|_| "?…").unwrap_or_default();
        url.set_query(None);
        format!("{url}{query}")
    }

    fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Call {
    /// Where to.
    pub address: Address,
    /// Such as `GET`.
    pub method: Method,
    /// Further headers.
    pub headers: HeaderMap,
    /// The body, if it has one.
    pub body: Option<Vec<u8>>,
}

/// Why there was no answer: a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Nobody listens there.
    ConnectRefused,
    /// No connection came about in time.
    ConnectTimeout,
    /// No connection came about for another reason.
    Unreachable,
    /// The other side could not show that it is who was named.
    Tls,
    /// A connection, and no whole answer in time.
    Timeout,
    /// The connection was broken off before the whole answer was there.
    Reset,
    /// What came is not HTTP.
    Unreadable,
    /// This machine has no files or ports left: no failure of the other side.
    OwnLimit,
    /// Anything else.
    Other,
}

impl Failure {
    /// In people's words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connection refused",
            Self::ConnectTimeout => "no connection in time",
            Self::Unreachable => "unreachable",
            Self::Tls => "TLS",
            Self::Timeout => "no answer in time",
            Self::Reset => "broken off",
            Self::Unreadable => "not HTTP",
            Self::OwnLimit => "no more files or ports on this machine",
            Self::Other => "other",
        }
    }

    fn of(error: &reqwest::Error) -> Self {
        /// `ENFILE` and `EMFILE`, the same on Linux and macOS; the standard library has no kind for them.
        const NO_FILES: [i32; 2] = [23, 24];
        let io = || sources(error).filter_map(|source| source.downcast_ref::<std::io::Error>());
        let is = |kind: std::io::ErrorKind| io().any(|error| error.kind() == kind);
        let no_files = |error: &std::io::Error| error.raw_os_error().is_some_and(|n| NO_FILES.contains(&n));
        if io().any(no_files) || is(std::io::ErrorKind::AddrNotAvailable) {
            return Self::OwnLimit;
        }
        if error.is_timeout() {
            return if error.is_connect() { Self::ConnectTimeout } else { Self::Timeout };
        }
        if io().any(is_tls) {
            return Self::Tls;
        }
        if error.is_connect() {
            return if is(std::io::ErrorKind::ConnectionRefused) {
                Self::ConnectRefused
            } else {
                Self::Unreachable
            };
        }
        let hyper = sources(error).find_map(|source| source.downcast_ref::<hyper::Error>());
        match hyper {
            Some(error) if error.is_parse() => Self::Unreadable,
            Some(error) if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => {
                Self::Reset
            }
            _ if is(std::io::ErrorKind::ConnectionReset)
                || is(std::io::ErrorKind::ConnectionAborted)
                || is(std::io::ErrorKind::BrokenPipe)
                || is(std::io::ErrorKind::UnexpectedEof) =>
            {
                Self::Reset
            }
            _ => Self::Other,
        }
    }
}

/// Whether TLS is what is wrong; an error of the system can hold another one, which is not among its sources.
fn is_tls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| {
        inner.is::<rustls::Error>() || inner.downcast_ref::<std::io::Error>().is_some_and(is_tls)
    })
}

/// Makes the same call again and again.
#[derive(Debug)]
pub struct Caller {
    client: reqwest::Client,
    request: reqwest::Request,
}

impl Caller {
    /// Looks the host up, and keeps one connection for each of so many clients; `timeout` is for one whole request. Nothing is connected to yet.
    ///
    /// # Errors
    /// When the host has no address, or TLS can not be set up.
    pub async fn new(call: Call, clients: usize, timeout: Duration) -> Result<Self, ConnectError> {
        let Call { address, method, headers, body } = call;
        let mut client = http_client_builder(timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .pool_max_idle_per_host(clients)
            .pool_idle_timeout(IDLE)
            .referer(false)
            // What was shown to a person is what is connected to, and the name server is not what is tried.
            .dns_resolver(Nobody)
            .resolve_to_addrs(address.host(), &looked_up(&address).await?);
        if address.0.scheme() == "http" {
            // No certificate is looked at, and reading the system's takes a while.
            client = client.tls_certs_only([]);
        }
        let mut request = reqwest::Request::new(method, address.0);
        *request.headers_mut() = headers;
        *request.body_mut() = body.map(Into::into);
        Ok(Self { client: built(client)?, request })
    }

    /// Makes the call once, and reads the whole answer.
    ///
    /// # Errors
    /// Why there was none.
    pub async fn call(&self) -> Result<u16, Failure> {
        // Only a body that is a stream can not be cloned.
        let request = self.request.try_clone().ok_or(Failure::Other)?;
        let mut answer = self.client.execute(request).await.map_err(|error| Failure::of(&error))?;
        while answer.chunk().await.map_err(|error| Failure::of(&error))?.is_some() {}
        Ok(answer.status().as_u16())
    }
}

async fn looked_up(address: &Address) -> Result<Vec<SocketAddr>, ConnectError> {
    let host = address.host();
    let none = |why: &str| {
        ConnectError::new(format!(
            "{host} {why}; nothing was sent. Is it a name of the cluster, and this machine outside of it?"
        ))
    };
    // IPv6 stands in brackets in an address, and without them everywhere else.
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    match tokio::time::timeout(CONNECT_TIMEOUT, tokio::net::lookup_host((name, address.port()))).await {
        Err(_) => Err(none("could not be looked up in time")),
        Ok(Err(error)) => Err(none(&format!("could not be looked up: {error}"))),
        Ok(Ok(found)) => match found.collect::<Vec<_>>() {
            found if found.is_empty() => Err(none("has no address")),
            found => Ok(found),
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_is_the_host_that_is_written_in_it() {
        for (text, authority, shown) in [
            ("http://chat-api:8002/api/health", "chat-api:8002", "http://chat-api:8002/api/health"),
            ("https://Example.org", "example.org:443", "https://example.org/"),
            ("http://[::1]:80/a?token=secret", "[::1]:80", "http://[::1]/a?…"),
            ("http://127.0.0.1?x", "127.0.0.1:80", "http://127.0.0.1/?…"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(
                (address.authority().as_str(), address.shown().as_str()),
                (authority, shown),
                "{text}"
            );
        }
        let bad = |text: &str| Address::parse(text).unwrap_err();
        for text in
            ["", "chat-api:8002", "ftp://h/", "http://", "http://h\\@other/", "http://h /", "http://h\n"]
        {
            assert_eq!(bad(text), BadAddress::NoAddress, "{text:?}");
        }
        assert_eq!(bad("http://user:secret@h/"), BadAddress::Credentials);
        assert_eq!(bad("http://h/#a"), BadAddress::Fragment);
        for (text, host) in [
            ("http://0x7f.1/", "127.0.0.1"),
            ("http://2130706433:80/", "127.0.0.1"),
            ("http://[0:0::1]/", "[::1]"),
            ("http://%68/", "h"),
        ] {
            assert_eq!(bad(text), BadAddress::OtherHost(host.to_owned()), "{text}");
        }
    }

    /// What becomes of a call to a server that takes one connection, and does this to it.
    async fn met_by(answer: Option<&'static [u8]>) -> Result<u16, Failure> {
        met_at("http", answer).await
    }

    async fn met_at(scheme: &str, answer: Option<&'static [u8]>) -> Result<u16, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            match answer {
                Some(answer) => stream.write_all(answer).await.unwrap(),
                None => std::future::pending().await,
            }
        });
        let address = Address::parse(&url).unwrap();
        let call = Call { address, method: Method::GET, headers: HeaderMap::new(), body: None };
        // Only who waits for nothing waits in vain.
        let within = Duration::from_millis(if answer.is_some() { 10_000 } else { 300 });
        let caller = Caller::new(call, 1, within).await.unwrap();
        let met = caller.call().await;
        server.abort();
        met
    }

    #[tokio::test]
    async fn a_failure_is_named_for_what_happened_to_the_connection() {
        assert_eq!(met_by(Some(b"HTTP/1.1 204 No Content\r\n\r\n")).await, Ok(204));
        let redirect = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(met_by(Some(redirect)).await, Ok(302));
        assert_eq!(met_by(None).await, Err(Failure::Timeout));
        assert_eq!(met_by(Some(b"")).await, Err(Failure::Reset));
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
        assert_eq!(met_by(Some(half)).await, Err(Failure::Reset));
        assert_eq!(met_by(Some(b"220 smtp.example.org\r\n\r\n")).await, Err(Failure::Unreadable));
        assert_eq!(met_at("https", Some(b"220 smtp.example.org\r\n\r\n")).await, Err(Failure::Tls));

        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", closed.local_addr().unwrap());
        drop(closed);
        let address = Address::parse(&url).unwrap();
        let call = Call { address, method: Method::GET, headers: HeaderMap::new(), body: None };
        let caller = Caller::new(call, 1, Duration::from_secs(5)).await.unwrap();
        assert_eq!(caller.call().await, Err(Failure::ConnectRefused));
    }
}
