//! Logging in and out, the password, and one's devices.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result, ensure};
use chirrup_client::new_client_id;
use chirrup_protocol::request::{ChangePassword, Devices, LogIn, LogOut, RevokeDevice, SignUp};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::context::Context;
use crate::failure::Usage;
use crate::profile::Profile;
use crate::screen::{date, harmless_line};

/// Log in on this machine.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LoginArgs {
    /// The account's name.
    name: String,
    /// Open the account first.
    #[arg(long)]
    sign_up: bool,
    /// With --sign-up: shown beside the name.
    #[arg(long, value_name = "TEXT", requires = "sign_up")]
    display_name: Option<String>,
    /// What to call this machine in `chirrup devices`.
    #[arg(long, value_name = "TEXT")]
    device: Option<String>,
    /// Read the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
}

/// Replace the password; all other devices are logged out.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PasswdArgs {
    /// Read the old and the new password from the first two lines of standard input.
    #[arg(long)]
    password_stdin: bool,
}

/// One's devices.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DevicesArgs {
    /// Log out the device with this id, as the list shows it.
    #[arg(long, value_name = "DEVICE")]
    revoke: Option<String>,
}

/// Asks for a password without showing it; from standard input if that is wanted or no terminal.
pub(crate) fn password(prompt: &str, from_stdin: bool) -> Result<String> {
    if from_stdin || !std::io::stdin().is_terminal() {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).context("failed to read the password")?;
        let line = line.trim_end_matches(['\r', '\n']).to_owned();
        ensure!(!line.is_empty(), Usage("no password on standard input".into()));
        return Ok(line);
    }
    hidden(prompt).context("failed to read the password")
}

/// Reads a line that the terminal does not show: it stops showing before it asks, so that who types
/// ahead is not shown either.
fn hidden(prompt: &str) -> std::io::Result<String> {
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes -= LocalModes::ECHO;
    tcsetattr(&stdin, OptionalActions::Now, &silent)?;
    eprint!("{prompt}: ");
    let mut line = String::new();
    let read = std::io::stderr().flush().and_then(|()| stdin.lock().read_line(&mut line));
    tcsetattr(&stdin, OptionalActions::Now, &before)?;
    eprintln!();
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A new password, asked twice on a terminal.
pub(crate) fn new_password(prompt: &str, from_stdin: bool) -> Result<String> {
    let first = password(prompt, from_stdin)?;
    if !from_stdin && std::io::stdin().is_terminal() {
        ensure!(password("Once more", false)? == first, Usage("the two passwords differ".into()));
    }
    Ok(first)
}

fn this_device() -> String {
    let name = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let name: String = name.unwrap_or_default().trim().chars().filter(|c| !c.is_control()).take(100).collect();
    if name.is_empty() { "a terminal".to_owned() } else { format!("terminal on {name}") }
}

/// `chirrup login`
pub(crate) async fn login(context: &Context, args: &LoginArgs) -> Result<()> {
    if let Some(profile) = context.place.load()? {
        let name = context.place.name();
        return Err(
            Usage(format!("{} is logged in already under the profile {name:?}: chirrup logout, or --profile OTHER", profile.name)).into()
        );
    }
    let client = context.connect_unknown().await?;
    let device_label = args.device.clone().unwrap_or_else(this_device);
    let (name, client_id) = (args.name.trim_start_matches('@').to_owned(), new_client_id());
    let logged_in = if args.sign_up {
        let password = new_password("New password (8 characters or more)", args.password_stdin)?;
        client.request(SignUp { client_id, name: name.clone(), password, display_name: args.display_name.clone(), device_label }).await?
    } else {
        let password = password("Password", args.password_stdin)?;
        client.request(LogIn { client_id, name: name.clone(), password, device_label }).await?
    };
    let server = context.server()?.to_string();
    let user = logged_in.user.to_string();
    context.place.save(&Profile { server: server.clone(), name: name.clone(), user: user.clone(), token: logged_in.token })?;
    client.close().await;
    let answer = serde_json::json!({ "user": user, "device": logged_in.device.to_string(), "name": name, "server": server });
    context.show(&answer, || format!("{name} is logged in at {server}"))
}

/// `chirrup logout`
pub(crate) async fn logout(context: &Context) -> Result<()> {
    let profile = context.profile()?;
    match context.connect().await {
        Ok(client) => {
            client.request(LogOut {}).await?;
        }
        // Logged out from elsewhere: only the file is left.
        Err(error) if matches!(error.downcast_ref(), Some(chirrup_client::Error::Ended(_))) => {}
        Err(error) => return Err(error),
    }
    context.place.remove()?;
    context.show(&serde_json::json!({}), || format!("{} is logged out", profile.name))
}

/// `chirrup passwd`
pub(crate) async fn passwd(context: &Context, args: &PasswdArgs) -> Result<()> {
    let client = context.connect().await?;
    let old = password("Password now", args.password_stdin)?;
    let new = new_password("New password (8 characters or more)", args.password_stdin)?;
    client.request(ChangePassword { client_id: new_client_id(), old, new }).await?;
    context.show(&serde_json::json!({}), || "The password is changed; all other devices are logged out.".to_owned())
}

/// `chirrup devices`
pub(crate) async fn devices(context: &Context, args: &DevicesArgs) -> Result<()> {
    let client = context.connect().await?;
    if let Some(device) = &args.revoke {
        let device = device.parse().map_err(|e| Usage(format!("{e}")))?;
        let done = client.request(RevokeDevice { client_id: new_client_id(), device }).await?;
        return context.show(&done, || "The device is logged out.".to_owned());
    }
    let devices = client.request(Devices {}).await?;
    context.show(&devices, || {
        let line = |device: &chirrup_protocol::reply::Device| {
            let this = if device.this { "  (this one)" } else { "" };
            let connected = if device.connected { "  connected" } else { "" };
            format!("{}  since {}  {}{connected}{this}", device.device, date(device.added), harmless_line(&device.label))
        };
        devices.devices.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}
