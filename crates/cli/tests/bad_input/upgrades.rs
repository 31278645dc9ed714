//! What comes in place of the handshake of a WebSocket.

use super::samples;
use super::wire::{TEXT, Wire, frame, upgrade};
use super::world::World;

/// The status of the answer, which may only be one that refuses; none if there is no answer.
async fn refused(world: &World, name: &str, bytes: &[u8]) -> Option<u16> {
    let mut wire = Wire::connect(world.address()).await;
    wire.say(bytes).await;
    let said = wire.head().await;
    if said.is_empty() { None } else { Some(status(name, &said)) }
}

fn status(name: &str, said: &str) -> u16 {
    let status = said.strip_prefix("HTTP/1.1 ").or_else(|| said.strip_prefix("HTTP/1.0 ")).and_then(|rest| rest.get(..3));
    let status: u16 = status.unwrap_or_else(|| panic!("{name}: {said}")).parse().unwrap();
    assert!((400..500).contains(&status), "{name}: {said}");
    status
}

/// Bytes that are no request at all.
pub async fn noise(world: &World, name: &str, bytes: &[u8]) {
    let mut wire = Wire::connect(world.address()).await;
    wire.say_last(bytes).await;
    let said = String::from_utf8(wire.rest().await).expect("text");
    let refused = said.is_empty() || matches!(status(name, &said), 400 | 431);
    assert!(refused, "{name}: {said}");
}

/// Requests that are not the handshake, and how they are refused.
pub fn wrong() -> Vec<(&'static str, String, u16)> {
    let without = |header: &str| {
        let good = upgrade("");
        let lines = good.split_inclusive("\r\n").filter(|line| !line.starts_with(header));
        lines.collect::<String>()
    };
    let other = |from: &str, to: &str| upgrade("").replace(from, to);
    vec![
        ("no key", without("Sec-WebSocket-Key"), 400),
        ("no version", without("Sec-WebSocket-Version"), 400),
        ("no upgrade", without("Upgrade"), 400),
        ("no connection", without("Connection"), 400),
        ("an older version", other("Version: 13", "Version: 8"), 400),
        ("HTTP/1.0", other("HTTP/1.1", "HTTP/1.0"), 400),
        ("HTTP/9.9", other("HTTP/1.1", "HTTP/9.9"), 400),
        ("POST", other("GET", "POST"), 405),
        ("a method of its own", other("GET", "CHIRP"), 405),
        ("a body", upgrade("Content-Length: 5\r\n") + "hello", 400),
        ("a body in chunks", upgrade("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n", 400),
        ("two lengths", upgrade("Content-Length: 5\r\nContent-Length: 6\r\n") + "hello!", 400),
        ("a length below zero", upgrade("Content-Length: -1\r\n"), 400),
        ("a length beyond 2^64", upgrade("Content-Length: 99999999999999999999999\r\n"), 400),
        ("another subprotocol", upgrade("Sec-WebSocket-Protocol: chirrup.v9\r\n"), 400),
        ("a page of another origin", upgrade("Origin: https://evil.example\r\n"), 403),
        ("another path", other("/v1/ws", "/v1/../v1/ws"), 404),
        ("a header without a colon", upgrade("Nonsense\r\n"), 400),
        ("a header with a control character", upgrade("X: a\u{1}b\r\n"), 400),
        ("a name with a space", upgrade("X Y: a\r\n"), 400),
    ]
}

#[tokio::test]
async fn noise_in_place_of_a_handshake_is_refused() {
    let mut world = World::new().await;
    for (name, bytes) in samples::upgrades() {
        noise(&world, &name, &bytes).await;
    }
    for (name, bytes) in [
        ("nothing", &b""[..]),
        ("an end of line", b"\r\n"),
        ("zeros", &[0; 4_096]),
        ("the first bytes of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("a WebSocket frame", &frame(TEXT, b"{}")),
        ("half a request", b"GET /v1/ws HTTP/1.1\r\nHost: chat"),
    ] {
        noise(&world, name, bytes).await;
    }
    world.goes_on().await;
}

#[tokio::test]
async fn requests_that_are_no_handshake_are_refused_with_a_reason() {
    let mut world = World::new().await;
    for (name, request, status) in wrong() {
        assert_eq!(refused(&world, name, request.as_bytes()).await, Some(status), "{name}");
    }
    world.goes_on().await;
}

#[tokio::test]
async fn giant_headers_are_not_gathered() {
    let mut world = World::new().await;
    let giant = "x".repeat(1 << 20);
    let many = "X: y\r\n".repeat(1_000);
    for (name, request) in [
        ("a giant header", upgrade(&format!("X: {giant}\r\n"))),
        ("a giant name", upgrade(&format!("{giant}: x\r\n"))),
        ("a giant path", upgrade("").replace("/v1/ws", &format!("/{giant}"))),
        ("a giant method", upgrade("").replace("GET", &giant)),
        ("many headers", upgrade(&many)),
        ("a header without an end", format!("GET /v1/ws HTTP/1.1\r\nX: {giant}")),
    ] {
        // Where most of it was never read, the answer may be lost with the rest.
        let status = refused(&world, name, request.as_bytes()).await;
        assert!(matches!(status, None | Some(400 | 414 | 431)), "{name}: {status:?}");
    }
    world.goes_on().await;
}
