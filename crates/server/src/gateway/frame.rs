//! Frames as text: requests are read, replies and pushes written.
//!
//! Must not know: what a request does.

use bytes::Bytes;
use chirrup_core::ids::SEQ_MAX;
use chirrup_protocol::error::{Code, Error};
use chirrup_protocol::push::Push;
use chirrup_protocol::request::{Frame, Request};
use serde::{Deserialize, Serialize};

/// Characters of a parser's complaint that are passed on.
const COMPLAINT_CHARS_MAX: usize = 300;

/// A frame that is no request.
#[derive(Debug, PartialEq, Eq)]
pub struct Unread {
    /// Which reply it is to have, if that could be read.
    pub id: Option<u64>,
    /// What is wrong with it.
    pub error: Error,
}

/// Reads a request. Unknown methods and fields, and keys that come twice, are refused by name.
pub fn read(text: &str) -> Result<(u64, Request), Unread> {
    if !is_object(text) {
        return Err(Unread { id: None, error: Error::new(Code::BadRequest, "the frame: not a JSON object") });
    }
    let frame: Frame<'_> = serde_json::from_str(text).map_err(|e| Unread { id: id_of(text), error: complaint("the frame", &e) })?;
    let id = frame.id;
    let unread = |error| Unread { id: Some(id), error };
    if id > SEQ_MAX {
        return Err(Unread { id: None, error: Error::new(Code::BadRequest, "id must be below 2^53") });
    }
    let params = frame.params.map_or("{}", serde_json::value::RawValue::get);
    if !is_object(params) {
        return Err(unread(Error::new(Code::BadRequest, "params: not a JSON object")));
    }
    match Request::parse(&frame.method, params) {
        Some(Ok(request)) => Ok((id, request)),
        Some(Err(e)) => Err(unread(complaint(&format!("params of {:?}", frame.method), &e))),
        None => {
            let method: String = frame.method.chars().take(64).collect();
            Err(unread(Error::new(Code::BadRequest, format!("there is no method {method:?}"))))
        }
    }
}

/// Whether it can only be an object: a list of the fields' values would be read as one, too.
fn is_object(json: &str) -> bool {
    json.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{')
}

fn complaint(where_: &str, error: &serde_json::Error) -> Error {
    let what: String = error.to_string().chars().take(COMPLAINT_CHARS_MAX).collect();
    Error::new(Code::BadRequest, format!("{where_}: {what}"))
}

/// The id of a frame that is JSON but no request.
fn id_of(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct OnlyId {
        id: u64,
    }
    serde_json::from_str::<OnlyId>(text).ok().map(|frame| frame.id).filter(|id| *id <= SEQ_MAX)
}

/// The reply to a request that was done.
pub fn ok<T: Serialize>(id: u64, ok: &T) -> Bytes {
    #[derive(Serialize)]
    struct Reply<'a, T> {
        id: u64,
        ok: &'a T,
    }
    encode(&Reply { id, ok })
}

/// The reply to a request that was not.
pub fn error(id: u64, error: &Error) -> Bytes {
    #[derive(Serialize)]
    struct Reply<'a> {
        id: u64,
        error: &'a Error,
    }
    encode(&Reply { id, error })
}

/// A push.
pub fn push(push: &Push) -> Bytes {
    encode(push)
}

fn encode(value: &impl Serialize) -> Bytes {
    let mut bytes = Vec::with_capacity(128);
    serde_json::to_writer(&mut bytes, value).expect("the types of the protocol are writable as JSON");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use chirrup_protocol::reply::{Done, Nothing, Outcome, Reply};
    use chirrup_protocol::request::{Devices, Idle};

    use super::*;

    #[test]
    fn requests_are_read_with_or_without_params() {
        assert_eq!(read(r#"{"id":7,"method":"devices"}"#), Ok((7, Devices {}.into())));
        assert_eq!(read(r#"{"params":{"idle":true},"method":"idle","id":0}"#), Ok((0, Idle { idle: true }.into())));
    }

    fn refused(text: &str) -> (Option<u64>, String) {
        let unread = read(text).expect_err("no request");
        assert_eq!(unread.error.code, Code::BadRequest);
        (unread.id, unread.error.message)
    }

    #[test]
    fn what_is_wrong_is_named_and_the_id_echoed() {
        for (text, id, named) in [
            (r#"{"id":7,"method":"fly"}"#, Some(7), "\"fly\""),
            (r#"{"id":7,"method":"idle","params":{"idle":true,"wings":2}}"#, Some(7), "wings"),
            (r#"{"id":7,"method":"idle","params":{"idle":true,"idle":true}}"#, Some(7), "duplicate field `idle`"),
            (r#"{"id":7,"method":"idle","params":{"idle":"yes"}}"#, Some(7), "idle"),
            (r#"{"id":7,"method":"idle","params":null}"#, Some(7), "idle"),
            (r#"{"id":7,"method":"idle","params":[true]}"#, Some(7), "not a JSON object"),
            (r#"{"id":7,"method":"idle"}"#, Some(7), "missing field `idle`"),
            (r#"{"id":7,"method":"devices","extra":1}"#, Some(7), "extra"),
            (r#"{"id":7,"id":8,"method":"devices"}"#, None, "duplicate field `id`"),
            (r#"{"id":7}"#, Some(7), "method"),
            (r#"{"id":9007199254740992,"method":"devices"}"#, None, "2^53"),
            (r#"{"id":-1,"method":"devices"}"#, None, "-1"),
            (r#"{"method":"devices"}"#, None, "missing field `id`"),
            (r#"{"id":7,"method":"devices"} x"#, None, "trailing"),
            (r#"[7,"devices"]"#, None, "not a JSON object"),
            ("{", None, "EOF"),
            ("", None, "not a JSON object"),
        ] {
            let (echoed, message) = refused(text);
            assert_eq!(echoed, id, "{text}");
            assert!(message.contains(named), "{text}: {message}");
        }
    }

    #[test]
    fn deep_json_is_refused_and_not_followed() {
        let deep = "[".repeat(30_000);
        let closed = format!("{deep}{}", "]".repeat(30_000));
        refused(&deep);
        refused(&format!(r#"{{"id":1,"method":"idle","params":{closed}}}"#));
        refused(&format!(r#"{{"id":1,"method":"idle","params":{{"idle":{closed}}}}}"#));
        assert!(refused(&format!(r#"{{"id":1,"method":"{}"}}"#, "x".repeat(60_000))).1.len() < 200);
    }

    #[test]
    fn replies_are_those_of_the_protocol() {
        let done = Done { seq: 3, time: 5, duplicate: false };
        let read: Reply<Done> = serde_json::from_slice(&ok(7, &done)).expect("a reply");
        assert_eq!(read, Reply { id: 7, outcome: Outcome::Ok(done) });
        let wrong = Error::new(Code::Busy, "later");
        let read: Reply<Nothing> = serde_json::from_slice(&error(7, &wrong)).expect("a reply");
        assert_eq!(read, Reply { id: 7, outcome: Outcome::Error(wrong) });
    }
}
