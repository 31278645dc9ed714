//! Sending and changing messages, one at a time.

use anyhow::Result;
use chirrup_client::new_client_id;
use chirrup_core::ids::Seq;
use chirrup_protocol::choice::Form;
use chirrup_protocol::reply::Position;
use chirrup_protocol::request::{Delete, Edit, MarkUnread, Mute, React, Read, Send};

use crate::context::{self, Context};
use crate::failure::Usage;

/// Where a message goes or stands.
const WHERE: &str = "Conversation: @name of a person, a group's title, or an id";
/// Which message.
const WHICH: &str = "Number of the message, as `chirrup history` shows it";

/// Send a message.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SendArgs {
    #[arg(help = WHERE)]
    to: String,
    /// The text; read from standard input if left out.
    text: Vec<String>,
    /// Say it as something done, as `/me` does in chats.
    #[arg(long)]
    action: bool,
    /// Put it into the thread of the message with this number.
    #[arg(long, value_name = "SEQ")]
    thread: Option<Seq>,
    /// With --thread: show it in the conversation itself, too.
    #[arg(long, requires = "thread")]
    also_in_conversation: bool,
}

/// Answer a message.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReplyArgs {
    #[arg(help = WHERE)]
    to: String,
    #[arg(help = WHICH)]
    seq: Seq,
    /// The text; read from standard input if left out.
    text: Vec<String>,
}

/// Replace the text of one's own message.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EditArgs {
    #[arg(help = WHERE)]
    to: String,
    #[arg(help = WHICH)]
    seq: Seq,
    /// The new text; read from standard input if left out.
    text: Vec<String>,
}

/// Delete a message for all.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    #[arg(help = WHERE)]
    to: String,
    #[arg(help = WHICH)]
    seq: Seq,
}

/// Put an emoji to a message.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReactArgs {
    #[arg(help = WHERE)]
    to: String,
    #[arg(help = WHICH)]
    seq: Seq,
    /// The emoji.
    emoji: String,
    /// Take it back.
    #[arg(long)]
    remove: bool,
}

/// Tell that one has read.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReadArgs {
    #[arg(help = WHERE)]
    to: String,
    /// Up to the message with this number; everything if left out.
    seq: Option<Seq>,
    /// Mark the conversation as unread instead.
    #[arg(long, conflicts_with = "seq")]
    unread: bool,
}

/// Want no notifications of a conversation.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MuteArgs {
    #[arg(help = WHERE)]
    to: String,
    /// Want notifications again.
    #[arg(long)]
    off: bool,
}

fn text(words: &[String]) -> Result<String> {
    if words.is_empty() {
        let text = std::io::read_to_string(std::io::stdin()).map_err(|e| Usage(format!("the text on standard input is not UTF-8: {e}")))?;
        return Ok(text.trim_end_matches('\n').to_owned());
    }
    Ok(words.join(" "))
}

/// `chirrup send`
pub(crate) async fn send(context: &Context, args: &SendArgs) -> Result<()> {
    let text = text(&args.text)?;
    let client = context.connect_to_say().await?;
    let conversation = context::conversation(&client, &args.to).await?;
    let (mentions, mention_all) = context::mentions(&client, conversation, &text).await?;
    let form = if args.action { Form::Action } else { Form::Text };
    let send = Send {
        client_id: new_client_id(),
        conversation,
        text,
        form,
        mentions,
        mention_all,
        reply_to: None,
        thread_root: args.thread,
        also_in_conversation: args.also_in_conversation,
    };
    let done = context::say(&client, send).await?;
    context.show(&done, || format!("#{}", done.seq))
}

/// `chirrup reply`
pub(crate) async fn reply(context: &Context, args: &ReplyArgs) -> Result<()> {
    let text = text(&args.text)?;
    let client = context.connect_to_say().await?;
    let conversation = context::conversation(&client, &args.to).await?;
    let (mentions, mention_all) = context::mentions(&client, conversation, &text).await?;
    let send = Send {
        client_id: new_client_id(),
        conversation,
        text,
        form: Form::Text,
        mentions,
        mention_all,
        reply_to: Some(args.seq),
        thread_root: None,
        also_in_conversation: false,
    };
    let done = context::say(&client, send).await?;
    context.show(&done, || format!("#{}", done.seq))
}

/// `chirrup edit`
pub(crate) async fn edit(context: &Context, args: &EditArgs) -> Result<()> {
    let text = text(&args.text)?;
    let client = context.connect_to_say().await?;
    let conversation = context::conversation(&client, &args.to).await?;
    let (mentions, mention_all) = context::mentions(&client, conversation, &text).await?;
    let edit = Edit { client_id: new_client_id(), conversation, target: args.seq, text, mentions, mention_all };
    let done = context::say(&client, edit).await?;
    context.show(&done, || format!("#{} is edited", args.seq))
}

/// `chirrup delete`
pub(crate) async fn delete(context: &Context, args: &DeleteArgs) -> Result<()> {
    let client = context.connect_to_say().await?;
    let conversation = context::conversation(&client, &args.to).await?;
    let done = context::say(&client, Delete { client_id: new_client_id(), conversation, target: args.seq }).await?;
    context.show(&done, || format!("#{} is deleted", args.seq))
}

/// `chirrup react`
pub(crate) async fn react(context: &Context, args: &ReactArgs) -> Result<()> {
    let client = context.connect_to_say().await?;
    let conversation = context::conversation(&client, &args.to).await?;
    let react = React { client_id: new_client_id(), conversation, target: args.seq, emoji: args.emoji.clone(), add: !args.remove };
    let done = context::say(&client, react).await?;
    context.show(&done, String::new)
}

/// `chirrup read`
pub(crate) async fn read(context: &Context, args: &ReadArgs) -> Result<()> {
    let client = context.connect().await?;
    let conversation = context::conversation(&client, &args.to).await?;
    if args.unread {
        let done = client.request(MarkUnread { client_id: new_client_id(), conversation, marked: true }).await?;
        return context.show(&done, String::new);
    }
    let seq = match args.seq {
        Some(seq) => seq,
        None => client.request(chirrup_protocol::request::Conversation { conversation }).await?.head,
    };
    let position: Position = context::ask(&client, "read", &Read { conversation, seq }).await?;
    context.show(&position, || format!("read up to #{}", position.read))
}

/// `chirrup mute`
pub(crate) async fn mute(context: &Context, args: &MuteArgs) -> Result<()> {
    let client = context.connect().await?;
    let conversation = context::conversation(&client, &args.to).await?;
    let done = client.request(Mute { client_id: new_client_id(), conversation, muted: !args.off }).await?;
    context.show(&done, String::new)
}
