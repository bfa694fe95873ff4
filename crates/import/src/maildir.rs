//! Maildir: a file for each message, its flags in the file's name, INTERNALDATE in its time.
//!
//! ```text
//! DIR/cur new tmp                       INBOX
//! DIR/.Work.Old/cur new tmp             Work/Old in Maildir++
//! DIR/Work/Old/cur new tmp              the same, nested
//! DIR/.v1\2e0/cur new tmp               v1.0 in Maildir++; nested it is DIR/v1.0
//! …/cur/1795176000.M7P1.host,S=321:2,FSa
//! …/dovecot-keywords                    0 $Forwarded: what `a` means there
//! …/pillarbox-keywords                  keywords beyond the 26th: file, and its keywords
//! …/dovecot-uidlist                     UIDVALIDITY, UIDNEXT, and the UIDs of the files
//! ```
//! Reading takes both layouts, also mixed.

mod uidlist;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use store::{Account, Chunk, Mailbox, Snapshot};
use types::{DateTime, Flag, Flags, Keyword, MailboxName, Principal, UnixTime};

use crate::details::Details;
use crate::lines::{ToCrlf, ToLf};
use crate::names;
use crate::target::{Importer, Target};
use crate::{At, Report, Result, fresh};

use uidlist::UidList;

/// How mailboxes become directories.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// `.Work.Old`
    MaildirPlusPlus,
    /// `Work/Old`
    Nested,
}

/// Letters and what they mean, in the order in which they stand.
const LETTERS: [(char, Flag); 5] =
    [('D', Flag::Draft), ('F', Flag::Flagged), ('R', Flag::Answered), ('S', Flag::Seen), ('T', Flag::Deleted)];

/// Keywords that have letters of their own.
const LETTERED: u32 = 26;

const KEYWORDS: &str = "dovecot-keywords";
const MORE_KEYWORDS: &str = "pillarbox-keywords";

/// Octets that are read or written at a time.
const PIECE: usize = 256 << 10;

/// Writes the mail of an account into a new directory.
pub fn export(account: &Account, who: &Principal, directory: &Path, layout: Layout) -> Result<Report> {
    fresh(directory)?;
    let mut report = Report::default();
    for entry in account.tree().entries() {
        let mailbox = account.open(who, &entry.name)?;
        let path = directory.join(path_of(&entry.name, layout));
        Writer::new(&mailbox, &path)?.write(&mut report)?;
        report.mailboxes += 1;
    }
    Details::of(account).write(directory)?;
    Ok(report)
}

fn path_of(name: &MailboxName, layout: Layout) -> PathBuf {
    match layout {
        _ if name.is_inbox() => PathBuf::new(),
        Layout::Nested => name.levels().map(names::encode_nested).collect(),
        Layout::MaildirPlusPlus => {
            name.levels().map(|level| format!(".{}", names::encode_dotted(level))).collect::<String>().into()
        }
    }
}

/// Writes one mailbox.
struct Writer<'a> {
    mailbox: &'a Mailbox,
    directory: &'a Path,
    more: Option<File>,
    uids: uidlist::Writer,
}

impl<'a> Writer<'a> {
    fn new(mailbox: &'a Mailbox, directory: &'a Path) -> Result<Self> {
        for folder in ["cur", "new", "tmp"] {
            let path = directory.join(folder);
            fs::create_dir_all(&path).at(&path)?;
        }
        let uids = uidlist::Writer::new(directory, mailbox.snapshot()?.as_ref())?;
        Ok(Self { mailbox, directory, more: None, uids })
    }

    fn write(mut self, report: &mut Report) -> Result<()> {
        // Whatever is expunged meanwhile can be read until this is done.
        let (_attendance, snapshot) = self.mailbox.attend()?;
        let uids = snapshot.uids();
        for chunk in snapshot.chunks(&uids) {
            match chunk {
                Ok(chunk) => (0..chunk.len()).try_for_each(|at| self.message(&snapshot, chunk, at, report))?,
                Err(error) => report.problem(format!("some messages of {}: {error}", self.directory.display())),
            }
        }
        if let Some(last) = snapshot.keywords().len().checked_sub(1) {
            let lettered = snapshot.keywords().iter().take(last.min(LETTERED as usize - 1) + 1).enumerate();
            let lines: String = lettered.map(|(id, keyword)| format!("{id} {}\n", keyword.as_str())).collect();
            let path = self.directory.join(KEYWORDS);
            fs::write(&path, lines).at(&path)?;
        }
        self.uids.finish()
    }

