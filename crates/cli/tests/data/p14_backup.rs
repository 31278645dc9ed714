//! P14: a backup is taken while the server is written to, holds everything that was acked before
//! it began, and comes back as it was; to clients a restored server is one that they begin anew
//! with, while what they sent is known (rules S-3, R-4).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::log;
use crate::raw::{User, message, server};
use crate::support::{Server, output, until};
use crate::world::World;

/// Messages that are acked before the backup begins.
const BEFORE: usize = 600;

/// The command, on this server's data.
fn on_data(server: &Server, arguments: &[&str], path: &Path) -> Command {
    let mut command = server.chirrup("operator");
    command.args(arguments).arg(path).arg("--data-dir").arg(server.data());
    command
}

/// Runs a command to its end without standing in the way of who else runs here.
async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || output(&mut command)).await.unwrap()
}

/// Puts the data of a stopped server away, and a backup in its place.
pub fn replace_by(server: &Server, backup: &Path) {
    std::fs::rename(server.data(), server.data().with_file_name("lost")).unwrap();
    output(&mut on_data(server, &["restore"], backup));
}

/// Sends until it is told to stop; tells each acked seq.
async fn send(
    user: User,
    address: SocketAddr,
    conversation: String,
    acked: watch::Sender<Vec<(String, u64)>>,
    over: watch::Receiver<bool>,
) {
    let mut connection = user.connect(address).await.unwrap();
    let mut n = 0;
    while !*over.borrow() {
        let seq = connection.send(&conversation, &format!("{} says {n}", user.device)).await;
        acked.send_modify(|acked| acked.push((conversation.clone(), seq)));
        n += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p14_a_backup_under_load_has_all_acked_before_and_a_dense_part_of_what_came_meanwhile() {
    let mut server = server();
    let world = World::talk(&server).await;
    let (_, ready) = world.users[1].resume(server.address, None).await.unwrap();
    let cursor = ready["cursor"].as_str().unwrap().to_owned();
    let mut ana = world.users[0].on(&server).await;
    let mut busy = Vec::new();
    for _ in 0..4 {
        busy.push(ana.group(&[&world.users[1]]).await);
    }
    let quiet = world.told(&server).await;

    let (acked, mut acks) = watch::channel(Vec::new());
    let (over, is_over) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for (n, conversation) in busy.iter().cycle().take(8).enumerate() {
        tasks.spawn(send(world.users[n % 2].clone(), server.address, conversation.clone(), acked.clone(), is_over.clone()));
    }
    acks.wait_for(|acked| acked.len() >= BEFORE).await.unwrap();
    let before: Vec<(String, u64)> = acks.borrow().clone();
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    let said: Value = serde_json::from_slice(&run(on_data(&server, &["--json", "backup"], &backup)).await.stdout).unwrap();
    let during = acks.borrow().len() - before.len();
    acks.wait_for(|acked| acked.len() >= before.len() + during + 100).await.unwrap();
    over.send_replace(true);
    tasks.join_all().await;
    assert!(during > 0, "it was written to meanwhile");
    assert!(said["bytes"].as_u64().unwrap() > 0 && backup.join("BACKUP").is_file(), "{said}");

    let mut full = HashMap::new();
    for conversation in &busy {
        full.insert(conversation.clone(), log::everything(&mut ana, conversation).await);
    }
    server.kill();
    replace_by(&server, &backup);
    server.start_again();

    let mut ana = world.users[0].on(&server).await;
    let mut heads = HashMap::new();
    for (conversation, full) in &full {
        let restored = log::everything(&mut ana, conversation).await;
        assert!(restored[..] == full[..restored.len()], "the same, event by event, up to where it ends");
        heads.insert(conversation.as_str(), restored.len() as u64);
    }
    for (conversation, seq) in &before {
        assert!(*seq <= heads[conversation.as_str()], "acked before the backup began, and not in it: {seq} of {conversation}");
    }
    for (device, quiet) in world.told(&server).await.iter().zip(&quiet) {
        for listed in quiet["listed"].as_array().unwrap().iter().filter(|listed| !busy.iter().any(|id| listed["conversation"] == **id)) {
            assert!(device["listed"].as_array().unwrap().contains(listed), "positions and unread messages are as they were: {listed}");
            let id = listed["conversation"].as_str().unwrap();
            assert_eq!(device["logs"][id], quiet["logs"][id]);
        }
    }
    world.assert_known(&server).await;
    let (_, ready) = world.users[1].resume(server.address, Some(&cursor)).await.unwrap();
    assert_eq!(ready["reset"], true, "what the cursor covers may be lost");
    let fresh = ready["cursor"].as_str().unwrap();
    assert_eq!(world.users[1].resume(server.address, Some(fresh)).await.unwrap().1["reset"], false);
    for (conversation, head) in heads {
        assert_eq!(ana.send(conversation, "and on").await, head + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_a_backup_of_a_stopped_server_comes_back_equal_and_goes_nowhere_else() {
    let mut server = server();
    let world = World::talk(&server).await;
    server.stop();
    server.start_again();
    let told = world.told(&server).await;
    server.stop();
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    run(on_data(&server, &["backup"], &backup)).await;

    for (arguments, path, why) in [
        (["backup"], &backup, "is not empty"),
        (["restore"], &backup, "a backup is not restored over a store"),
        (["restore"], &place.path().join("nothing"), "no file BACKUP"),
    ] {
        let refused = on_data(&server, &arguments, path).output().unwrap();
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && words.contains(why), "{arguments:?}: {words}");
    }
    replace_by(&server, &backup);
    let refused = on_data(&server, &["restore"], &backup).output().unwrap();
    assert!(!refused.status.success(), "a second time");
    server.start_again();
    assert_eq!(world.told(&server).await, told);
    world.assert_known(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_the_running_server_makes_backups_for_its_operator_alone_and_one_at_a_time() {
    let server = server();
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("backup");
    let order = json!({ "dir": dir }).to_string();
    let secret = std::fs::read_to_string(server.data().join("admin.token")).unwrap();
    let ask = |method: &str, secret: &str, body: &str| {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(server.admin_address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} /backup HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for method in ["POST", "GET"] {
        assert!(ask(method, "wrong", &order).starts_with("HTTP/1.1 401"));
    }
    assert!(!dir.exists());
    for bad in ["", "{}", r#"{"dir": "relative"}"#, r#"{"dir": "/x", "more": 1}"#] {
        assert!(ask("POST", &secret, bad).starts_with("HTTP/1.1 400"), "{bad}");
    }
    assert!(ask("POST", &secret, &format!("{order}{}", " ".repeat(8 << 10))).starts_with("HTTP/1.1 400"));
    assert!(ask("GET", &secret, "").contains(r#"{"state":"none"}"#));
    assert!(ask("POST", &secret, &order).starts_with("HTTP/1.1 202"));
    let other = ask("POST", &secret, &json!({ "dir": place.path().join("other") }).to_string());
    assert!(other.starts_with("HTTP/1.1 409") || dir.join("BACKUP").exists(), "{other}");
    until("no backup is under way", || ask("GET", &secret, "").contains(r#""state":"done""#));
    assert!(dir.join("BACKUP").exists());
    let mut ana = User::sign_up(&server, "ana").await.on(&server).await;
    let group = ana.group(&[]).await;
    ana.ok("send", message(&group, "it serves all the while")).await;
}
