//! P1 when the power goes: what was acked is on the disk, not on its way there (rule R-7).

use chirrup_faults::disk::Disk;

use crate::log;
use crate::raw::{User, message, seq, server};

const CUTS: usize = 2;
const SENDS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn p1_what_was_acked_survives_a_power_cut() {
    let mut disk = match Disk::mount() {
        Ok(disk) => disk,
        Err(why) => return println!("SKIPPED: no disk can be mounted here, so no power is cut: {why}"),
    };
    let mut server = server();
    server.stop();
    std::fs::remove_dir_all(server.data()).expect("removed");
    std::os::unix::fs::symlink(disk.path(), server.data()).expect("its data are on the disk from here on");
    server.start_again();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let conversation = ana.on(&server).await.group(&[&ben]).await;
    let mut acked = Vec::new();
    for _ in 0..CUTS {
        let mut writer = ana.on(&server).await;
        for _ in 0..SENDS {
            let request = message(&conversation, &format!("message {}", acked.len()));
            let done = writer.ok("send", request.clone()).await;
            acked.push((request, seq(&done)));
        }
        disk.cut_power().expect("cut");
        server.kill();
        disk.power_on().expect("mounted again");
        server.start_again();
        let found = log::messages(&log::everything(&mut ben.on(&server).await, &conversation).await);
        for (request, seq) in &acked {
            let text = request["text"].as_str().unwrap().to_owned();
            assert_eq!(found.get(request["client_id"].as_str().unwrap()), Some(&(*seq, text)), "acked and lost");
        }
    }
}
