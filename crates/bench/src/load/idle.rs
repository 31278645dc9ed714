//! Memory of a connection that is logged in and does nothing.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;

use crate::server::Server;
use crate::wire::Wire;
use crate::world::World;

/// Connections from one source address: beyond some 10,000 connects collapse.
const FROM_ONE_ADDRESS: usize = 4_000;
/// Connects under way at once.
const AT_ONCE: usize = 50;
/// Until what the handshakes took is given back.
const SETTLE: Duration = Duration::from_secs(3);

/// Bytes of the server's resident memory for each of so many connections.
pub(crate) async fn run(world: &World, server: &Server, count: usize) -> Result<f64> {
    let before = server.resident_bytes()?;
    let mut tasks = JoinSet::new();
    for worker in 0..AT_ONCE {
        let tokens: Vec<String> = world.talkers.iter().map(|person| person.token.clone()).collect();
        let address = server.address;
        tasks.spawn(async move {
            let mut wires = Vec::new();
            for place in (worker..count).step_by(AT_ONCE) {
                let from = Ipv4Addr::new(127, 0, 0, 2 + (place / FROM_ONE_ADDRESS) as u8);
                wires.push(Wire::log_in(address, Some(from), &tokens[place % tokens.len()]).await?);
            }
            Ok(wires)
        });
    }
    let wires = super::join(tasks).await?;
    tokio::time::sleep(SETTLE).await;
    let after = server.resident_bytes()?;
    drop(wires);
    Ok((after - before) / count as f64)
}
