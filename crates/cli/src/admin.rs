//! What administrators do, and the operator's first code.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chirrup_client::{Client, new_client_id};
use chirrup_protocol::request::{DisableUser, ListUsers, RedeemFirstCode, ResetPassword, SetAdministrator};
use clap::Subcommand;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::account::new_password;
use crate::context::{self, Context};
use crate::screen::date;

/// How long the server of this machine may take to answer its operator.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an administrator does.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// List all accounts.
    List,
    /// Close an account; its devices are logged out.
    Disable {
        /// Name of the account.
        name: String,
    },
    /// Open an account again.
    Enable {
        /// Name of the account.
        name: String,
    },
    /// Give an account another password; its devices are logged out.
    ResetPassword {
        /// Name of the account.
        name: String,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Make somebody an administrator.
    Make {
        /// Name of the account.
        name: String,
    },
    /// Make an administrator a user like others.
    Unmake {
        /// Name of the account.
        name: String,
    },
    /// Become the first administrator by the code that the server printed.
    Redeem {
        /// The code.
        code: String,
    },
    /// Make a new code for the first administrator, on the machine of the running server.
    FirstCode {
        /// The server's data directory, as `chirrup serve` was given it.
        #[arg(long, value_name = "DIR", default_value = "chirrup-data", env = "CHIRRUP_SERVER_DATA_DIR")]
        data: PathBuf,
    },
}

/// `chirrup admin`
pub(crate) async fn run(context: &Context, command: &AdminCommand) -> Result<()> {
    if let AdminCommand::FirstCode { data } = command {
        let code = first_code(data)?;
        return context.show(&serde_json::json!({ "first_code": code }), || {
            format!("Whoever redeems this code becomes the first administrator (once, within a day):\n  chirrup admin redeem {code}")
        });
    }
    let client = context.connect().await?;
    let client_id = new_client_id();
    let done = match command {
        AdminCommand::List => return list(context, &client).await,
        AdminCommand::Disable { name } | AdminCommand::Enable { name } => {
            let user = context::user(&client, name).await?.user;
            let disabled = matches!(command, AdminCommand::Disable { .. });
            client.request(DisableUser { client_id, user, disabled }).await?
        }
        AdminCommand::ResetPassword { name, password_stdin } => {
            let user = context::user(&client, name).await?.user;
            let password = new_password("New password (8 characters or more)", *password_stdin)?;
            client.request(ResetPassword { client_id, user, password }).await?
        }
        AdminCommand::Make { name } | AdminCommand::Unmake { name } => {
            let user = context::user(&client, name).await?.user;
            let administrator = matches!(command, AdminCommand::Make { .. });
            client.request(SetAdministrator { client_id, user, administrator }).await?
        }
        AdminCommand::Redeem { code } => client.request(RedeemFirstCode { client_id, code: code.clone() }).await?,
        AdminCommand::FirstCode { .. } => unreachable!("answered above"),
    };
    context.show(&done, || "done".to_owned())
}

async fn list(context: &Context, client: &Client) -> Result<()> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = client.request(ListUsers { after, limit: 500 }).await?;
        all.extend(page.users);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    context.show(&all, || {
        let line = |account: &chirrup_protocol::reply::Account| {
            let administrator = if account.administrator { "  administrator" } else { "" };
            let who = crate::people::described(&account.user);
            format!("{who}  since {}  {} devices{administrator}", date(account.created), account.devices)
        };
        all.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// What a running server writes for its operator.
#[derive(Deserialize)]
pub(crate) struct Served {
    /// Where it answers its operator.
    pub(crate) admin_address: SocketAddr,
}

impl Served {
    /// Of the server that runs on this data directory.
    pub(crate) fn read(data: &Path) -> Result<Self> {
        serde_json::from_str(&read(data, chirrup_server::app::SERVE_FILE)?).context("failed to read serve.json")
    }
}

fn read(data: &Path, name: &str) -> Result<String> {
    let path = data.join(name);
    std::fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}: is the server running, and is this its data?", path.display()))
}

/// Asks the server that runs on this data directory.
fn first_code(data: &Path) -> Result<String> {
    let body: serde_json::Value = operate(data, "POST", "/first-code", "")?;
    let code = body.get("code").or_else(|| body.get("first_code")).and_then(serde_json::Value::as_str);
    Ok(code.context("the server answered without a code")?.to_owned())
}

/// Asks the server that runs on this data directory for what only its operator may ask.
pub(crate) fn operate<T: DeserializeOwned>(data: &Path, method: &str, path: &str, body: &str) -> Result<T> {
    let served = Served::read(data)?;
    let secret = read(data, chirrup_server::app::TOKEN_FILE)?;
    let answer = ask(served.admin_address, method, path, secret.trim(), body)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the server's answer is not HTTP")?;
    ensure!(head.starts_with("HTTP/1.1 2"), "the server refused: {}", body.trim());
    serde_json::from_str(body.trim()).context("the server's answer is not JSON")
}

/// What the operator's address answers to a GET: head and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String> {
    ask(address, "GET", path, "", "")
}

fn ask(address: SocketAddr, method: &str, path: &str, secret: &str, body: &str) -> Result<String> {
    let reach = || format!("failed to reach the server at {address}");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(reach)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let authorization = if secret.is_empty() { String::new() } else { format!("Authorization: Bearer {secret}\r\n") };
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.take(64 << 10).read_to_string(&mut answer).with_context(reach)?;
    Ok(answer)
}
