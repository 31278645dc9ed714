//! How a session begins, and what a client is told of limits and errors.

mod common;

use chirrup_protocol::error::Code;
use chirrup_protocol::limits::{FRAME_BYTES_MAX, IN_FLIGHT_MAX, Limits};
use common::{Server, client_id};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn c4_the_highest_version_of_both_is_spoken() {
    let server = Server::start(&[]).await;
    let mut ana = server.connect().await;
    ana.sign_up("ana").await;
    for versions in [json!([1, 1]), json!([0, 1]), json!([1, 9]), json!([0, 4_294_967_295_u32])] {
        let mut client = server.connect().await;
        let ready = client.ok("hello", json!({"token": ana.token, "versions": versions})).await;
        assert!(ready["version"] == 1 && ready["feature_level"].as_u64() >= Some(1), "{ready}");
    }
    for (versions, code) in [(json!([0, 0]), "version_not_supported"), (json!([2, 9]), "version_not_supported")] {
        let mut client = server.connect().await;
        assert_eq!(client.code("hello", json!({"token": ana.token, "versions": versions})).await, code, "{versions}");
        // told, then closed by the code of the table.
        let closed = client.closed().await;
        assert_eq!((closed.code, &closed.closing.expect("told")["code"]), (4002, &json!(code)));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_x4_ready_tells_who_one_is_and_all_that_one_has_to_know() {
    let server = Server::start(&[("session.heartbeat_ms", "7000"), ("session.typing_ms", "800"), ("session.merge_ms", "9")]).await;
    let (mut ana, ben) = (server.join("ana").await, server.join("ben").await);
    let direct = ana.direct(&ben.user).await;
    let mut fresh = server.connect().await;
    fresh.token.clone_from(&ben.token);
    let ready = fresh.hello(None).await;
    assert_eq!(ready["user"], json!({"user": ben.user, "name": "ben", "display_name": "ben"}));
    assert_eq!((&ready["device"], &ready["administrator"], &ready["reset"]), (&json!(ben.device), &json!(false), &json!(false)));
    let limits = Limits::new(7_000, 800, 9);
    assert_eq!(ready["limits"], serde_json::to_value(&limits).expect("limits"));
    assert_eq!((ready["limits"]["in_flight_max"].as_u64(), limits.frame_bytes_max), (Some(IN_FLIGHT_MAX as u64), FRAME_BYTES_MAX));
    let own = fresh.ok("events", json!({})).await;
    assert_eq!((&ready["user_head"], &ready["conversations"][0]["conversation"]), (&own["head"], &json!(direct)));
    assert!(ready["cursor"].is_string() && ready.get("next").is_none());
    assert_eq!(fresh.code("hello", json!({"token": ben.token})).await, "bad_request", "there is a session");
    fresh.ok("devices", json!({})).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x1_errors_have_a_code_a_sentence_and_what_to_do() {
    let server = Server::start(&[]).await;
    let mut ana = server.join("ana").await;
    let mut guest = server.connect().await;
    let mut errors = Vec::new();
    for (method, params) in [
        ("fly", json!({})),
        ("find", json!({"name": "nobody"})),
        ("list_users", json!({})),
        ("redeem_first_code", json!({"client_id": client_id(), "code": "wrong"})),
        ("create_group", json!({"client_id": client_id(), "title": ""})),
    ] {
        errors.push(ana.call(method, params).await.expect_err("refused"));
    }
    errors.push(guest.call("devices", json!({})).await.expect_err("refused"));
    // Until the attempts of the name are used up.
    let wrong = json!({"client_id": client_id(), "name": "ana", "password": "a wrong one"});
    while errors.last().is_none_or(|error| error["code"] != "too_many") {
        errors.push(guest.call("log_in", wrong.clone()).await.expect_err("refused"));
    }
    for error in &errors {
        let code: Code = serde_json::from_value(error["code"].clone()).expect("a code");
        assert_ne!(code, Code::UnknownCode, "{error}");
        assert_eq!(error["retry"], serde_json::to_value(code.retry()).expect("a word"), "as the table says: {error}");
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{error}");
        assert_eq!(error["after_ms"].as_u64().is_some_and(|ms| ms > 0), error["retry"] == "after", "{error}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x3_what_is_told_helps_nobody_who_guesses() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben) = (server.join("ana").await, server.join("ben").await);
    let code = server.info.first_code.clone().expect("a code");
    ana.ok("redeem_first_code", json!({"client_id": client_id(), "code": code})).await;
    ana.ok("disable_user", json!({"client_id": client_id(), "user": ben.user})).await;
    ben.shut_out().await;
    let mut guest = server.connect().await;
    let mut told: Vec<Value> = Vec::new();
    // A name that is there, one that is not, one that cannot be, and one whose account is closed.
    for name in ["ana", "nobody", "no name\u{0}", "ben"] {
        let params = json!({"client_id": client_id(), "name": name, "password": "a wrong one"});
        told.push(guest.call("log_in", params).await.expect_err("refused"));
    }
    assert!(told.iter().all(|error| error == &told[0] && error["code"] == "credentials_invalid"), "{told:?}");
    let tokens = ["", "chs_nonsense", &ben.token];
    let mut told: Vec<Value> = Vec::new();
    for token in tokens {
        let error = guest.call("hello", json!({"token": token})).await.expect_err("refused");
        assert!(!error["message"].to_string().contains("chs_"), "{error}");
        told.push(error);
    }
    assert_eq!(told[0], told[1], "{told:?}");
    for used in [code.as_str(), "AAAA-BBBB", ""] {
        let error = ana.call("redeem_first_code", json!({"client_id": client_id(), "code": used})).await.expect_err("refused");
        assert_eq!(error["code"], "code_invalid");
    }
    server.stop().await;
}
