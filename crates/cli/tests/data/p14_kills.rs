//! P14 under kill -9: of the command that waits for a backup, of the server that makes it, and of
//! a restore. Whatever is left is whole, or refused by name.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::p14_backup::replace_by;
use crate::raw::server;
use crate::support::{PATIENCE, Server, end, output, until};
use crate::world::{files, filled};

fn begin(server: &Server, what: &str, path: &Path) -> Child {
    let mut command: Command = server.chirrup("operator");
    command.arg(what).arg(path).arg("--data").arg(server.data());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until a directory has so many files, or the process has ended.
fn wait_for_files(dir: &Path, least: usize, child: &mut Child) {
    until("there are files", || files(dir) >= least || child.try_wait().unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_kill_9_of_the_command_or_of_the_server_leaves_a_whole_backup_or_one_that_is_refused() {
    let (mut server, world) = filled(server()).await;
    let told = world.told(&server).await;
    let place = tempfile::tempdir().unwrap();

    // The command: the server goes on, and its backup is whole.
    let followed = place.path().join("followed");
    let mut command = begin(&server, "backup", &followed);
    wait_for_files(&followed, 1, &mut command);
    command.kill().unwrap();
    command.wait().unwrap();
    until("the server has made it whole", || followed.join("BACKUP").exists());

    // The server, in the middle of it.
    let mut cut_off = Vec::new();
    for least in [1, 8, 16, 24, 32] {
        let dir = place.path().join(format!("cut off at {least}"));
        let mut command = begin(&server, "backup", &dir);
        wait_for_files(&dir, least, &mut command);
        server.kill();
        let ended = end(&mut command);
        server.start_again();
        if dir.join("BACKUP").exists() {
            continue;
        }
        assert_eq!(ended.code(), Some(1), "the command tells that there is no backup");
        cut_off.push(dir);
    }
    println!("{} of 5 backups were cut off", cut_off.len());
    assert!(!cut_off.is_empty(), "no kill met a backup: the data is too small");
    assert_eq!(world.told(&server).await, told, "nothing acked was lost");
    server.stop();
    for dir in &cut_off {
        let mut elsewhere = server.chirrup("operator");
        let refused = elsewhere.arg("restore").arg(dir).arg("--data").arg(place.path().join("elsewhere")).output().unwrap();
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && words.contains("no file BACKUP"), "{words}");
        assert_eq!(files(&place.path().join("elsewhere")), 0);
    }
    replace_by(&server, &followed);
    server.start_again();
    assert_eq!(world.told(&server).await, told);
    world.assert_known(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_kill_9_of_a_restore_at_any_step_leaves_nothing_half_made_and_it_can_be_begun_again() {
    let (mut server, world) = filled(server()).await;
    let told = world.told(&server).await;
    server.stop();
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    let mut command = server.chirrup("operator");
    output(command.arg("backup").arg(&backup).arg("--data").arg(server.data()));
    std::fs::rename(server.data(), place.path().join("lost")).unwrap();
    let all = files(&backup);
    let (store, staging): (PathBuf, PathBuf) = (server.data().join("store"), server.data().join("store.restoring"));
    let mut met = 0;
    for least in (1..=all).step_by(all / 12) {
        let mut restore = begin(&server, "restore", &backup);
        wait_for_files(&staging, least, &mut restore);
        restore.kill().unwrap();
        restore.wait().unwrap();
        if store.exists() {
            // It was whole already: away with it.
            std::fs::remove_dir_all(&store).unwrap();
        } else {
            met += 1;
        }
    }
    println!("{met} restores were cut off");
    assert!(met >= 3, "too few kills met a restore within {PATIENCE:?}");
    let mut restore = begin(&server, "restore", &backup);
    assert!(end(&mut restore).success());
    assert!(!staging.exists(), "nothing is left beside it");
    server.start_again();
    assert_eq!(world.told(&server).await, told);
    world.assert_known(&server).await;
}
