//! The conversation list, and pages of history.

use anyhow::Result;
use chirrup_core::ids::Seq;
use chirrup_protocol::request::History;

use crate::context::{self, Context};
use crate::screen::Paint;
use crate::show;

/// Messages of a conversation, oldest first.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    /// Conversation: @name of a person, a group's title, or an id.
    to: String,
    /// The nearest messages before the one with this number.
    #[arg(long, value_name = "SEQ", conflicts_with_all = ["after", "around"])]
    before: Option<Seq>,
    /// The nearest messages after it.
    #[arg(long, value_name = "SEQ", conflicts_with = "around")]
    after: Option<Seq>,
    /// Messages around it.
    #[arg(long, value_name = "SEQ")]
    around: Option<Seq>,
    /// The replies in the thread of this message.
    #[arg(long, value_name = "SEQ")]
    thread: Option<Seq>,
    /// At most so many, 1 to 100.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
}

/// `chirrup history`
pub(crate) async fn history(context: &Context, args: &HistoryArgs) -> Result<()> {
    let client = context.connect().await?;
    let conversation = context::conversation(&client, &args.to).await?;
    let (before, after, around) = (args.before, args.after, args.around);
    let page = client.request(History { conversation, before, after, around, thread_root: args.thread, limit: args.limit }).await?;
    let names = context::names(&client, page.messages.iter().filter_map(|m| m.author)).await?;
    let paint = Paint::detect();
    context.show(&page, || {
        let mut lines = show::page(paint, &names, &page.messages, None);
        if page.more_before
            && let Some(first) = page.messages.first()
        {
            lines.insert(0, paint.dim(&format!("… more: --before {}", first.seq)));
        }
        if page.more_after
            && let Some(last) = page.messages.last()
        {
            lines.push(paint.dim(&format!("… more: --after {}", last.seq)));
        }
        lines.join("\n")
    })
}

/// `chirrup conversations`
pub(crate) async fn conversations(context: &Context) -> Result<()> {
    let client = context.connect().await?;
    let conversations = context::conversations(&client).await?;
    let names = context::names(&client, conversations.iter().filter_map(|c| c.with)).await?;
    let paint = Paint::detect();
    context.show(&conversations, || conversations.iter().map(|c| show::conversation(paint, &names, c)).collect::<Vec<_>>().join("\n"))
}
