//! What every command needs: the profile, the connection, and finding people and conversations
//! by what people call them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chirrup_client::call::Say;
use chirrup_client::machine::Withdrawal;
use chirrup_client::{Address, Client, Error as ClientError, Options, new_client_id};
use chirrup_core::ids::{ConversationId, UserId};
use chirrup_protocol::reply::{Conversation, Done, User};
use chirrup_protocol::request::{Conversations, CreateDirect, Find, Members, Users};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{NotLoggedIn, ReaderGone, Usage};
use crate::profile::{Place, Profile};
use crate::screen::harmless_line;

/// Profiles asked in one request.
const USERS_AT_ONCE: usize = 100;
/// Members among whom a name in a text is looked for.
const MENTIONABLE: u32 = 1_000;
/// The server if none is named.
const SERVER: &str = "ws://127.0.0.1:7400";

/// Options of all client commands.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Answer as JSON, for scripts.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Which login to use; several people or servers can share one machine.
    #[arg(long, global = true, value_name = "NAME", env = "CHIRRUP_PROFILE", default_value = "default")]
    profile: String,
    /// Where logins are kept; ~/.config/chirrup if not given.
    #[arg(long, global = true, value_name = "DIR", env = "CHIRRUP_PROFILE_DIR")]
    profile_dir: Option<PathBuf>,
    /// The server, such as `wss://chat.example`; if not given, that of the login, or `ws://127.0.0.1:7400`.
    #[arg(long, global = true, value_name = "URL", env = "CHIRRUP_SERVER")]
    server: Option<String>,
    /// Certificate authorities to trust (PEM) instead of the system's.
    #[arg(long, global = true, value_name = "FILE", env = "CHIRRUP_CA_FILE")]
    ca_file: Option<PathBuf>,
}

/// What a command works with.
pub(crate) struct Context {
    /// Whether to answer as JSON.
    pub(crate) json: bool,
    /// Where the profile lies.
    pub(crate) place: Place,
    server: Option<String>,
    ca_file: Option<PathBuf>,
}

impl Context {
    /// Of the options.
    pub(crate) fn new(global: &Global) -> Result<Self> {
        let place = Place::new(global.profile_dir.clone(), &global.profile).map_err(|e| Usage(e.to_string()))?;
        Ok(Self { json: global.json, place, server: global.server.clone(), ca_file: global.ca_file.clone() })
    }

    /// The login.
    pub(crate) fn profile(&self) -> Result<Profile> {
        Ok(self.place.load()?.ok_or(NotLoggedIn)?)
    }

    /// The server: the one named, the login's, or the one of this machine.
    pub(crate) fn server(&self) -> Result<Address> {
        let text = match (&self.server, self.place.load()?) {
            (Some(server), _) => server.clone(),
            (None, Some(profile)) => profile.server,
            (None, None) => SERVER.to_owned(),
        };
        Ok(text.parse()?)
    }

    /// Options of a connection with the login.
    pub(crate) fn options(&self) -> Result<Options> {
        let mut options = Options::new(self.server()?, Some(self.profile()?.token));
        options.ca_file.clone_from(&self.ca_file);
        Ok(options)
    }

    /// Options of a connection without a login.
    pub(crate) fn unknown(&self) -> Result<Options> {
        let mut options = Options::new(self.server()?, None);
        options.ca_file.clone_from(&self.ca_file);
        Ok(options)
    }

    /// A connection without a login.
    pub(crate) async fn connect_unknown(&self) -> Result<Client> {
        let (client, _) = Client::connect(self.unknown()?)?;
        client.ready().await?;
        Ok(client)
    }

    /// A session of the login.
    pub(crate) async fn connect(&self) -> Result<Client> {
        let mut options = self.options()?;
        // Asking something does not make one seem to be there.
        options.background = true;
        let (client, _) = Client::connect(options)?;
        client.ready().await?;
        Ok(client)
    }

    /// The same, with the outbox, for commands that say something.
    pub(crate) async fn connect_to_say(&self) -> Result<Client> {
        let mut options = self.options()?;
        options.background = true;
        options.outbox = Some(self.place.outbox());
        let (client, _) = Client::connect(options)?;
        client.ready().await?;
        Ok(client)
    }

    /// Shows an answer: as JSON, or as these words.
    pub(crate) fn show<T: Serialize>(&self, answer: &T, words: impl FnOnce() -> String) -> Result<()> {
        if self.json {
            print_line(&serde_json::to_string(answer)?)
        } else {
            let words = words();
            if words.is_empty() { Ok(()) } else { print_line(&words) }
        }
    }
}

/// Prints; a reader that has gone away (`| head`) ends the command, and is no mistake.
pub(crate) fn print_line(line: &str) -> Result<()> {
    use std::io::Write as _;
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        other => Ok(other?),
    }
}