    fn message(&mut self, snapshot: &Snapshot, chunk: &Chunk, at: usize, report: &mut Report) -> Result<()> {
        let Some(row) = chunk.rows().get(at) else { return Ok(()) };
        let flags = chunk.flags(at, snapshot.keywords());
        let mut letters: String =
            LETTERS.iter().filter(|(_, flag)| flags.contains(flag)).map(|(letter, _)| letter).collect();
        let lettered = chunk.keyword_ids(at).iter().filter(|id| **id < LETTERED);
        letters.extend(lettered.filter_map(|&id| char::from_u32(u32::from(b'a') + id)));
        let time = row.internal_date.time;
        let base = format!("{}.M{}P1.pillarbox,W={}", time.0.max(0), row.uid, row.size);
        let path = self.directory.join("cur").join(format!("{base}:2,{letters}"));
        match self.content(row.email, &path) {
            Ok(()) => {}
            Err(crate::Error::Store(error)) => {
                // A damaged message is named; the others are no worse for it.
                report.problem(format!("{}, UID {}: {error}", self.directory.display(), row.uid));
                return fs::remove_file(&path).at(&path);
            }
            Err(error) => return Err(error),
        }
        let file = File::options().write(true).open(&path).at(&path)?;
        file.set_modified(system_time(time)).at(&path)?;
        let more = chunk.keyword_ids(at).iter().filter(|id| **id >= LETTERED);
        let more: Vec<&str> = more.filter_map(|&id| Some(snapshot.keywords().name(id)?.as_str())).collect();
        if !more.is_empty() {
            let path = self.directory.join(MORE_KEYWORDS);
            let file = match &mut self.more {
                Some(file) => file,
                None => self.more.insert(File::create(&path).at(&path)?),
            };
            writeln!(file, "{base} {}", more.join(" ")).at(&path)?;
        }
        self.uids.push(row.uid, &base)?;
        report.messages += 1;
        report.octets += u64::from(row.size);
        Ok(())
    }

    fn content(&self, email: types::EmailId, path: &Path) -> Result<()> {
        let mut file = File::create(path).at(path)?;
        let blob = self.mailbox.body(email)?;
        let blob = blob.ok_or_else(|| store::Error::Damaged(format!("email {email} has no body")))?;
        let (mut lf, mut at, mut piece, mut out) = (ToLf::default(), 0, vec![], vec![]);
        while at < blob.size() {
            let end = blob.piece_end(at);
            piece.clear();
            blob.read(at..end, &mut piece).map_err(store::Error::from)?;
            lf.push(&piece, &mut out);
            file.write_all(&out).at(path)?;
            out.clear();
            at = end;
        }
        lf.finish(&mut out);
        file.write_all(&out).at(path)
    }
}

fn system_time(time: UnixTime) -> SystemTime {
    let seconds = Duration::from_secs(time.0.unsigned_abs());
    if time.0 < 0 { UNIX_EPOCH - seconds } else { UNIX_EPOCH + seconds }
}

fn unix_time(time: SystemTime) -> UnixTime {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    UnixTime(match time.duration_since(UNIX_EPOCH) {
        Ok(after) => seconds(after),
        Err(before) => -seconds(before.duration()),
    })
}

/// Reads a maildir into an account. Mailboxes that are there get the messages behind theirs.
pub async fn import(account: &Account, who: &Principal, directory: &Path) -> Result<Report> {
    let mut importer = Importer { account, who, details: Details::read(directory), report: Report::default() };
    let found = store::blocking(|| {
        let mut found = vec![];
        find(directory, "", &mut found).map(|()| found)
    })?;
    for (name, path) in found {
        let uids = store::blocking(|| UidList::read(&path));
        let Some(mut target) = importer.target(&name, uids.numbering).await? else { continue };
        mailbox(&mut target, &path, &uids).await?;
        target.close().await?;
    }
    Ok(importer.report)
}

