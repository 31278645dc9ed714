//! Floors of the network: a bare send loop, and an echo over loopback with one sync to disk.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, poll};

use super::PlainFile;
use crate::clock;

/// Receivers of the send loop.
const RECEIVERS: usize = 200;
/// Between two echoes, as of a load of 1,000 a second.
const ECHO_EVERY: Duration = Duration::from_millis(1);
/// Bytes of an echoed record.
const RECORD_BYTES: usize = 300;

/// Frames a second that one thread writes to 200 sockets in turn, one call a frame.
pub(crate) fn send_loop(frame_bytes: usize, seconds: u64) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..RECEIVERS {
        senders.push(TcpStream::connect(address)?);
        receivers.push(listener.accept()?.0);
    }
    let reader = thread::spawn(move || drain(receivers));
    let frame = vec![b'x'; frame_bytes];
    let began = clock::now();
    let mut sent = 0_u64;
    while clock::since(began) < Duration::from_secs(seconds) {
        for sender in &mut senders {
            sender.write_all(&frame)?;
        }
        sent += RECEIVERS as u64;
    }
    let rate = sent as f64 / clock::since(began).as_secs_f64();
    drop(senders);
    reader.join().map_err(|_| anyhow!("the reader panicked"))??;
    Ok(rate)
}

fn drain(mut receivers: Vec<TcpStream>) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    while !receivers.is_empty() {
        let mut fds: Vec<PollFd<'_>> = receivers.iter().map(|r| PollFd::new(r, PollFlags::IN)).collect();
        poll(&mut fds, None)?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut places = ready.iter();
        let mut failed = None;
        receivers.retain_mut(|receiver| {
            !places.next().is_some_and(|ready| *ready)
                || match receiver.read(&mut buffer) {
                    Ok(count) => count > 0,
                    Err(error) => {
                        failed = Some(error);
                        false
                    }
                }
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
    }
    Ok(())
}

/// Times in microseconds of an echo over loopback by a thread that first writes what it got to a
/// file and syncs it; at most 1,000 a second.
pub(crate) fn echo(dir: &Path, count: u32) -> Result<Histogram<u64>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut file = PlainFile::create(&dir.join("echo"))?;
    let echoer = thread::spawn(move || -> Result<()> {
        let mut record = [0; RECORD_BYTES];
        for _ in 0..count {
            server.read_exact(&mut record)?;
            file.write(&record)?;
            server.write_all(&record)?;
        }
        Ok(())
    });
    let mut times = Histogram::new_with_bounds(1, 60_000_000, 3)?;
    let mut record = [0; RECORD_BYTES];
    let began = clock::now();
    for number in 0..count {
        clock::sleep_until(began + ECHO_EVERY * number);
        let sent = clock::now();
        client.write_all(&record)?;
        client.read_exact(&mut record)?;
        times.saturating_record(u64::try_from(clock::since(sent).as_micros()).unwrap_or(u64::MAX));
    }
    echoer.join().map_err(|_| anyhow!("the echo panicked"))??;
    Ok(times)
}
