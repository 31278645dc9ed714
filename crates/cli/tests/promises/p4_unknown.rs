//! P4: an answer is ok, failed or unknown. What failed never appears; what is unknown is settled by
//! trying again (rule R-7).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::log;
use crate::random::Random;
use crate::raw::{Failure, User, client_id, message, seq, server};

const SEED: u64 = 4;

/// What a [`Proxy`] does with the connection that goes through it.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Passes everything on.
    None,
    /// Passes requests on, and swallows what is answered.
    SwallowAnswers,
    /// Passes so many bytes of requests on, then cuts both sides off.
    CutAfter(usize),
}

impl Fault {
    /// How many of these bytes are passed on, and whether nothing is after them.
    fn on(&mut self, from_client: bool, length: usize) -> (usize, bool) {
        match (self, from_client) {
            (Self::SwallowAnswers, false) => (0, false),
            (Self::CutAfter(left), true) if *left <= length => (*left, true),
            (Self::CutAfter(left), true) => {
                *left -= length;
                (length, false)
            }
            _ => (length, false),
        }
    }
}

/// Stands between a client and the server.
struct Proxy {
    address: SocketAddr,
    fault: Arc<Mutex<Fault>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let fault = Arc::new(Mutex::new(Fault::None));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&fault);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, fault, _tasks: tasks }
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock().expect("no panic") = fault;
    }
}

/// One connection, until a side ends or a fault does.
async fn pass(mut client: TcpStream, server: SocketAddr, fault: Arc<Mutex<Fault>>) {
    let mut server = TcpStream::connect(server).await.expect("the server listens");
    let (mut asked, mut answered) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    loop {
        let (from_client, read) = tokio::select! {
            read = client.read(&mut asked) => (true, read),
            read = server.read(&mut answered) => (false, read),
        };
        let Ok(length @ 1..) = read else { return };
        let (pass, cut) = fault.lock().expect("no panic").on(from_client, length);
        let written = if from_client { server.write_all(&asked[..pass]).await } else { client.write_all(&answered[..pass]).await };
        if cut || written.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_send_whose_ack_was_swallowed_is_settled_by_trying_again() {
    let server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let mut reader = ben.on(&server).await;
    let mut retrier = ana.on(&server).await;
    let conversation = retrier.group(&[&ben]).await;
    let proxy = Proxy::before(server.address).await;
    for round in 0..10 {
        proxy.set(Fault::None);
        let mut cut_off = ana.connect(proxy.address).await.expect("a session");
        proxy.set(Fault::SwallowAnswers);
        let request = message(&conversation, &format!("round {round}"));
        cut_off.post("send", &request).await.expect("sent");
        // That it took effect is seen elsewhere: the sender will never be told.
        let pushed = reader.push(|push| push["data"]["event"]["client_id"] == request["client_id"]).await.expect("pushed");
        drop(cut_off);
        let settled = retrier.ok("send", request).await;
        assert_eq!((&settled["seq"], &settled["duplicate"]), (&pushed["data"]["event"]["seq"], &json!(true)));
    }
    let events = log::everything(&mut reader, &conversation).await;
    assert_eq!(log::messages(&events).len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_a_connection_cut_anywhere_in_its_sends_leaves_each_done_once_or_not_at_all() {
    let server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let mut retrier = ana.on(&server).await;
    let conversation = retrier.group(&[&ben]).await;
    let proxy = Proxy::before(server.address).await;
    let mut random = Random(SEED);
    let (mut settled, mut abandoned, mut met) = (Vec::new(), Vec::new(), [0, 0]);
    for round in 0..40 {
        proxy.set(Fault::None);
        let mut cut_off = ana.connect(proxy.address).await.expect("a session");
        // Three sends of some 200 bytes each.
        proxy.set(Fault::CutAfter(random.below(700) as usize));
        let requests = [0, 1, 2].map(|n| message(&conversation, &format!("round {round}, {n}")));
        let mut acked = Vec::new();
        let mut ids = Vec::new();
        for request in &requests {
            ids.push(cut_off.post("send", request).await.ok());
        }
        for id in ids {
            let reply = match id {
                Some(id) => cut_off.reply(id).await,
                None => Err(Failure::Gone(None)),
            };
            acked.push(match reply {
                Ok(done) => Some(seq(&done)),
                Err(Failure::Gone(_)) => None,
                Err(Failure::Refused(error)) => panic!("nothing is wrong with it: {error}"),
            });
        }
        for (request, acked) in requests.into_iter().zip(acked) {
            if acked.is_none() && random.below(4) == 0 {
                abandoned.push(request);
                continue;
            }
            let again = retrier.ok("send", request.clone()).await;
            assert!(acked.is_none_or(|acked| acked == seq(&again) && again["duplicate"] == true), "{again}");
            met[usize::from(again["duplicate"] == true)] += usize::from(acked.is_none());
            settled.push((request, seq(&again)));
        }
    }
    assert!(met[0] > 0 && met[1] > 0, "unknown ones that took effect, and that did not: {met:?}");
    for user in [&ana, &ben] {
        let mut reader = user.on(&server).await;
        let mut found = log::messages(&log::everything(&mut reader, &conversation).await);
        for (request, seq) in &settled {
            let told = found.remove(request["client_id"].as_str().unwrap());
            assert_eq!(told, Some((*seq, request["text"].as_str().unwrap().to_owned())));
        }
        for request in &abandoned {
            // Unknown for ever: once, or not at all.
            found.remove(request["client_id"].as_str().unwrap());
        }
        assert!(found.is_empty(), "nothing that was never sent: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_what_failed_never_appears() {
    let mut server = server();
    let (ana, ben) = (User::sign_up(&server, "ana").await, User::sign_up(&server, "ben").await);
    let (mut writer, mut reader) = (ana.on(&server).await, ben.on(&server).await);
    let conversation = writer.group(&[&ben]).await;
    let private = reader.group(&[]).await;
    let stands = writer.send(&conversation, "this one stands").await;
    let never = "this one failed";
    let with = |more: serde_json::Value| {
        let mut params = message(&conversation, never);
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let failing = [
        ("send", with(json!({"reply_to": 1_000})), "message_not_found"),
        ("send", with(json!({"thread_root": 1_000})), "message_not_found"),
        ("send", with(json!({"text": format!("{never}{}", "x".repeat(8_192))})), "text_refused"),
        ("send", with(json!({"mentions": ["u_nobody"]})), "bad_request"),
        ("send", with(json!({"conversation": private})), "not_found"),
        ("send", with(json!({"surprise": true})), "bad_request"),
        ("edit", json!({"client_id": client_id(), "conversation": conversation, "target": stands + 7, "text": never}), "message_not_found"),
    ];
    reader.forbidden.push(never.to_owned());
    for restarted in [false, true] {
        if restarted {
            server.kill();
            server.start_again();
            (writer, reader) = (ana.on(&server).await, ben.on(&server).await);
            reader.forbidden.push(never.to_owned());
        }
        for (method, params, expected) in &failing {
            assert_eq!(writer.refused(method, params.clone()).await, *expected, "{params}");
        }
        let marker = writer.send(&conversation, "a marker").await;
        reader.push(|push| push["data"]["event"]["seq"] == marker).await.expect("pushed");
        assert_eq!(log::messages(&log::everything(&mut reader, &conversation).await).len(), 1 + 1 + usize::from(restarted));
        log::everything(&mut reader, &private).await;
    }
}