/// The mailboxes in a directory: their names, and where they are. Links are not followed.
fn find(directory: &Path, name: &str, found: &mut Vec<(String, PathBuf)>) -> Result<()> {
    if directory.join("cur").is_dir() {
        found.push((if name.is_empty() { "INBOX".to_owned() } else { name.to_owned() }, directory.to_owned()));
    }
    let mut entries: Vec<_> = fs::read_dir(directory).at(directory)?.collect::<std::io::Result<_>>().at(directory)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let file_name = entry.file_name();
        let Some(file_name) = file_name.to_str() else { continue };
        if !entry.file_type().at(&path)?.is_dir() || ["cur", "new", "tmp"].contains(&file_name) {
            continue;
        }
        let levels: Vec<String> = match file_name.strip_prefix('.') {
            Some(dotted) => dotted.split('.').map(names::decode_dotted).collect(),
            None => vec![names::decode(file_name)],
        };
        let below = levels.join("/");
        find(&path, &if name.is_empty() { below } else { format!("{name}/{below}") }, found)?;
    }
    Ok(())
}

/// What the files beside the mail say about keywords.
#[derive(Default)]
struct Meanings {
    letters: HashMap<char, Keyword>,
    more: HashMap<String, Vec<Keyword>>,
}

impl Meanings {
    fn read(directory: &Path) -> Self {
        let text = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        let letter = |line: &str| {
            let (id, name) = line.split_once(' ')?;
            let id: u32 = id.parse().ok().filter(|id| *id < LETTERED)?;
            Some((char::from_u32(u32::from(b'a') + id)?, Keyword::new(name).ok()?))
        };
        let more = |line: &str| {
            let mut words = line.split(' ');
            let base = words.next()?.to_owned();
            Some((base, words.filter_map(|word| Keyword::new(word).ok()).collect()))
        };
        Self {
            letters: text(KEYWORDS).lines().filter_map(letter).collect(),
            more: text(MORE_KEYWORDS).lines().filter_map(more).collect(),
        }
    }

    /// The flags of a file. Whatever is behind `:2,` and known to nobody is passed over.
    fn flags(&self, file_name: &str) -> Flags {
        // Where a colon cannot stand in a file name, others are used.
        let info = [":2,", ";2,", "!2,"].iter().find_map(|mark| file_name.rsplit_once(mark));
        let (base, info) = info.unwrap_or((file_name, ""));
        let flag = |letter: char| {
            let system = LETTERS.iter().find(|(l, _)| *l == letter).map(|(_, flag)| flag.clone());
            system.or_else(|| self.letters.get(&letter).cloned().map(Flag::Keyword))
        };
        let more = self.more.get(base).into_iter().flatten().cloned().map(Flag::Keyword);
        info.chars().filter_map(flag).chain(more).collect()
    }
}

async fn mailbox(target: &mut Target<'_, '_>, directory: &Path, uids: &UidList) -> Result<()> {
    let meanings = Meanings::read(directory);
    let files = store::blocking(|| files(directory))?;
    for (uid, (time, path)) in uids.number(files) {
        let account = target.account().clone();
        match store::blocking(|| receive(&account, &path)) {
            Ok(received) => {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let flags = meanings.flags(name);
                target.push(uid, received, flags, Some(DateTime::utc(time))).await?;
            }
            Err(error @ (crate::Error::Store(store::Error::TooBig { .. }) | crate::Error::Io { .. })) => {
                target.report().problem(format!("{}: {error}", path.display()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The messages of a mailbox in the order in which they came.
fn files(directory: &Path) -> Result<Vec<(UnixTime, PathBuf)>> {
    let mut files = vec![];
    for folder in ["cur", "new"] {
        let folder = directory.join(folder);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.at(&folder)?;
            let path = entry.path();
            let metadata = entry.metadata().at(&path)?;
            if metadata.is_file() && !entry.file_name().as_encoded_bytes().starts_with(b".") {
                files.push((unix_time(metadata.modified().at(&path)?), path));
            }
        }
    }
    files.sort_by(|(a_time, a), (b_time, b)| (a_time, number(a), a).cmp(&(b_time, number(b), b)));
    Ok(files)
}

/// The number that a file name has behind its time: messages of one second in their order.
fn number(path: &Path) -> u64 {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let digits = name.split('.').nth(1).and_then(|unique| unique.split('M').nth(1)).unwrap_or_default();
    digits.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn receive(account: &Account, path: &Path) -> Result<store::Received> {
    let mut file = File::open(path).at(path)?;
    let mut incoming = account.receive()?;
    let (mut crlf, mut piece, mut out) = (ToCrlf::default(), vec![0; PIECE], vec![]);
    loop {
        let read = file.read(&mut piece).at(path)?;
        if read == 0 {
            return Ok(incoming.finish()?);
        }
        crlf.push(piece.get(..read).unwrap_or_default(), &mut out);
        incoming.push(&out)?;
        out.clear();
    }
}
