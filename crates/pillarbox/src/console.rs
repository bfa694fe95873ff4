//! What the program says to whoever started it.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use auth::Secret;

/// Prints a line. A reader that went away is an error like any other.
pub(crate) fn print(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("cannot write to the standard output")
}

/// Prints an error with everything that led to it.
pub(crate) fn complain(error: &anyhow::Error) {
    // There is nowhere left to complain about a complaint that cannot be written.
    let _ = writeln!(io::stderr(), "pillarbox: {error:#}");
}

/// Asks for a new password: twice at a terminal, else one line of the standard input.
pub(crate) fn new_password(name: &str) -> Result<Secret> {
    if io::stdin().is_terminal() {
        let once = rpassword::prompt_password(format!("New password for {name}: ")).map(Secret::new)?;
        let twice = rpassword::prompt_password("The same again: ").map(Secret::new)?;
        if once != twice {
            bail!("the two passwords differ; nothing was changed");
        }
        return Ok(once);
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("cannot read the password from the standard input")?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    if line.is_empty() {
        bail!("the standard input has no password in its first line");
    }
    Ok(Secret::new(line))
}
