//! `chirrup chat`: line in, lines out. What is written is sent; what others do is shown as it
//! comes; what is shown is read.

mod input;
mod room;
mod words;

use std::time::Duration;

use anyhow::{Context as _, Result};
use chirrup_client::{Client, Events, Follow, Status};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::context::Context;
use input::{Input, Inputs};
use room::Room;

/// How long what was said last may take when one leaves; it is kept on disk and goes out the next
/// time if it takes longer.
const FAREWELL: Duration = Duration::from_secs(5);

/// Who touches no key for so long, while nothing happens, sits idle.
const IDLE: Duration = Duration::from_mins(5);

/// Talk.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ChatArgs {
    /// Conversation to begin in: @name of a person, a group's title, or an id.
    to: Option<String>,
}

/// `chirrup chat`
pub(crate) async fn run(context: &Context, args: &ChatArgs) -> Result<()> {
    let mut options = context.options()?;
    options.follow = Follow::FromHead;
    options.outbox = Some(context.place.outbox());
    options.receipts = true;
    let (client, mut events) = Client::connect(options)?;
    client.ready().await?;
    let (mut inputs, screen) = input::begin()?;
    let mut room = Room::new(client.clone(), screen, context.profile()?.name);
    let talked = talk(&client, &mut events, &mut inputs, &mut room, args.to.as_deref()).await;
    // The last word goes out before the terminal is given back.
    drop(inputs);
    talked?;
    if let Status::Ended(refusal) = client.status() {
        return Err(chirrup_client::Error::Ended(refusal).into());
    }
    let kept = client.outbox().len();
    client.close().await;
    if kept > 0 {
        eprintln!("chirrup: {kept} not sent yet: kept, and sent by the next chat");
    }
    Ok(())
}

async fn talk(client: &Client, events: &mut Events, inputs: &mut Inputs, room: &mut Room, to: Option<&str>) -> Result<()> {
    let interrupted = inputs.interrupted.clone();
    let mut ended = signal(SignalKind::terminate()).context("failed to hear the signal to end")?;
    tokio::select! {
        greeted = room.greet(to) => greeted?,
        () = interrupted.cancelled() => return Ok(()),
        _ = ended.recv() => return Ok(()),
    }
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => room.happened(event).await?,
                None => return Ok(()),
            },
            input = inputs.lines.recv() => {
                client.idle(false);
                match input {
                    Some(Input::Writing(line)) => room.writing(&line),
                    Some(Input::Line(line)) => tokio::select! {
                        goes_on = room.wish(words::read(&line)) => if !goes_on? { break },
                        // Given up: the person does not want to wait for it.
                        () = interrupted.cancelled() => return Ok(()),
                    },
                    Some(Input::End) | None => break,
                }
            }
            () = sleep(IDLE) => client.idle(true),
            () = interrupted.cancelled() => return Ok(()),
            _ = ended.recv() => return Ok(()),
        }
    }
    // What is not settled by then stays in the outbox.
    let _ = timeout(FAREWELL, farewell(events, room)).await;
    Ok(())
}

/// Waits a moment for what was said last, and shows it.
async fn farewell(events: &mut Events, room: &mut Room) -> Result<()> {
    while !room.at_rest() {
        match events.next().await {
            Some(event) => room.happened(event).await?,
            None => break,
        }
    }
    Ok(())
}
