//! `dovecot-uidlist`: which file has which UID.
//!
//! ```text
//! 3 V1795176000 N45 G…        the version, UIDVALIDITY, UIDNEXT
//! 44 :1795176000.M7P1.host,S=321:2,FSa
//! ```
//! Version 1 has the numbers without letters, and no colon.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use store::Snapshot;
use types::{Uid, UidValidity, UnixTime};

use crate::target::Numbering;
use crate::{At, Result};

const FILE: &str = "dovecot-uidlist";

/// What a list says; nothing where there is none.
#[derive(Debug, Default)]
pub(super) struct UidList {
    pub(super) numbering: Option<Numbering>,
    /// By what stands before the flags in the name of a file.
    uids: HashMap<String, Uid>,
}

impl UidList {
    /// A list that cannot be read is none: messages get new UIDs.
    pub(super) fn read(directory: &Path) -> Self {
        fs::read_to_string(directory.join(FILE)).map_or_else(|_| Self::default(), |text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let mut list = Self { numbering: lines.next().and_then(head), uids: HashMap::new() };
        if list.numbering.is_some() {
            list.uids.extend(lines.filter_map(entry));
        }
        list
    }

    /// Each file with its UID, ascending; those that are not in the list come last, in their order.
    pub(super) fn number(&self, files: Vec<(UnixTime, PathBuf)>) -> Vec<(Uid, (UnixTime, PathBuf))> {
        let known = |(_, path): &(UnixTime, PathBuf)| {
            let name = path.file_name().and_then(|name| name.to_str())?;
            self.uids.get(base(name)).copied()
        };
        let (mut listed, mut others): (Vec<_>, Vec<_>) = (vec![], vec![]);
        for file in files {
            match known(&file) {
                Some(uid) => listed.push((uid, file)),
                None => others.push(file),
            }
        }
        listed.sort_by_key(|(uid, _)| *uid);
        // A file that is there twice is two messages.
        let mut next = Uid::MIN;
        for (uid, _) in &mut listed {
            *uid = next.max(*uid);
            next = uid.next().unwrap_or(Uid::MAX);
        }
        next = next.max(self.numbering.map_or(Uid::MIN, |numbering| numbering.uid_next));
        for file in others {
            listed.push((next, file));
            next = next.next().unwrap_or(Uid::MAX);
        }
        listed
    }
}

fn head(line: &str) -> Option<Numbering> {
    let mut words = line.split(' ');
    let (validity, next) = match words.next()? {
        "3" => {
            let find = |letter: char| words.clone().find_map(|word| word.strip_prefix(letter));
            (find('V')?, find('N')?)
        }
        "1" => (words.next()?, words.next()?),
        _ => return None,
    };
    let uid_validity = UidValidity::new(validity.parse().ok()?)?;
    Some(Numbering { uid_validity, uid_next: Uid::new(next.parse().ok()?)? })
}

fn entry(line: &str) -> Option<(String, Uid)> {
    let (uid, rest) = line.split_once(' ')?;
    let name =
        if rest.starts_with(':') { rest.get(1..)? } else { rest.split_once(" :").map_or(rest, |(_, name)| name) };
    Some((base(name).to_owned(), Uid::new(uid.parse().ok()?)?))
}

/// The name of a file without its flags.
fn base(name: &str) -> &str {
    [":2,", ";2,", "!2,"].iter().find_map(|mark| name.rsplit_once(mark)).map_or(name, |(base, _)| base)
}

/// Writes a list.
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Writer {
    pub(super) fn new(directory: &Path, snapshot: &Snapshot) -> Result<Self> {
        let path = directory.join(FILE);
        let mut file = BufWriter::new(File::create(&path).at(&path)?);
        writeln!(file, "3 V{} N{}", snapshot.uid_validity(), snapshot.uid_next()).at(&path)?;
        Ok(Self { path, file })
    }

    pub(super) fn push(&mut self, uid: Uid, base: &str) -> Result<()> {
        writeln!(self.file, "{uid} :{base}").at(&self.path)
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.file.flush().at(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions() {
        for text in
            ["3 V17 N45 Gabc\n40 :one,S=3:2,S\n44 W3 S4 :two\n", "1 17 45\n40 one,S=3\n44 two:2,\nrubbish\n0 three\n"]
        {
            let list = UidList::parse(text);
            let numbering = list.numbering.unwrap();
            assert_eq!((numbering.uid_validity.get(), numbering.uid_next.get()), (17, 45));
            let file = |name: &str| (UnixTime(0), PathBuf::from(format!("cur/{name}")));
            let numbered = list.number(vec![file("new"), file("two:2,F"), file("one,S=3:2,"), file("newer")]);
            let numbered: Vec<_> = numbered
                .iter()
                .map(|(uid, (_, path))| (uid.get(), path.file_name().unwrap().to_str().unwrap()))
                .collect();
            assert_eq!(numbered, [(40, "one,S=3:2,"), (44, "two:2,F"), (45, "new"), (46, "newer")]);
        }
        for text in ["", "2 17 45\n", "3 V0 N1\n", "3 V1\n1 :x"] {
            assert!(UidList::parse(text).numbering.is_none() && UidList::parse(text).uids.is_empty());
        }
    }
}
