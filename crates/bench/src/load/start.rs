//! From the start of a server that was killed with -9 to its first page and its first durable ack.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::pages;
use crate::clock;
use crate::server::Server;
use crate::wire::Wire;
use crate::world::{World, client_ids};

/// How long the server may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// Starts a server on this data; seconds to the first page, and to the first ack.
pub(crate) async fn run(world: &World, data: &Path) -> Result<(Server, f64, f64)> {
    let began = clock::now();
    let server = Server::spawn(&world.program, data)?;
    let mut wire = loop {
        match Wire::log_in(server.address, None, &world.talkers[0].token).await {
            Ok(wire) => break wire,
            Err(error) if clock::since(began) > PATIENCE => return Err(error).context("the server does not serve"),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    let conversation = &world.pairs[0][0];
    pages::page(&mut wire, conversation, None).await?;
    let page_seconds = clock::since(began).as_secs_f64();
    let ack = wire.ask("send", &super::send_params(&client_ids(0).make(), conversation, "the first")).await?;
    ensure!(ack["seq"].is_u64(), "no ack: {ack}");
    Ok((server, page_seconds, clock::since(began).as_secs_f64()))
}