/// Says something by way of the outbox, so that it takes effect once even if this process dies.
pub(crate) async fn say(client: &Client, say: impl Say) -> Result<Done> {
    let saying = client.say(say)?;
    let client_id = saying.client_id;
    let outcome = match tokio::time::timeout(Duration::from_millis(ANSWER_MS), saying).await {
        Ok(outcome) => outcome,
        Err(_) => Err(match client.withdraw(client_id) {
            Withdrawal::Withdrawn(_) => ClientError::NotConnected("it was not sent".to_owned()),
            _ => ClientError::Unknown("it is kept, and asked again by the next command that sends".to_owned()),
        }),
    };
    client.close().await;
    Ok(outcome?)
}

/// How long a one-off command waits for its answer, milliseconds.
const ANSWER_MS: u64 = 30_000;

/// Asks once what the SDK otherwise tells by itself (positions, watching), and waits for the answer.
pub(crate) async fn ask<T: DeserializeOwned>(client: &Client, method: &str, params: &impl Serialize) -> Result<T> {
    let params = serde_json::value::to_raw_value(params)?;
    Ok(serde_json::from_str(client.raw(method, &params, ANSWER_MS).await?.get())?)
}

/// Somebody by name, with or without `@`, or by id.
pub(crate) async fn user(client: &Client, text: &str) -> Result<User> {
    if let Ok(id) = text.parse::<UserId>() {
        let mut found = client.request(Users { users: vec![id] }).await?.users;
        return found.pop().with_context(|| format!("there is no user {text}"));
    }
    let name = text.strip_prefix('@').unwrap_or(text).to_owned();
    client.request(Find { name }).await.with_context(|| format!("{} was not found", harmless_line(text)))
}

/// A conversation: `@name` (made if need be), a group's title, or an id.
pub(crate) async fn conversation(client: &Client, text: &str) -> Result<ConversationId> {
    if let Ok(id) = text.parse::<ConversationId>() {
        return Ok(id);
    }
    if let Some(name) = text.strip_prefix('@') {
        let with = user(client, name).await?.user;
        let created = client.request(CreateDirect { client_id: new_client_id(), with }).await?;
        return Ok(created.conversation);
    }
    let folded = text.to_lowercase();
    let mut found = Vec::new();
    for conversation in conversations(client).await? {
        if conversation.title.as_ref().is_some_and(|title| title.to_lowercase() == folded) {
            found.push(conversation.conversation);
        }
    }
    match found.as_slice() {
        [one] => Ok(*one),
        [] => bail!("you have no group called {text:?}; a person is written @name"),
        _ => bail!("you have {} groups called {text:?}: use the id of one (chirrup conversations)", found.len()),
    }
}

/// The whole conversation list.
pub(crate) async fn conversations(client: &Client) -> Result<Vec<Conversation>> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = client.request(Conversations { after, limit: 100 }).await?;
        all.extend(page.conversations);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// Names of users, by id.
pub(crate) async fn names(client: &Client, users: impl IntoIterator<Item = UserId>) -> Result<HashMap<UserId, String>> {
    let mut wanted: Vec<UserId> = users.into_iter().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut names = HashMap::new();
    for some in wanted.chunks(USERS_AT_ONCE) {
        let found = client.request(Users { users: some.to_vec() }).await?.users;
        names.extend(found.into_iter().map(|user| (user.user, user.name)));
    }
    Ok(names)
}

/// What to call a conversation.
pub(crate) fn called(conversation: &Conversation, names: &HashMap<UserId, String>) -> String {
    match (&conversation.title, conversation.with) {
        (Some(title), _) => harmless_line(title),
        (None, Some(with)) => names.get(&with).map_or_else(|| with.to_string(), |name| format!("@{}", harmless_line(name))),
        (None, None) => conversation.conversation.to_string(),
    }
}

/// Members whom a text calls by `@name`, and whether it calls all by `@all`.
pub(crate) async fn mentions(client: &Client, conversation: ConversationId, text: &str) -> Result<(Vec<UserId>, bool)> {
    if !text.contains('@') {
        return Ok((Vec::new(), false));
    }
    let members = members(client, conversation).await?;
    Ok(mentioned(text, members.iter().map(|(user, name)| (*user, name.as_str()))))
}

/// The members whom a text can call: the first thousand, by name.
pub(crate) async fn members(client: &Client, conversation: ConversationId) -> Result<Vec<(UserId, String)>> {
    let members = client.request(Members { conversation, after: None, limit: MENTIONABLE }).await?.members;
    Ok(members.into_iter().map(|member| (member.user.user, member.user.name)).collect())
}

/// Those of some members whom a text calls by `@name`, and whether it calls all by `@all`.
pub(crate) fn mentioned<'a>(text: &str, members: impl IntoIterator<Item = (UserId, &'a str)>) -> (Vec<UserId>, bool) {
    let called: Vec<&str> = text.split_whitespace().filter_map(|word| word.strip_prefix('@')).collect();
    let is = |word: &str, name: &str| {
        let word = word.to_lowercase();
        let name = name.to_lowercase();
        word == name || word.trim_end_matches([',', '.', ':', ';', '!', '?', ')']) == name
    };
    let mut users: Vec<UserId> = Vec::new();
    for (user, name) in members {
        if called.iter().any(|word| is(word, name)) && users.len() < chirrup_core::limits::MENTIONS_MAX {
            users.push(user);
        }
    }
    (users, called.iter().any(|word| is(word, "all")))
}
