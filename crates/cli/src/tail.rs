//! `chirrup tail`: follows what happens, and goes on where it stopped.

use std::collections::HashSet;
use std::io::ErrorKind;

use anyhow::{Context as _, Result};
use chirrup_client::{Client, ClientEvent, Follow, Resume};
use chirrup_core::ids::ConversationId;
use chirrup_protocol::event::{Event, Kind};

use crate::context::{self, Context, print_line};
use crate::screen::{Paint, clock, harmless_line};
use crate::show::{self, Names, indented};

/// While much happens, it is stored after so many events how far they went out.
const STORED_EVERY: u64 = 256;

/// Follow what happens; goes on where it stopped the last time.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TailArgs {
    /// Only these conversations: @name of a person, a group's title, or an id.
    to: Vec<String>,
    /// From the beginning instead of where it stopped.
    #[arg(long)]
    all: bool,
}

/// `chirrup tail`
pub(crate) async fn run(context: &Context, args: &TailArgs) -> Result<()> {
    let mut options = context.options()?;
    options.background = true;
    options.resume = if args.all { None } else { load(context)? };
    options.follow = if args.all { Follow::FromBeginning } else { Follow::FromHead };
    let (client, mut events) = Client::connect(options)?;
    client.ready().await?;
    let mut only = HashSet::new();
    for to in &args.to {
        only.insert(context::conversation(&client, to).await?);
    }
    let mut names = Names::new();
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    for count in 1_u64.. {
        // What is there already goes out before it is stored that it did; now and then, in between.
        let here = if count % STORED_EVERY == 0 { None } else { events.try_next() };
        let event = if let Some(event) = here {
            event
        } else {
            save(context, &events.resume())?;
            let next = tokio::select! {
                event = events.next() => event,
                _ = &mut stop => None,
            };
            let Some(event) = next else { break };
            event
        };
        match event {
            ClientEvent::Event { conversation: Some(conversation), event } if only.is_empty() || only.contains(&conversation) => {
                tell(context, &client, &mut names, conversation, &event).await?;
            }
            ClientEvent::Disconnected { failure, .. } => eprintln!("chirrup: {}; reconnecting", harmless_line(&failure.to_string())),
            _ => {}
        }
    }
    save(context, &events.resume())?;
    if let chirrup_client::Status::Ended(refusal) = client.status() {
        return Err(chirrup_client::Error::Ended(refusal).into());
    }
    client.close().await;
    Ok(())
}

fn load(context: &Context) -> Result<Option<Resume>> {
    let path = context.place.resume();
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("failed to read {}", path.display()))?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
    }
}

fn save(context: &Context, resume: &Resume) -> Result<()> {
    chirrup_client::files::replace(&context.place.resume(), &serde_json::to_vec(resume)?)?;
    Ok(())
}

async fn tell(context: &Context, client: &Client, names: &mut Names, conversation: ConversationId, event: &Event) -> Result<()> {
    if context.json {
        return print_line(&serde_json::json!({ "conversation": conversation.to_string(), "event": event }).to_string());
    }
    let mut unknown: Vec<_> = event.author.into_iter().collect();
    if let Kind::MemberAdded { user, .. } | Kind::MemberRemoved { user } = &event.kind {
        unknown.push(*user);
    }
    let about = client.view(|view| view.conversation(conversation).map(chirrup_client::view::ConversationView::about));
    unknown.extend(about.as_ref().and_then(|about| about.with));
    unknown.retain(|user| !names.contains_key(user));
    if !unknown.is_empty() {
        names.extend(context::names(client, unknown).await?);
    }
    let place = about.map_or_else(|| conversation.to_string(), |about| context::called(&about, names));
    match described(names, event) {
        Some(words) => {
            let paint = Paint::detect();
            let head = paint.dim(&format!("{place} #{} {}", event.seq, event.time.map(clock).unwrap_or_default()));
            print_line(&format!("{head} {words}"))
        }
        None => Ok(()),
    }
}

/// An event in words; none for what is hidden.
pub(crate) fn described(names: &Names, event: &Event) -> Option<String> {
    let author = show::name(names, event.author);
    Some(match &event.kind {
        Kind::MessageCreated { text: Some(text), form, .. } if form.is_text() => format!("{author}: {}", indented(text)),
        Kind::MessageCreated { text: Some(text), .. } => format!("* {author} {}", indented(text)),
        Kind::MessageCreated { text: None, .. } => format!("{author}: (deleted)"),
        Kind::MessageEdited { target, text, .. } => {
            format!("{author} edited #{target}: {}", text.as_deref().map_or_else(|| "(deleted)".to_owned(), indented))
        }
        Kind::MessageDeleted { target, .. } => format!("{author} deleted #{target}"),
        Kind::ReactionAdded { target, emoji } => format!("{author} put {} to #{target}", harmless_line(emoji)),
        Kind::ReactionRemoved { target, emoji } => format!("{author} took {} from #{target}", harmless_line(emoji)),
        Kind::MemberAdded { user, .. } => format!("{author} added {}", show::name(names, Some(*user))),
        Kind::MemberRemoved { user } if Some(*user) == event.author => format!("{author} left"),
        Kind::MemberRemoved { user } => format!("{author} removed {}", show::name(names, Some(*user))),
        Kind::RoleChanged { user, role } => format!("{author} made {} {role:?}", show::name(names, Some(*user))).to_lowercase(),
        Kind::ConversationCreated { .. } => format!("{author} began the conversation"),
        Kind::ConversationUpdated { title: Some(title) } => format!("{author} called it {}", harmless_line(title)),
        _ => return None,
    })
}
