//! One value out of the JSON that somebody answers. Whatever keeps it from being had is said in words, and is never a value.

use std::net::IpAddr;

use serde_json::Value;
use tokio::task::JoinSet;

use super::{Http, PodAt, Reply, To};

impl Http {
    /// The value at this place of the answer, when that has the expected status.
    ///
    /// # Errors
    /// Why nothing is known of it, in an operator's words.
    pub async fn value(&self, to: To<'_>, status: u16, pointer: &str) -> Result<Value, String> {
        let reply = self.ask(to).await.map_err(|error| error.to_string())?;
        match reply {
            Reply::None(what) => Err(format!("nothing is known of {pointer}: {what}")),
            Reply::Answer { status: other, .. } if other != status => {
                Err(format!("nothing is known of {pointer}: HTTP {other} instead of {status}"))
            }
            Reply::Answer { body, whole, .. } => value_at(&body, whole, pointer),
        }
    }
}

impl Http {
    /// The values at this place of what pods answer, in their order, or why there is none. They are asked at the same time, as far as so many
    /// are asked at once; a pod without an address is not.
    pub async fn values(
        &self,
        namespace: &str,
        (port, path): (u16, &str),
        pods: &[Option<IpAddr>],
        status: u16,
        pointer: &str,
    ) -> Vec<Result<Value, String>> {
        let mut all = JoinSet::new();
        let mut found = Vec::new();
        for (at, &address) in pods.iter().enumerate() {
            found.push(Err("it has no address of its own (yet)".to_owned()));
            let Some(address) = address else { continue };
            let http = self.clone();
            let [namespace, path, pointer] = [namespace, path, pointer].map(str::to_owned);
            all.spawn(async move {
                let pod = PodAt { namespace: &namespace, address, port };
                (at, http.value(To::Pod(pod, &path), status, &pointer).await)
            });
        }
        while let Some(done) = all.join_next().await {
            if let Ok((at, value)) = done {
                found[at] = value;
            }
        }
        found
    }
}

/// The value at this place (RFC 6901) of a JSON text.
///
/// # Errors
/// Why there is none, in an operator's words.
pub fn value_at(body: &[u8], whole: bool, pointer: &str) -> Result<Value, String> {
    if !whole {
        return Err(format!(
            "the answer is longer than 64 KiB or broke off, so {pointer} was not looked for"
        ));
    }
    let mut json: Value =
        serde_json::from_slice(body).map_err(|_| format!("the answer is no JSON, so it has no {pointer}"))?;
    json.pointer_mut(pointer).map(Value::take).ok_or_else(|| format!("the answer has no {pointer}"))
}
