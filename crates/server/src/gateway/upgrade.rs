//! The handshake of a WebSocket (RFC 6455, section 4.2): who may connect, and from where.

use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, Request, StatusCode};
use tokio_tungstenite::tungstenite::handshake::server::create_response;

use crate::http::{Answer, problem, text};
use chirrup_protocol::SUBPROTOCOL;

/// The answer that makes a connection a WebSocket, or why it cannot be one.
pub(super) fn accept<B>(request: &Request<B>, origins: &[String]) -> Result<Answer, Box<Answer>> {
    let refuse = |status, code, why: &str| Err(Box::new(problem(status, code, why)));
    if request.method() != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "bad_request", "a WebSocket begins with GET");
    }
    let headers = request.headers();
    if !origin_may(headers, origins) {
        return refuse(StatusCode::FORBIDDEN, "forbidden", "pages of this origin may not connect");
    }
    let has_body = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0") || headers.contains_key(TRANSFER_ENCODING);
    if has_body {
        return refuse(StatusCode::BAD_REQUEST, "bad_request", "a WebSocket begins without a body");
    }
    let protocol = subprotocol(headers);
    if protocol == Some(false) {
        return refuse(StatusCode::BAD_REQUEST, "version_not_supported", "the subprotocol must be chirrup.v1");
    }
    let mut bare = Request::new(());
    (*bare.method_mut(), *bare.version_mut(), *bare.headers_mut()) = (request.method().clone(), request.version(), headers.clone());
    let response = match create_response(&bare) {
        Ok(response) => response,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, "bad_request", &format!("not the handshake of a WebSocket: {why}")),
    };
    let mut answer = text(response.status(), "");
    *answer.headers_mut() = response.headers().clone();
    if protocol.is_some() {
        answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    Ok(answer)
}

/// Whether ours is among the subprotocols that the client names; none if it names none.
fn subprotocol(headers: &HeaderMap) -> Option<bool> {
    let mut named = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().peekable();
    named.peek()?;
    Some(named.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',')).any(|name| name.trim() == SUBPROTOCOL))
}

/// Whether a page of this origin may connect: of this host, or of one that the operator named.
/// What is no browser names no origin.
fn origin_may(headers: &HeaderMap, origins: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let of_page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    matches!((of_page, host), (Some(page), Some(host)) if page.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT};

    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut builder = Request::builder().uri("/v1/ws").header("host", "chat.example:7400").header("connection", "Upgrade");
        builder = builder.header("upgrade", "websocket").header("sec-websocket-version", "13");
        // The key of RFC 6455, section 1.3.
        builder = builder.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).expect("a request")
    }

    fn status(headers: &[(&str, &str)], origins: &[&str]) -> u16 {
        let origins: Vec<String> = origins.iter().map(|&o| o.to_owned()).collect();
        accept(&request(headers), &origins).unwrap_or_else(|refused| *refused).status().as_u16()
    }

    #[test]
    fn the_handshake_is_answered_as_the_rfc_shows() {
        let answer = accept(&request(&[("sec-websocket-protocol", "other, chirrup.v1")]), &[]).expect("accepted");
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(answer.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer.headers()[SEC_WEBSOCKET_PROTOCOL], "chirrup.v1");
        assert!(answer.headers().contains_key(CONNECTION));
    }

    #[test]
    fn c1_another_subprotocol_is_refused_and_none_is_taken() {
        assert_eq!(status(&[("sec-websocket-protocol", "other")], &[]), 400);
        let plain = accept(&request(&[]), &[]).expect("accepted");
        assert!(!plain.headers().contains_key(SEC_WEBSOCKET_PROTOCOL));
    }

    #[test]
    fn c2_pages_of_other_origins_are_refused() {
        for (origin, allowed, expected) in [
            ("http://chat.example:7400", "", 101),
            ("https://CHAT.example:7400", "", 101),
            ("https://chat.example", "", 403),
            ("https://evil.example", "", 403),
            ("https://chat.example:7400.evil.example", "", 403),
            ("null", "", 403),
            ("https://app.example", "https://app.example", 101),
            ("http://app.example", "https://app.example", 403),
        ] {
            assert_eq!(status(&[("origin", origin)], &[allowed]), expected, "{origin}");
        }
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        assert_eq!(status(&[("content-length", "3")], &[]), 400);
        assert_eq!(status(&[("transfer-encoding", "chunked")], &[]), 400);
        let mut old = request(&[]);
        old.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("8"));
        assert_eq!(accept(&old, &[]).expect_err("refused").status(), 400);
        let mut post = request(&[]);
        *post.method_mut() = Method::POST;
        assert_eq!(accept(&post, &[]).expect_err("refused").status(), 405);
    }
}
