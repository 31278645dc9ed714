//! `chirrup`: the server, and a client for people, operators and scripts, in one program.

mod irc;
mod serve;

use clap::{Parser, Subcommand};

/// The live heap is a figure that the server tells.
#[global_allocator]
static HEAP: chirrup_server::heap::CountingAllocator = chirrup_server::heap::CountingAllocator;

/// A chat server, and a client for it.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    /// Answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Args),
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match &cli.command {
            Command::Serve(args) => serve::run(args, cli.json).await,
        }
    })
}
