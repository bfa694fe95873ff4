//! `pillarbox import imap`: mail from another server, by the running server if there is one. Whoever asked for it sees
//! how far it is; when they go away, it ends, and goes on when they ask again.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use import::Report;
use import::imap::{Login, Patience, Progress, Secret, Security, Server, Shown, Trust, Wanted};
use serde::{Deserialize, Serialize};
use store::{Account, Store};
use types::AccountName;

use crate::admin::Request;
use crate::config::Config;
use crate::{account, console};

/// The other server is gone when it says nothing for so long: large mailboxes take some of them minutes.
const SILENCE: Duration = Duration::from_secs(5 * 60);

/// Between two lines where there is no terminal.
const LINES: Duration = Duration::from_secs(15);

/// Cells of the bar.
const CELLS: u64 = 24;

/// Which server, and how to log in there.
#[derive(Args)]
pub(crate) struct Options {
    /// Whose mail it becomes.
    account: String,
    /// The other server: a name, as in its certificate.
    host: String,
    /// The user's name there; that of the account, if it is left out.
    #[arg(long)]
    user: Option<String>,
    /// The first line of this file is the password. Without any of these it is asked for, or read from the standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// This environment variable holds the password.
    #[arg(long, value_name = "NAME", conflicts_with = "password_file")]
    password_env: Option<String>,
    /// The password is an OAuth 2.0 access token (OAUTHBEARER, XOAUTH2).
    #[arg(long)]
    token: bool,
    /// What protects the connection.
    #[arg(long, value_enum, default_value_t = Protection::Tls)]
    security: Protection,
    /// 993 with TLS, else 143.
    #[arg(long)]
    port: Option<u16>,
    /// PEM certificates to believe, the server's own or those of authorities, instead of the authorities that this machine
    /// knows.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Believes any certificate: whoever stands in between can read the password and the mail.
    #[arg(long, conflicts_with = "ca_file")]
    accept_invalid_certificates: bool,
    /// Only mailboxes with such a name here (`*` stands for anything); can be given again.
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// Not the mailboxes with such a name here; can be given again.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Also mailboxes of other users, and those that are shared.
    #[arg(long)]
    shared: bool,
    /// Mailboxes at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    connections: u8,
}

/// What protects the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protection {
    /// TLS from the beginning.
    Tls,
    /// TLS after STARTTLS.
    Starttls,
    /// Nothing: everybody on the way can read the password and the mail.
    Insecure,
}

/// The same as the server that does the work hears of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Source {
    host: String,
    port: u16,
    security: Protection,
    ca_file: Option<PathBuf>,
    accept_invalid_certificates: bool,
    user: String,
    secret: String,
    token: bool,
    only: Vec<String>,
    exclude: Vec<String>,
    shared: bool,
    connections: u8,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({} at {}:{})", self.user, self.host, self.port)
    }
}

/// Does it, shows how far it is, and says how much it was.
pub(crate) fn import(config: &Config, options: Options) -> Result<()> {
    let secret = secret(&options)?;
    let absolute = |path: PathBuf| std::path::absolute(&path).with_context(|| path.display().to_string());
    let port = options.port.unwrap_or(if options.security == Protection::Tls { 993 } else { 143 });
    let source = Source {
        host: options.host,
        port,
        security: options.security,
        ca_file: options.ca_file.map(absolute).transpose()?,
        accept_invalid_certificates: options.accept_invalid_certificates,
        user: options.user.unwrap_or_else(|| options.account.clone()),
        secret,
        token: options.token,
        only: options.only,
        exclude: options.exclude,
        shared: options.shared,
        connections: options.connections,
    };
    let mut bar = Bar::new();
    let done = account::perform_shown(config, Request::ImportImap { account: options.account, source }, &mut |shown| {
        bar.show(shown);
    });
    bar.end();
    done?.iter().try_for_each(|line| console::print(line))
}

/// Never from the command line, which others on this machine can see.
fn secret(options: &Options) -> Result<String> {
    let text = if let Some(path) = &options.password_file {
        std::fs::read_to_string(path).with_context(|| path.display().to_string())?
    } else if let Some(name) = &options.password_env {
        std::env::var(name).with_context(|| format!("the environment variable {name}"))?
    } else if io::stdin().is_terminal() {
        rpassword::prompt_password(format!("Password at {}: ", options.host))?
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).context("cannot read the password from the standard input")?;
        line
    };
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        bail!("there is no password in the first line");
    }
    Ok(line.to_owned())
}

