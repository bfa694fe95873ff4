//! mbox: a file for each mailbox, in the form that is called mboxrd.
//!
//! ```text
//! From MAILER-DAEMON Fri Nov 20 12:00:00 2026     INTERNALDATE, UTC
//! Status: RO                                      R: \Seen
//! X-Status: AF                                    \Answered \Flagged, T \Draft, D \Deleted
//! X-Keywords: $Forwarded work
//! …                                               the message; `>` before lines like `From `, `>From `
//! ```
//! The three fields stand before those of the message, are read wherever they stand (the first of each
//! counts) and taken out again. `DIR/Work/Old.mbox` is Work/Old.

mod date;
mod reader;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use store::{Account, Chunk, Mailbox, Snapshot};
use types::{Flag, Flags, Principal};

use crate::details::{self, Details};
use crate::lines::{ToCrlf, ToLf};
use crate::names;
use crate::target::{Importer, Target};
use crate::{At, Report, Result, fresh};

use reader::{Event, Reader};

const EXTENSION: &str = "mbox";

/// Letters of X-Status.
const LETTERS: [(char, Flag); 4] =
    [('A', Flag::Answered), ('F', Flag::Flagged), ('T', Flag::Draft), ('D', Flag::Deleted)];

/// Writes the mail of an account into a new directory.
pub fn export(account: &Account, who: &Principal, directory: &Path) -> Result<Report> {
    fresh(directory)?;
    let mut report = Report::default();
    for entry in account.tree().entries() {
        let mailbox = account.open(who, &entry.name)?;
        let mut path = directory.to_owned();
        path.extend(entry.name.levels().map(names::encode));
        path.as_mut_os_string().push(".");
        path.as_mut_os_string().push(EXTENSION);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).at(parent)?;
        }
        let file = BufWriter::new(File::create(&path).at(&path)?);
        Writer { mailbox: &mailbox, path: &path, file }.write(&mut report)?;
        report.mailboxes += 1;
    }
    Details::of(account).write(directory)?;
    Ok(report)
}

struct Writer<'a> {
    mailbox: &'a Mailbox,
    path: &'a Path,
    file: BufWriter<File>,
}

impl Writer<'_> {
    fn write(mut self, report: &mut Report) -> Result<()> {
        // Whatever is expunged meanwhile can be read until this is done.
        let (_attendance, snapshot) = self.mailbox.attend()?;
        let uids = snapshot.uids();
        for chunk in snapshot.chunks(&uids) {
            match chunk {
                Ok(chunk) => (0..chunk.len()).try_for_each(|at| self.message(&snapshot, chunk, at, report))?,
                Err(error) => report.problem(format!("some messages of {}: {error}", self.path.display())),
            }
        }
        self.file.flush().at(self.path)
    }

    fn message(&mut self, snapshot: &Snapshot, chunk: &Chunk, at: usize, report: &mut Report) -> Result<()> {
        let Some(row) = chunk.rows().get(at) else { return Ok(()) };
        let blob = match self.mailbox.body(row.email) {
            Ok(Some(blob)) => blob,
            Ok(None) | Err(store::Error::Damaged(_)) => {
                report.problem(format!("{}, UID {}: its content is damaged", self.path.display(), row.uid));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let head = head(&chunk.flags(at, snapshot.keywords()), row.internal_date.time);
        self.file.write_all(head.as_bytes()).at(self.path)?;
        let (mut lf, mut quote) = (ToLf::default(), Quote::default());
        let (mut at, mut piece, mut text, mut out) = (0, vec![], vec![], vec![]);
        while at < blob.size() {
            let end = blob.piece_end(at);
            piece.clear();
            if let Err(error) = blob.read(at..end, &mut piece) {
                // What is written cannot be taken back; it is named.
                report.problem(format!("{}, UID {}, is cut short: {error}", self.path.display(), row.uid));
                break;
            }
            text.clear();
            lf.push(&piece, &mut text);
            out.clear();
            quote.push(&text, &mut out);
            self.file.write_all(&out).at(self.path)?;
            at = end;
        }
        text.clear();
        lf.finish(&mut text);
        out.clear();
        quote.push(&text, &mut out);
        quote.finish(&mut out);
        self.file.write_all(&out).at(self.path)?;
        report.messages += 1;
        report.octets += u64::from(row.size);
        Ok(())
    }
}

/// What stands before a message.
fn head(flags: &Flags, time: types::UnixTime) -> String {
    let mut head = format!("From MAILER-DAEMON {}\n", date::write(time));
    head.push_str(if flags.contains(&Flag::Seen) { "Status: RO\n" } else { "Status: O\n" });
    let letters: String = LETTERS.iter().filter(|(_, flag)| flags.contains(flag)).map(|(letter, _)| letter).collect();
    if !letters.is_empty() {
        head.push_str(&format!("X-Status: {letters}\n"));
    }
    if !flags.keywords().is_empty() {
        let keywords: Vec<&str> = flags.keywords().iter().map(types::Keyword::as_str).collect();
        head.push_str(&format!("X-Keywords: {}\n", keywords.join(" ")));
    }
    head
}

/// Puts `>` before lines that look like `From `, with any number of `>` before them; and ends a message
/// with an empty line.
struct Quote {
    /// The beginning of a line of which it is not known yet.
    begun: Option<Vec<u8>>,
    /// The octets so far end a line.
    ended: bool,
}

impl Default for Quote {
    fn default() -> Self {
        Self { begun: Some(vec![]), ended: true }
    }
}

impl Quote {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for &octet in octets {
            self.ended = octet == b'\n';
            let Some(line) = &mut self.begun else {
                out.push(octet);
                if octet == b'\n' {
                    self.begun = Some(vec![]);
                }
                continue;
            };
            line.push(octet);
            let rest = line.iter().position(|&octet| octet != b'>').and_then(|at| line.get(at..)).unwrap_or_default();
            let is_from = rest == b"From ";
            if is_from {
                out.push(b'>');
            }
            // As long as it may become one, it waits.
            if is_from || !b"From ".starts_with(rest) {
                out.append(line);
                self.begun = (octet == b'\n').then(Vec::new);
            }
        }
    }

    fn finish(self, out: &mut Vec<u8>) {
        out.extend(self.begun.unwrap_or_default());
        out.extend_from_slice(if self.ended { b"\n" } else { b"\n\n" });
    }
}

