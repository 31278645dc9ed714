//! Accounts and devices: sign-up and log-in with their retries, passwords, revocation.

mod common;

use common::{Client, PASSWORD, Server, client_id};
use serde_json::{Value, json};

async fn sign_up(server: &Server, params: Value) -> Result<Value, Value> {
    server.connect().await.call("sign_up", params).await
}

#[tokio::test(flavor = "multi_thread")]
async fn r6_parallel_retries_of_a_sign_up_make_one_user_and_one_device() {
    let server = Server::start(&[]).await;
    let params = json!({"client_id": client_id(), "name": "ana", "password": PASSWORD});
    let mut tries = Vec::new();
    for _ in 0..20 {
        let mut client = server.connect().await;
        let params = params.clone();
        tries.push(async move { client.ok("sign_up", params).await });
    }
    let told = futures_util::future::join_all(tries).await;
    assert!(told.iter().all(|t| t == &told[0]), "one user, one device, and a token that is good for all: {told:?}");
    let mut client = server.connect().await;
    client.logged_in(&told[19]);
    client.hello(None).await;
    assert_eq!(client.ok("devices", json!({})).await["devices"].as_array().map(Vec::len), Some(1));
    let server = server.restart().await;
    let again = sign_up(&server, params.clone()).await.expect("a retry after a restart");
    assert_eq!((&again["user"], &again["device"]), (&told[0]["user"], &told[0]["device"]));
    assert_ne!(again["token"], told[0]["token"], "the same device gets another token");
    let mut old = server.connect().await;
    assert_eq!(old.code("hello", json!({"token": told[0]["token"]})).await, "token_invalid");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r6_a_sign_up_is_retried_by_its_own_request_only() {
    let server = Server::start(&[]).await;
    let params = json!({"client_id": client_id(), "name": "ana", "password": PASSWORD});
    sign_up(&server, params.clone()).await.expect("made");
    let changed = |key: &str, value: &str| {
        let mut other = params.clone();
        other[key] = value.into();
        other
    };
    let code = async |params| sign_up(&server, params).await.expect_err("refused")["code"].clone();
    assert_eq!(code(changed("password", "another long one")).await, "client_id_conflict");
    assert_eq!(code(changed("display_name", "Anna")).await, "client_id_conflict");
    assert_eq!(code(changed("client_id", &client_id())).await, "name_taken");
    let mut look_alike = changed("client_id", &client_id());
    look_alike["name"] = "АNA".into();
    assert_eq!(code(look_alike).await, "name_taken", "a Cyrillic А looks alike");
    for (key, value, expected) in [
        ("password", "short", "password_refused"),
        ("password", "Password123", "password_refused"),
        ("name", "a b", "text_refused"),
        ("name", "", "text_refused"),
        ("display_name", " ", "text_refused"),
        ("device_label", "a\u{7}b", "text_refused"),
    ] {
        let mut bad = changed("client_id", &client_id());
        bad[key] = value.into();
        assert_eq!(code(bad).await, expected, "{key} {value:?}");
    }
    server.stop().await;
    let closed = Server::start(&[("server.sign_up", "closed")]).await;
    assert_eq!(sign_up(&closed, params).await.expect_err("refused")["code"], "sign_up_closed");
    closed.stop().await;
}

async fn log_in(server: &Server, name: &str, password: &str) -> Result<Client, Value> {
    let mut client = server.connect().await;
    let told = client.call("log_in", json!({"client_id": client_id(), "name": name, "password": password})).await?;
    client.logged_in(&told);
    client.hello(None).await;
    Ok(client)
}

#[tokio::test(flavor = "multi_thread")]
async fn r13_a_wrong_name_and_a_wrong_password_are_one_answer() {
    let server = Server::start(&[]).await;
    server.join("ana").await;
    let mut answers = Vec::new();
    for (name, password) in [("ana", "wrong password"), ("nobody", PASSWORD), ("no name\u{0}", PASSWORD), ("ana", &"x".repeat(9_999))] {
        answers.push(log_in(&server, name, password).await.err().expect("refused"));
    }
    assert!(answers.iter().all(|a| a == &answers[0] && a["code"] == "credentials_invalid"), "{answers:?}");
    log_in(&server, "ANA", PASSWORD).await.expect("names are known in any case");
    let mut last = Value::Null;
    for _ in 0..10 {
        last = log_in(&server, "ana", "wrong password").await.err().expect("refused");
    }
    assert_eq!((&last["code"], &last["retry"]), (&json!("too_many"), &json!("after")));
    assert!(last["after_ms"].as_u64().is_some_and(|ms| ms > 1_000), "{last}");
    log_in(&server, "nobody", PASSWORD).await.err().expect("another name is not concerned, and is nobody");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_p16_revoked_devices_are_closed_at_once() {
    let server = Server::start(&[]).await;
    let mut first = server.join("ana").await;
    let mut second = log_in(&server, "ana", PASSWORD).await.expect("logged in");
    let mut third = log_in(&server, "ana", PASSWORD).await.expect("logged in");
    let devices = first.ok("devices", json!({})).await;
    let devices = devices["devices"].as_array().expect("devices");
    assert_eq!(devices.len(), 3);
    assert!(devices.iter().all(|d| d["connected"] == true && (d["this"] == true) == (d["device"] == first.device)));

    let revoke = json!({"client_id": client_id(), "device": second.device});
    let done = first.ok("revoke_device", revoke.clone()).await;
    let closed = second.shut_out().await;
    assert_eq!((closed.code, &closed.closing.expect("told")["code"]), (4004, &json!("token_invalid")));
    let retried = first.ok("revoke_device", revoke).await;
    assert_eq!((&retried["seq"], &retried["duplicate"]), (&done["seq"], &json!(true)));

    let change = json!({"client_id": client_id(), "old": PASSWORD, "new": "another long one"});
    let mut wrong = change.clone();
    wrong["old"] = "wrong password".into();
    assert_eq!(first.code("change_password", wrong).await, "credentials_invalid");
    first.ok("change_password", change.clone()).await;
    assert_eq!(third.shut_out().await.code, 4004);
    first.ok("change_password", change).await;
    log_in(&server, "ana", PASSWORD).await.err().expect("the old one is of no use");
    log_in(&server, "ana", "another long one").await.expect("the new one is");

    assert_eq!(first.ok("log_out", json!({})).await, json!({}));
    assert_eq!(first.shut_out().await.code, 4004);
    let mut again = server.connect().await;
    assert_eq!(again.code("hello", json!({"token": first.token})).await, "token_invalid");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p16_administrators_close_accounts_and_reset_passwords() {
    let server = Server::start(&[]).await;
    let (mut ana, mut ben) = (server.join("ana").await, server.join("ben").await);
    let code = server.info.first_code.clone().expect("a code");
    ana.ok("redeem_first_code", json!({"client_id": client_id(), "code": code})).await;
    let (own, other) = (ana.user.clone(), ben.user.clone());
    let on = |user: &str| json!({"client_id": client_id(), "user": user});
    assert_eq!(ben.code("disable_user", on(&own)).await, "forbidden");
    assert_eq!(ana.code("disable_user", on(&own)).await, "forbidden", "nobody locks themselves out");
    assert_eq!(ana.code("set_administrator", json!({"client_id": client_id(), "user": own, "administrator": false})).await, "last_one");
    let mut reset = on(&other);
    reset["password"] = "a new long one".into();
    ana.ok("reset_password", reset).await;
    assert_eq!(ben.shut_out().await.code, 4004);
    log_in(&server, "ben", PASSWORD).await.err().expect("the old one is of no use");
    let mut ben = log_in(&server, "ben", "a new long one").await.expect("the new one is");
    log_in(&server, "ana", PASSWORD).await.expect("the administrator's own stands");
    ana.ok("disable_user", on(&other)).await;
    let closed = ben.shut_out().await;
    assert!([4004, 4006].contains(&closed.code), "{closed:?}");
    assert_eq!(log_in(&server, "ben", "a new long one").await.err().expect("closed")["code"], "account_disabled");
    assert_eq!(ana.code("create_direct", json!({"client_id": client_id(), "with": other})).await, "not_found");
    let mut open = on(&other);
    open["disabled"] = false.into();
    ana.ok("disable_user", open).await;
    log_in(&server, "ben", "a new long one").await.expect("open again");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e10_history_is_imported_in_its_authors_names() {
    let server = Server::start(&[]).await;
    let mut admin = server.join("admin.one").await;
    let import = json!({"client_id": client_id(), "name": "oldtimer"});
    assert_eq!(admin.code("import_user", import.clone()).await, "forbidden");
    let code = server.info.first_code.clone().expect("a code");
    admin.ok("redeem_first_code", json!({"client_id": client_id(), "code": code})).await;
    let user = admin.ok("import_user", import.clone()).await;
    assert_eq!(admin.ok("import_user", import).await, user, "a retry finds the same");
    let group = admin.ok("create_group", json!({"client_id": client_id(), "title": "#old", "members": [user["user"]]})).await;
    let message = json!({
        "client_id": client_id(), "conversation": group["conversation"], "author": user["user"],
        "text": "from long ago", "form": "action", "original_time": "2004-07-03T10:00:00.000Z"
    });
    let done = admin.ok("import_message", message.clone()).await;
    assert_eq!(admin.ok("import_message", message).await["seq"], done["seq"]);
    let history = admin.ok("history", json!({"conversation": group["conversation"]})).await;
    let message = &history["messages"][0];
    assert_eq!(
        (&message["author"], &message["form"], &message["original_time"]),
        (&user["user"], &json!("action"), &json!("2004-07-03T10:00:00.000Z"))
    );
    assert!(log_in(&server, "oldtimer", PASSWORD).await.is_err(), "there is no password");
    server.stop().await;
}
