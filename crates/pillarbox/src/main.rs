//! Pillarbox, an IMAP server: the one binary. It reads the configuration, chooses the engine, and
//! starts what the other crates are.

mod account;
mod admin;
mod backup;
mod check;
mod config;
mod console;
mod demo;
mod heaps;
mod logging;
mod migrate;
mod purge;
mod quota;
mod random;
mod recover;
mod run;
mod serve;
mod status;
mod undelete;
mod warnings;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// An IMAP server: the place where people's mail lives.
#[derive(Parser)]
#[command(name = "pillarbox", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server.
    Serve(ConfigFile),
    /// Runs a server to try out, with two accounts and sample mail, on this machine only.
    Demo(demo::Options),
    /// Creates, lists and deletes accounts, sets their passwords and quotas, also while the server runs.
    Account(account::Options),
    /// Takes over mail from another server, or from its files.
    Import(migrate::ImportOptions),
    /// Writes the mail of an account into files that other mail servers and programs read.
    Export(migrate::ExportOptions),
    /// Lists what was expunged or deleted and brings it back, also while the server runs.
    Undelete(undelete::Options),
    /// Takes away now, for good, what was expunged or deleted: retention does it by itself later.
    Purge(purge::Options),
    /// Says how the store and the running server do: space, accounts, connections, figures.
    Status(ConfigFile),
    /// Gives the space of deleted mail back now: the server does it by itself, later.
    Reclaim(ConfigFile),
    /// Looks at everything in the store and says in plain words what is wrong.
    Check(check::Options),
    /// Makes a backup of the store, also while the server runs; run again, it copies only what is new.
    Backup(backup::BackupOptions),
    /// Restores a store, an account or a mailbox from a backup.
    Restore(backup::RestoreOptions),
    /// Helps with the configuration file.
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
}

#[derive(Subcommand)]
enum ConfigAction {
    /// Prints a configuration with every option, its default and its meaning.
    Example,
    /// Says whether a configuration is right.
    Check(ConfigFile),
}

/// Where the configuration is.
#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "pillarbox.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    // Mail is nobody else's business: whatever we write is for our own user, unless the configuration
    // says so (the LMTP socket).
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let done = match Cli::parse().command {
        Command::Serve(file) => {
            heaps::share();
            serve::serve(&file.config)
        }
        Command::Demo(options) => demo::demo(&options),
        Command::Account(options) => account::account(&options),
        Command::Check(options) => check::check(&options),
        Command::Backup(options) => backup::backup(&options),
        Command::Restore(options) => backup::restore(&options),
        Command::Import(options) => migrate::import(options),
        Command::Export(options) => migrate::export(options),
        Command::Undelete(options) => undelete::undelete(options),
        Command::Purge(options) => purge::purge(&options),
        Command::Status(file) => status::status(&file.config),
        Command::Reclaim(file) => status::reclaim(&file.config),
        Command::Config { action: ConfigAction::Example } => console::print(config::EXAMPLE.trim_end()),
        Command::Config { action: ConfigAction::Check(file) } => {
            config::Config::read(&file.config).and_then(|config| {
                let limits = config.limits();
                let (most, connections) = (limits.memory(limits.connections) >> 20, limits.connections);
                let memory = format!("below {most} MiB of memory with {connections} connections (docs/limits.md)");
                console::print(&format!("{} is right: {memory}", file.config.display()))
            })
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::complain(&error);
            ExitCode::FAILURE
        }
    }
}