/// Reads a file, or all files in a directory and below, into an account. A file alone becomes `mailbox`, or
/// INBOX. Mailboxes that are there get the messages behind theirs.
pub async fn import(account: &Account, who: &Principal, path: &Path, mailbox: Option<&str>) -> Result<Report> {
    let mut importer = Importer { account, who, details: Details::read(path), report: Report::default() };
    let mut found = vec![];
    if path.is_dir() {
        store::blocking(|| find(path, "", &mut found))?;
    } else {
        found.push((mailbox.unwrap_or("INBOX").to_owned(), path.to_owned()));
    }
    for (name, path) in found {
        let Some(mut target) = importer.target(&name, None).await? else { continue };
        read(&mut target, &path).await?;
        target.close().await?;
    }
    Ok(importer.report)
}

fn find(directory: &Path, above: &str, found: &mut Vec<(String, PathBuf)>) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(directory).at(directory)?.collect::<std::io::Result<_>>().at(directory)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let file_name = entry.file_name();
        let Some(file_name) = file_name.to_str().filter(|name| !name.starts_with('.') && *name != details::FILE) else {
            continue;
        };
        let kind = entry.file_type().at(&path)?;
        // Thunderbird has what is below a mailbox in `NAME.sbd`.
        let level = file_name.strip_suffix(if kind.is_dir() { ".sbd" } else { ".mbox" }).unwrap_or(file_name);
        let name = format!("{above}{}", names::decode(level));
        if kind.is_dir() {
            find(&path, &format!("{name}/"), found)?;
        } else if kind.is_file() && Reader::is_mbox(&path).at(&path)? {
            found.push((name, path));
        }
    }
    Ok(())
}

async fn read(target: &mut Target<'_, '_>, path: &Path) -> Result<()> {
    let account = target.account().clone();
    let mut reader = store::blocking(|| Reader::open(path)).at(path)?;
    let mut place = 0u64;
    while let Some(message) = store::blocking(|| reader.next()).at(path)? {
        place += 1;
        if message.is_for_programs {
            store::blocking(|| reader.skip()).at(path)?;
            continue;
        }
        let received = store::blocking(|| -> Result<_> {
            let mut incoming = account.receive()?;
            let (mut crlf, mut out) = (ToCrlf::default(), vec![]);
            crlf.push(&message.header, &mut out);
            incoming.push(&out)?;
            while let Event::Octets(octets) = reader.content().at(path)? {
                out.clear();
                crlf.push(octets, &mut out);
                incoming.push(&out)?;
            }
            Ok(incoming.finish()?)
        });
        match received {
            Ok(received) => target.push(types::Uid::MIN, received, message.flags, Some(message.date)).await?,
            Err(error @ crate::Error::Store(store::Error::TooBig { .. })) => {
                target.report().problem(format!("{}, message {place}: {error}", path.display()));
                store::blocking(|| reader.skip()).at(path)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Quote;

    proptest! {
        #[test]
        fn quoted_in_any_pieces(lines in proptest::collection::vec("(>{0,2}(From ?|Fro)?a?)", 0..6), piece in 1usize..7) {
            let text = lines.join("\n");
            let (mut quote, mut out) = (Quote::default(), vec![]);
            text.as_bytes().chunks(piece).for_each(|piece| quote.push(piece, &mut out));
            quote.finish(&mut out);
            let quoted = |line: &String| if line.trim_start_matches('>').starts_with("From ") { format!(">{line}") } else { line.clone() };
            let end = if text.is_empty() || text.ends_with('\n') { "\n" } else { "\n\n" };
            prop_assert_eq!(String::from_utf8(out).unwrap(), lines.iter().map(quoted).collect::<Vec<_>>().join("\n") + end);
        }
    }
}
