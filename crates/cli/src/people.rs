//! Finding people, and seeing who is there.

use anyhow::Result;
use chirrup_protocol::reply::{Presence, Presences, Status, User};
use chirrup_protocol::request::Watch;

use crate::context::{self, Context};
use crate::screen::{date, harmless_line};

/// A user by exact name.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FindArgs {
    /// The name, in any case.
    name: String,
}

/// Who is online.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WhoArgs {
    /// Names; if none is given, all with whom you have a direct conversation.
    names: Vec<String>,
}

/// `chirrup find`
pub(crate) async fn find(context: &Context, args: &FindArgs) -> Result<()> {
    let client = context.connect().await?;
    let user = context::user(&client, &args.name).await?;
    context.show(&user, || described(&user))
}

/// A user in a line.
pub(crate) fn described(user: &User) -> String {
    let shown = harmless_line(&user.display_name);
    let beside = if shown == user.name { String::new() } else { format!(" ({shown})") };
    let closed = if user.disabled { "  disabled" } else { "" };
    format!("@{}{beside}  {}{closed}", harmless_line(&user.name), user.user)
}

/// `chirrup who`
pub(crate) async fn who(context: &Context, args: &WhoArgs) -> Result<()> {
    let client = context.connect().await?;
    let mut users = Vec::new();
    if args.names.is_empty() {
        users.extend(context::conversations(&client).await?.into_iter().filter_map(|c| c.with));
    } else {
        for name in &args.names {
            users.push(context::user(&client, name).await?.user);
        }
    }
    let mut presences = Vec::new();
    for some in users.chunks(chirrup_protocol::limits::WATCH_MAX) {
        let seen: Presences = context::ask(&client, "watch", &Watch { users: some.to_vec() }).await?;
        presences.extend(seen.presences);
    }
    let names = context::names(&client, users).await?;
    context.show(&presences, || {
        let line = |presence: &Presence| {
            let name = names.get(&presence.user).cloned().unwrap_or_else(|| presence.user.to_string());
            format!("@{}  {}", harmless_line(&name), status(presence))
        };
        presences.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// How somebody is, in words.
pub(crate) fn status(presence: &Presence) -> String {
    let since = presence.last_active_at.map(|at| format!(", last active {}", date(at))).unwrap_or_default();
    match presence.status {
        Status::Online => "online".to_owned(),
        Status::Away => format!("away{since}"),
        Status::Offline => format!("offline{since}"),
    }
}
