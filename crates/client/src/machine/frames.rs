//! Frames to and from the server. A frame that is not understood is ignored: what it told can be
//! pulled.

use std::borrow::Cow;

use chirrup_protocol::error::Error as Refusal;
use chirrup_protocol::push::Push;
use chirrup_protocol::request::Request;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A request as JSON: `{"method": …, "params": …}`. Made once, and kept across retries, so that
/// every try says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body(Box<str>);

impl Body {
    /// Of a request.
    pub fn of(request: &Request) -> Self {
        Self(serde_json::to_string(request).expect("requests are plain structs with text keys").into())
    }

    /// Of a method and parameters that are JSON already.
    pub fn raw(method: &str, params: &RawValue) -> Self {
        let method = serde_json::Value::from(method);
        Self(format!("{{\"method\":{method},\"params\":{params}}}").into())
    }

    /// As it was kept.
    pub(crate) fn stored(json: &RawValue) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Kept<'a> {
            #[serde(borrow)]
            method: Cow<'a, str>,
            #[serde(borrow)]
            params: &'a RawValue,
        }
        let kept: Kept = serde_json::from_str(json.get())?;
        Ok(Self::raw(&kept.method, kept.params))
    }

    /// The JSON.
    pub fn json(&self) -> &str {
        &self.0
    }

    /// The frame that asks for it.
    pub(crate) fn frame(&self, id: u64) -> String {
        format!("{{\"id\":{id},{}", &self.0[1..])
    }
}

/// What a frame says.
pub(crate) enum Incoming<'a> {
    /// The answer to the request with this id.
    Reply(u64, Result<&'a RawValue, Refusal>),
    /// Something unasked.
    Push(Box<Push>),
    /// Nothing that this client knows.
    Nothing,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    id: Option<u64>,
    #[serde(borrow, default)]
    ok: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Refusal>,
    #[serde(borrow, default)]
    push: Option<Cow<'a, str>>,
}

impl<'a> Incoming<'a> {
    /// Reads a frame.
    pub(crate) fn read(text: &'a str) -> Self {
        let Ok(envelope) = serde_json::from_str::<Envelope<'a>>(text) else { return Self::Nothing };
        match envelope {
            Envelope { id: Some(id), ok: Some(ok), .. } => Self::Reply(id, Ok(ok)),
            Envelope { id: Some(id), error: Some(error), .. } => Self::Reply(id, Err(error)),
            Envelope { push: Some(_), .. } => serde_json::from_str(text).map_or(Self::Nothing, |push| Self::Push(Box::new(push))),
            _ => Self::Nothing,
        }
    }
}