/// What the request asks for, by whoever owns the store.
pub(crate) async fn perform(store: &Store, name: &str, source: Source, progress: Progress) -> Result<Vec<String>> {
    let name = AccountName::new(name).with_context(|| format!("{name:?}"))?;
    let (account, who) = super::find(store, &name)?;
    let (server, wanted) = source.parts();
    let report = run(&account, &who, server, wanted, &progress).await?;
    super::said(&name, report, "imported")
}

async fn run(
    account: &Account,
    who: &types::Principal,
    server: Server,
    wanted: Wanted,
    progress: &Progress,
) -> Result<Report> {
    let done = import::imap::import(account, who, server, wanted, progress).await;
    done.context("the import has ended early; run again, it goes on from here")
}

impl Source {
    fn parts(self) -> (Server, Wanted) {
        let trust = match self.ca_file {
            _ if self.accept_invalid_certificates => Trust::Anybody,
            Some(path) => Trust::File(path),
            None => Trust::System,
        };
        let security = match self.security {
            Protection::Tls => Security::Tls,
            Protection::Starttls => Security::StartTls,
            Protection::Insecure => Security::Insecure,
        };
        let server = Server {
            host: self.host,
            port: self.port,
            security,
            trust,
            user: self.user,
            secret: Secret::new(self.secret.into_bytes()),
            login: if self.token { Login::Token } else { Login::Password },
            silence: SILENCE,
            patience: Patience::default(),
        };
        let Self { only, exclude, shared, connections, .. } = self;
        (server, Wanted { only, exclude, shared, connections: connections.into() })
    }
}

/// One line that changes at a terminal, or else a line now and then; on the standard error, which is for people.
struct Bar {
    terminal: bool,
    began: Instant,
    said: Option<Instant>,
}

impl Bar {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), began: Instant::now(), said: None }
    }

    fn show(&mut self, shown: Shown) {
        let seconds = self.began.elapsed().as_secs_f64();
        if !self.terminal && self.said.is_some_and(|said| said.elapsed() < LINES) {
            return;
        }
        self.said = Some(Instant::now());
        let line = line(shown, seconds);
        // Who cannot be told how far it is can still be told the end.
        let _ = match self.terminal {
            true => write!(io::stderr(), "\r{line}\x1b[K"),
            false => writeln!(io::stderr(), "{line}"),
        };
    }

    fn end(&mut self) {
        if self.terminal && self.said.is_some() {
            let _ = writeln!(io::stderr());
        }
    }
}

fn line(shown: Shown, seconds: f64) -> String {
    let Shown { mailboxes, mailboxes_done, messages, messages_done, octets } = shown;
    // Mail may have come since it was counted.
    let messages = messages.max(messages_done);
    let share = |of: u64| (messages_done * of).checked_div(messages).unwrap_or(0);
    let bar: String = (0..CELLS).map(|cell| if cell < share(CELLS) { '#' } else { '-' }).collect();
    let mebibytes = octets as f64 / f64::from(1 << 20);
    let rate = if seconds > 0.0 { mebibytes / seconds } else { 0.0 };
    format!(
        "[{bar}] {:3} %  {messages_done} of {messages} messages, {mailboxes_done} of {mailboxes} mailboxes, {mebibytes:.1} MiB, {rate:.1} MiB/s",
        share(100)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_of_all_lengths() {
        let shown = |messages, messages_done| Shown {
            mailboxes: 3,
            mailboxes_done: 1,
            messages,
            messages_done,
            octets: 3 << 20,
        };
        assert!(line(shown(0, 0), 0.0).starts_with("[------------------------]   0 %"));
        assert!(
            line(shown(200, 100), 2.0)
                .starts_with("[############------------]  50 %  100 of 200 messages, 1 of 3 mailboxes, 3.0 MiB, 1.5")
        );
        assert!(
            line(shown(2, 3), 2.0).starts_with("[########################] 100 %  3 of 3"),
            "more than was counted"
        );
    }

    #[test]
    fn a_request_does_not_show_its_secret() {
        let source = r#"{"host":"h","port":1,"security":"tls","ca_file":null,"accept_invalid_certificates":false,
            "user":"u","secret":"hunter2","token":false,"only":[],"exclude":[],"shared":false,"connections":4}"#;
        let source: Source = serde_json::from_str(source).unwrap();
        let request = Request::ImportImap { account: "a".into(), source };
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
