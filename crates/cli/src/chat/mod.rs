//! `chirrup chat`: line in, lines out. What is written is sent; what others do is shown as it
//! comes; what is shown is read.

mod input;
mod room;
mod words;

use std::time::Duration;

use anyhow::Result;
use chirrup_client::{Client, ClientEvent, Events, Follow, Status};

use crate::context::Context;
use input::{Input, Screen};
use room::Room;

/// How long what was said last may take when one leaves; it is kept on disk and goes out the next
/// time if it takes longer.
const FAREWELL: Duration = Duration::from_secs(5);

/// Talk.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ChatArgs {
    /// Open this: @name, a group's title, or a conversation's id.
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
    room.greet(args.to.as_deref()).await?;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => room.happened(event).await?,
                None => break,
            },
            input = inputs.recv() => match input {
                Some(Input::Writing(line)) => room.writing(&line),
                Some(Input::Line(line)) => if !room.wish(words::read(&line)).await? { break },
                Some(Input::End) | None => break,
            },
        }
    }
    farewell(&client, &mut events, &mut room).await;
    if let Status::Ended(refusal) = client.status() {
        return Err(chirrup_client::Error::Ended(refusal).into());
    }
    client.close().await;
    Ok(())
}

/// Waits a moment for what was said last.
async fn farewell(client: &Client, events: &mut Events, room: &mut Room) {
    let settled = async {
        while !client.outbox().is_empty() {
            match events.next().await {
                Some(event @ ClientEvent::Settled { .. }) => drop(room.happened(event).await),
                Some(_) => {}
                None => return,
            }
        }
    };
    // What is not settled by then stays in the outbox.
    let _ = tokio::time::timeout(FAREWELL, settled).await;
}
