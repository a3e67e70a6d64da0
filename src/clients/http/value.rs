//! One value out of the JSON that somebody answers. Whatever keeps it from being had is said in words, and is never a value.

use serde_json::Value;

use super::{Http, Reply, To};

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
