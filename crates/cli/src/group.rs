//! Groups: making them, and who is in them.

use anyhow::Result;
use chirrup_client::{Client, new_client_id};
use chirrup_core::ids::UserId;
use chirrup_protocol::choice::{History, Leaver, Role};
use chirrup_protocol::request::{AddMembers, CreateGroup, Leave, Members, RemoveMember, SetRole, SetTitle};
use clap::{Subcommand, ValueEnum};

use crate::context::{self, Context};
use crate::screen::harmless_line;

/// What to do with a group.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Begin a group, and be its owner.
    Create {
        /// Its title.
        title: String,
        /// First members, by name.
        members: Vec<String>,
        /// What later members see of the time before.
        #[arg(long, value_enum, default_value_t = Past::Full)]
        history: Past,
        /// Former members lose what they could see.
        #[arg(long)]
        leavers_lose: bool,
    },
    /// Add members.
    Add {
        /// The group's title or id.
        group: String,
        /// Names of users.
        #[arg(required = true)]
        members: Vec<String>,
    },
    /// Remove a member.
    Remove {
        /// The group's title or id.
        group: String,
        /// Name of the member.
        member: String,
    },
    /// Leave a group.
    Leave {
        /// The group's title or id.
        group: String,
    },
    /// Give it another title.
    Title {
        /// The group's title or id.
        group: String,
        /// The new title.
        title: String,
    },
    /// List the members.
    Members {
        /// The group's title or id.
        group: String,
    },
    /// Make a member an owner, or an owner a member.
    Role {
        /// The group's title or id.
        group: String,
        /// Name of the member.
        member: String,
        /// As what.
        #[arg(value_enum)]
        role: RoleChoice,
    },
}

/// What later members see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Past {
    /// Everything.
    Full,
    /// Nothing before they came.
    #[value(alias = "from_join")]
    FromJoin,
}

/// Roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleChoice {
    /// Writes and adds.
    Member,
    /// Also removes, renames, deletes.
    Owner,
}

async fn users(client: &Client, names: &[String]) -> Result<Vec<UserId>> {
    let mut users = Vec::with_capacity(names.len());
    for name in names {
        users.push(context::user(client, name).await?.user);
    }
    Ok(users)
}

/// `chirrup group`
pub(crate) async fn run(context: &Context, command: &GroupCommand) -> Result<()> {
    let client = context.connect().await?;
    let client_id = new_client_id();
    let done = match command {
        GroupCommand::Create { title, members, history, leavers_lose } => {
            let members = users(&client, members).await?;
            let history = if *history == Past::Full { History::Full } else { History::FromJoin };
            let leaver = if *leavers_lose { Leaver::Loses } else { Leaver::Keeps };
            let created = client.request(CreateGroup { client_id, title: title.clone(), history, leaver, members }).await?;
            return context.show(&created, || format!("{}  {}", harmless_line(title), created.conversation));
        }
        GroupCommand::Members { group } => return members(context, &client, group).await,
        GroupCommand::Add { group, members } => {
            let conversation = context::conversation(&client, group).await?;
            let users = users(&client, members).await?;
            client.request(AddMembers { client_id, conversation, users }).await?
        }
        GroupCommand::Remove { group, member } => {
            let conversation = context::conversation(&client, group).await?;
            let user = context::user(&client, member).await?.user;
            client.request(RemoveMember { client_id, conversation, user }).await?
        }
        GroupCommand::Leave { group } => {
            let conversation = context::conversation(&client, group).await?;
            client.request(Leave { client_id, conversation }).await?
        }
        GroupCommand::Title { group, title } => {
            let conversation = context::conversation(&client, group).await?;
            client.request(SetTitle { client_id, conversation, title: title.clone() }).await?
        }
        GroupCommand::Role { group, member, role } => {
            let conversation = context::conversation(&client, group).await?;
            let user = context::user(&client, member).await?.user;
            let role = if *role == RoleChoice::Owner { Role::Owner } else { Role::Member };
            client.request(SetRole { client_id, conversation, user, role }).await?
        }
    };
    context.show(&done, || format!("done (#{})", done.seq))
}

async fn members(context: &Context, client: &Client, group: &str) -> Result<()> {
    let conversation = context::conversation(client, group).await?;
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = client.request(Members { conversation, after, limit: 1_000 }).await?;
        all.extend(page.members);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    context.show(&all, || {
        let line = |member: &chirrup_protocol::reply::Member| {
            let role = if member.role == Role::Owner { "  owner" } else { "" };
            format!("{}{role}", crate::people::described(&member.user))
        };
        all.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}
