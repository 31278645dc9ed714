//! The wire, seen from a client: bad frames, heartbeats, slow readers, the end of a connection, and
//! HTTP on the same address.

mod common;

use std::time::Duration;

use chirrup_server::limits::{HTTP_BODY_BYTES_MAX, HTTP_HEADER_BYTES_MAX};
use common::{PATIENCE, Server, client_id};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// One HTTP request by hand; the whole answer.
async fn http(address: std::net::SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.expect("connected");
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("in time").expect("read");
    String::from_utf8(answer).expect("text")
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_frames_that_are_not_taken_close_the_connection_and_nothing_else() {
    let server = Server::start(&[]).await;
    let mut bystander = server.join("bystander").await;
    let fragment = |opcode, last: bool, payload: &'static [u8]| {
        Message::Frame(Frame::message(Bytes::from_static(payload), OpCode::Data(opcode), last))
    };
    let large = Message::text("x".repeat(64 * 1024 + 1));
    for (frames, code) in [
        (vec![large], 4001),
        (vec![Message::binary(vec![1, 2, 3])], 4001),
        (vec![fragment(Data::Text, true, b"\xff\xfe")], 1007),
        (vec![fragment(Data::Continue, true, b"{}")], 1002),
        (vec![fragment(Data::Text, false, b"{"), fragment(Data::Text, true, b"}")], 1002),
    ] {
        let mut client = server.connect().await;
        for frame in frames {
            client.socket.send(frame).await.expect("sent");
        }
        let closed = client.closed().await;
        assert_eq!((closed.code, &closed.closing.expect("told before")["code"]), (code, &json!("bad_frame")));
    }
    let mut fragments = server.connect().await;
    for (opcode, last, part) in
        [(Data::Text, false, &br#"{"id":1,"#[..]), (Data::Continue, false, b""), (Data::Continue, true, br#""method":"devices"}"#)]
    {
        fragments.socket.send(fragment(opcode, last, part)).await.expect("sent");
    }
    assert_eq!(fragments.reply(1).await["error"]["code"], "not_logged_in", "fragments of a small frame are taken");
    // A frame that claims 2^63 bytes, and one that ends in its middle.
    for bytes in [&[0x81, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0][..], &[0x81, 0x85, 1]] {
        let mut client = server.connect().await;
        client.socket.get_mut().write_all(bytes).await.expect("sent");
        client.socket.get_mut().shutdown().await.expect("shut");
        client.closed().await;
    }
    bystander.ok("devices", json!({})).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_what_is_no_request_is_named() {
    let server = Server::start(&[]).await;
    let mut client = server.join("ana").await;
    for text in [r#"{"id":100,"method":"fly"}"#, r#"{"id":101,"method":"devices","params":{"extra":1}}"#, r#"{"id":102,"method":"idle"}"#] {
        client.text(text).await;
    }
    for (id, named) in [(100, "fly"), (101, "extra"), (102, "idle")] {
        let error = client.reply(id).await["error"].clone();
        assert_eq!((&error["code"], &error["retry"]), (&json!("bad_request"), &json!("never")));
        assert!(error["message"].as_str().expect("a text").contains(named), "{error}");
    }
    client.text("no JSON").await;
    assert_eq!(client.closed().await.code, 4000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_c4_c5_sessions_begin_once() {
    let server = Server::start(&[]).await;
    let mut client = server.join("ana").await;
    let token = client.token.clone();
    assert_eq!(client.code("hello", json!({"token": token})).await, "bad_request");
    assert_eq!(client.code("sign_up", json!({"client_id": client_id(), "name": "x", "password": common::PASSWORD})).await, "bad_request");
    let mut guest = server.connect().await;
    assert_eq!(guest.code("devices", json!({})).await, "not_logged_in");
    assert_eq!(guest.code("hello", json!({"token": "chs_nonsense"})).await, "token_invalid");
    assert_eq!(guest.code("hello", json!({"token": token, "versions": [2, 1]})).await, "bad_request");
    assert_eq!(guest.code("hello", json!({"token": token, "versions": [2, 3]})).await, "version_not_supported");
    assert_eq!(guest.closed().await.code, 4002);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_c6_who_is_not_heard_is_closed() {
    let server = Server::start(&[("session.heartbeat_ms", "300")]).await;
    let mut guest = server.connect().await;
    let closed = guest.closed().await;
    assert_eq!((closed.code, &closed.closing.expect("told")["code"]), (4003, &json!("not_logged_in")));

    let mut client = server.join("ana").await;
    for _ in 0..3 {
        let beat = client.push(|p| p["push"] == "heartbeat").await;
        assert!(beat["data"]["cursor"].is_string() && beat["data"]["time"].is_string());
    }
    // From here on it reads nothing, so it answers no ping. (Its socket takes what comes.)
    tokio::time::timeout(PATIENCE, async {
        let admin = server.info.admin_address;
        while !http(admin, &get("/metrics")).await.contains("chirrup_sessions 0\n") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("closed within the patience");
    assert_eq!(client.closed().await.code, 4008);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_a_slow_reader_is_told_what_to_pull() {
    let server = Server::start(&[]).await;
    let (mut ana, mut slow) = (server.join("ana").await, server.join("slow").await);
    let conversation = ana.direct(&slow.user).await;
    let text = "x".repeat(8_000);
    let mut head = 0;
    let metrics = async || http(server.info.admin_address, &get("/metrics")).await;
    // Until the kernel's buffers and the queue are full, and one push more.
    while head < 4_000 {
        let mut ids = Vec::new();
        for _ in 0..50 {
            let params = json!({"client_id": client_id(), "conversation": conversation, "text": text});
            ids.push(ana.post("send", params).await);
        }
        for id in ids {
            head = ana.reply(id).await["ok"]["seq"].as_u64().expect("a seq");
        }
    }
    let behind = slow.push(|p| p["push"] == "behind").await;
    let logs = behind["data"]["logs"].as_array().expect("logs");
    assert_eq!((logs.len(), &logs[0]["conversation"]), (1, &json!(conversation)));
    let named = logs[0]["head"].as_u64().expect("a head");
    assert!(named <= head && named > 1, "{named}");
    assert!(metrics().await.contains("chirrup_behind_total 1\n"));
    // From here on pushes come again.
    let next = ana.send(&conversation, "after").await;
    let push = slow.push(|p| p["data"]["event"]["text"] == "after").await;
    assert_eq!(push["data"]["event"]["seq"], next);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_long_messages_is_cut_short_and_leads_on() {
    let server = Server::start(&[]).await;
    let mut ana = server.join("ana").await;
    let group = ana.ok("create_group", json!({"client_id": client_id(), "title": "long"})).await["conversation"].clone();
    let long = "ü".repeat(8_192);
    let mut ids = Vec::new();
    for _ in 0..80 {
        ids.push(ana.post("send", json!({"client_id": client_id(), "conversation": group, "text": long})).await);
    }
    for id in ids {
        assert!(ana.reply(id).await.get("ok").is_some());
    }
    let (mut after, mut pages) = (0, 0);
    while after < 81 {
        let page = ana.ok("events", json!({"conversation": group, "after": after, "limit": 500})).await;
        let events = page["events"].as_array().expect("events");
        assert_eq!(events[0]["seq"], after + 1);
        (after, pages) = (after + events.len() as u64, pages + 1);
    }
    assert!(pages > 1);
    let newest = ana.ok("history", json!({"conversation": group, "limit": 100})).await;
    let messages = newest["messages"].as_array().expect("messages");
    assert!(messages.len() < 80 && newest["more_before"] == true && messages[messages.len() - 1]["seq"] == 81);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c7_clients_are_told_to_come_back_and_answered_before_the_end() {
    // Longer than anything here is waited for.
    let server = Server::start(&[("session.drain_ms", "60000")]).await;
    let mut ana = server.join("ana").await;
    let ben = server.join("ben").await;
    let conversation = ana.direct(&ben.user).await;
    let id = ana.post("send", json!({"client_id": client_id(), "conversation": conversation, "text": "last words"})).await;
    assert!(ana.reply(id).await.get("ok").is_some());
    // Somebody who asks for nothing more does not hold the server up.
    let mut idle = TcpStream::connect(server.info.address).await.expect("connected");
    idle.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.expect("sent");
    idle.read_u8().await.expect("an answer");
    server.begin_stop();
    let after = ana.push(|p| p["push"] == "reconnect").await["data"]["after_ms"].as_u64().expect("a time");
    assert!((500..=5_500).contains(&after), "{after}");
    let closed = ana.closed().await;
    assert_eq!((closed.code, &closed.closing.expect("told")["code"]), (4012, &json!("shutting_down")));
    let server = server.restart().await;
    let mut again = server.connect().await;
    again.token = ana.token;
    assert_eq!(again.hello(None).await["conversations"][0]["last_message"]["text"], "last words");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_answers_beside_the_websocket() {
    let server = Server::start(&[]).await;
    let (public, admin) = (server.info.address, server.info.admin_address);
    let front = http(public, &get("/")).await;
    assert!(front.starts_with("HTTP/1.1 200") && front.contains("Chirrup"), "{front}");
    let absent = http(public, &get("/metrics")).await;
    assert!(absent.starts_with("HTTP/1.1 404") && absent.contains("application/problem+json"), "{absent}");
    let plain = http(public, &get("/v1/ws")).await;
    assert!(plain.starts_with("HTTP/1.1 400") && plain.contains("\"code\":\"bad_request\""), "{plain}");
    let with_header = |bytes: usize| format!("GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\nX-Large: {}\r\n\r\n", "x".repeat(bytes));
    for (bytes, answer) in
        [(HTTP_HEADER_BYTES_MAX - 1_024, "HTTP/1.1 200"), (HTTP_HEADER_BYTES_MAX, "HTTP/1.1 431"), (100_000, "HTTP/1.1 431")]
    {
        assert!(http(public, &with_header(bytes)).await.starts_with(answer), "{bytes}");
    }
    for path in ["/livez", "/readyz"] {
        assert!(http(admin, &get(path)).await.starts_with("HTTP/1.1 200"), "{path}");
    }
    let metrics = http(admin, &get("/metrics")).await;
    assert!(metrics.contains("# TYPE chirrup_commit_microseconds histogram\n"), "{metrics}");
    assert!(http(admin, &get("/v1/ws")).await.starts_with("HTTP/1.1 404"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_the_administration_address_is_small() {
    let server = Server::start(&[]).await;
    let secret = std::fs::read_to_string(server.dir.path().join("admin.token")).expect("the secret");
    let order = |padding: usize| {
        let body = format!(r#"{{{}"dir":"not/from/the/root"}}"#, " ".repeat(padding));
        let length = body.len();
        let head = "POST /backup HTTP/1.1\r\nHost: here\r\nConnection: close";
        (length, format!("{head}\r\nAuthorization: Bearer {secret}\r\nContent-Length: {length}\r\n\r\n{body}"))
    };
    let (bare, _) = order(0);
    for (more, why) in [(0, "dir must begin at the root"), (1, "too long")] {
        let (length, request) = order(HTTP_BODY_BYTES_MAX - bare + more);
        let answer = http(server.info.admin_address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(why), "{length}: {answer}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r15_the_operator_makes_a_code_and_the_first_administrator_uses_it() {
    let server = Server::start(&[]).await;
    let admin = server.info.admin_address;
    let post = |secret: &str| {
        format!(
            "POST /first-code HTTP/1.1\r\nHost: here\r\nConnection: close\r\nAuthorization: Bearer {secret}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    assert!(http(admin, &post("wrong")).await.starts_with("HTTP/1.1 401"));
    let secret = std::fs::read_to_string(server.dir.path().join("admin.token")).expect("the secret");
    let answer = http(admin, &post(&secret)).await;
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let code = serde_json::from_str::<Value>(body).expect("JSON")["code"].as_str().expect("a code").to_owned();

    let (mut ana, mut ben) = (server.join("ana").await, server.join("ben").await);
    let first = server.info.first_code.clone().expect("a code at the start");
    let redeem = |code: &str| json!({"client_id": client_id(), "code": code});
    assert_eq!(ana.code("redeem_first_code", redeem(&first)).await, "code_invalid", "a later code voids it");
    assert_eq!(ana.code("list_users", json!({})).await, "forbidden");
    ana.ok("redeem_first_code", redeem(&code.to_lowercase())).await;
    assert_eq!(ben.code("redeem_first_code", redeem(&code)).await, "code_invalid");
    assert_eq!(ana.ok("list_users", json!({})).await["users"].as_array().map(Vec::len), Some(2));
    assert!(http(admin, &post(&secret)).await.starts_with("HTTP/1.1 409"));
    let server = server.restart().await;
    assert_eq!(server.info.first_code, None);
    server.stop().await;
}
