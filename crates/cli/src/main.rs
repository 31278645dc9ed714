//! `chirrup`: the server, and a client for people, operators and scripts, in one program.

mod account;
mod admin;
mod backup;
mod chat;
mod config;
mod context;
mod copy;
mod data;
mod doctor;
mod export;
mod failure;
mod group;
mod import;
mod interrupt;
mod irc;
mod list;
mod message;
mod people;
mod profile;
mod replay;
mod screen;
mod serve;
mod show;
mod tail;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::{Context, Global};
use failure::Failure;

/// The live heap is a figure that the server tells.
#[global_allocator]
static HEAP: chirrup_server::heap::Allocator = chirrup_server::heap::Allocator;

const _: () = assert!(!chirrup_mutants::ENABLED, "rules can be broken in this build: it must be `chirrup-mutant` alone");

/// A chat server, and a client for it.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = failure::HELP)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Args),
    /// Log in, or open an account, on this machine.
    Login(account::LoginArgs),
    /// Log this machine out.
    Logout,
    /// Change your password.
    Passwd(account::PasswdArgs),
    /// List your devices, or log one out.
    Devices(account::DevicesArgs),
    /// Find a user by exact name.
    Find(people::FindArgs),
    /// See who is online.
    Who(people::WhoArgs),
    /// Talk in the terminal.
    Chat(chat::ChatArgs),
    /// Send a message.
    Send(message::SendArgs),
    /// Answer a message.
    Reply(message::ReplyArgs),
    /// Change the text of your own message.
    Edit(message::EditArgs),
    /// Delete a message for all.
    Delete(message::DeleteArgs),
    /// Put an emoji to a message, or take it back.
    React(message::ReactArgs),
    /// Mark messages as read, or a conversation as unread.
    Read(message::ReadArgs),
    /// Want no notifications of a conversation, or want them again.
    Mute(message::MuteArgs),
    /// Print what happens, from where the last `tail` stopped.
    Tail(tail::TailArgs),
    /// Show the messages of a conversation.
    History(list::HistoryArgs),
    /// List your conversations.
    Conversations,
    /// Make groups, and change who is in them.
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Accounts, passwords and administrators, for administrators.
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// Take over logs of IRC channels, for administrators.
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Play a log of an IRC channel as its users, and check that everybody gets what they should.
    Replay(replay::Args),
    /// Copy the server's data, while it runs or not.
    Backup(backup::BackupArgs),
    /// Make a server's data of a backup.
    Restore(backup::RestoreArgs),
    /// Copy a whole server's data into a store of another kind, while no server runs on either.
    Copy(copy::Args),
    /// Write every event as lines of JSON, also of data that is damaged.
    Export(export::Args),
    /// Look whether everything is well.
    Doctor(doctor::DoctorArgs),
    /// The server's configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let context = Context::new(&cli.global)?;
    match &cli.command {
        Command::Serve(args) => serve::run(args, context.json).await,
        Command::Login(args) => account::login(&context, args).await,
        Command::Logout => account::logout(&context).await,
        Command::Passwd(args) => account::passwd(&context, args).await,
        Command::Devices(args) => account::devices(&context, args).await,
        Command::Find(args) => people::find(&context, args).await,
        Command::Who(args) => people::who(&context, args).await,
        Command::Chat(args) => chat::run(&context, args).await,
        Command::Send(args) => message::send(&context, args).await,
        Command::Reply(args) => message::reply(&context, args).await,
        Command::Edit(args) => message::edit(&context, args).await,
        Command::Delete(args) => message::delete(&context, args).await,
        Command::React(args) => message::react(&context, args).await,
        Command::Read(args) => message::read(&context, args).await,
        Command::Mute(args) => message::mute(&context, args).await,
        Command::Tail(args) => tail::run(&context, args).await,
        Command::History(args) => list::history(&context, args).await,
        Command::Conversations => list::conversations(&context).await,
        Command::Group(command) => group::run(&context, command).await,
        Command::Admin(command) => admin::run(&context, command).await,
        Command::Import(command) => import::command(&context, command).await,
        Command::Replay(args) => replay::command(&context, args).await,
        Command::Backup(args) => backup::backup(&context, args).await,
        Command::Restore(args) => backup::restore(&context, args).await,
        Command::Copy(args) => copy::run(&context, args).await,
        Command::Export(args) => export::run(&context, args).await,
        Command::Doctor(args) => doctor::run(&context, args).await,
        Command::Config(command) => config::run(&context, command),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.global.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            failure::tell(&error.into(), json);
            return Failure::Refused.code();
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<failure::ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            failure::tell(&error, json);
            Failure::of(&error).code()
        }
    }
}
