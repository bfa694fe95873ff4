//! System flags and keywords.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A keyword: an atom that does not begin with a backslash (RFC 9051 §2.3.2).
///
/// Kept as first written, compared without regard to ASCII case (RFC 9051 §2.3.2: keywords are
/// case-insensitive).
#[derive(Clone, Debug)]
pub struct Keyword(Arc<str>);

/// Why something is no flag or keyword.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FlagError {
    /// Nothing there.
    #[error("a flag cannot be empty")]
    Empty,
    /// A character that RFC 9051 §9 keeps out of atoms.
    #[error("a keyword cannot contain {0:?}")]
    Character(char),
    /// Longer than [`Keyword::MAX_LEN`].
    #[error("a keyword has at most {max} characters", max = Keyword::MAX_LEN)]
    TooLong,
    /// A backslash flag that is not one of the five.
    #[error("there is no such system flag")]
    UnknownSystemFlag,
}

impl Keyword {
    /// In octets.
    pub const MAX_LEN: usize = 255;

    /// Takes an atom (RFC 9051 §9 `flag-keyword`). `]` is not in atoms,
    /// although some servers send it: an importer has to replace it.
    pub fn new(text: &str) -> Result<Self, FlagError> {
        if text.is_empty() {
            return Err(FlagError::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(FlagError::TooLong);
        }
        let forbidden = |c: &char| !c.is_ascii_graphic() || "(){%*\"\\]".contains(*c);
        match text.chars().find(forbidden) {
            Some(c) => Err(FlagError::Character(c)),
            None => Ok(Self(text.into())),
        }
    }

    /// As first written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for Keyword {}
impl Hash for Keyword {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for b in self.0.bytes() {
            state.write_u8(b.to_ascii_lowercase());
        }
    }
}
impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let lower = |k: &Self| k.0.bytes().map(|b| b.to_ascii_lowercase()).collect::<Vec<_>>();
        lower(self).cmp(&lower(other))
    }
}
impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A flag that a client can set. `\Recent` is none (RFC 3501 §2.3.2: "cannot be altered by the client").
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Flag {
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Seen`
    Seen,
    /// `\Draft`
    Draft,
    /// Anything else.
    Keyword(Keyword),
}

impl Flag {
    /// The five system flags, in the order in which we write them.
    pub const SYSTEM: [Self; 5] = [Self::Answered, Self::Flagged, Self::Deleted, Self::Seen, Self::Draft];

    /// Takes `\Seen` (any case) or a keyword.
    pub fn parse(text: &str) -> Result<Self, FlagError> {
        if !text.starts_with('\\') {
            return Keyword::new(text).map(Self::Keyword);
        }
        let same = |flag: &&Self| flag.as_str().eq_ignore_ascii_case(text);
        Self::SYSTEM.iter().find(same).cloned().ok_or(FlagError::UnknownSystemFlag)
    }

    /// As it stands in the protocol.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Seen => "\\Seen",
            Self::Draft => "\\Draft",
            Self::Keyword(k) => k.as_str(),
        }
    }

    /// The bit of a system flag in [`Flags`]; stored on disk, never changes.
    const fn bit(&self) -> Option<u8> {
        match self {
            Self::Answered => Some(1),
            Self::Flagged => Some(2),
            Self::Deleted => Some(Flags::DELETED_BIT),
            Self::Seen => Some(Flags::SEEN_BIT),
            Self::Draft => Some(16),
            Self::Keyword(_) => None,
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of flags, as one message carries them: system flags as bits, keywords sorted.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Flags {
    system: u8,
    keywords: Vec<Keyword>,
}

impl Flags {
    /// `\Seen` in [`Flags::system_bits`].
    pub const SEEN_BIT: u8 = 8;
    /// `\Deleted` in [`Flags::system_bits`].
    pub const DELETED_BIT: u8 = 4;

    /// No flag.
    pub const NONE: Self = Self { system: 0, keywords: Vec::new() };

    /// From the stored bits (unknown ones are dropped) and keywords in any order.
    pub fn from_parts(system: u8, keywords: impl IntoIterator<Item = Keyword>) -> Self {
        let mut keywords: Vec<_> = keywords.into_iter().collect();
        keywords.sort();
        keywords.dedup();
        Self { system: system & 31, keywords }
    }

    /// The system flags as stored: Answered 1, Flagged 2, Deleted 4, Seen 8, Draft 16.
    pub fn system_bits(&self) -> u8 {
        self.system
    }

    /// The keywords, sorted without regard to case.
    pub fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// True where no flag is set.
    pub fn is_empty(&self) -> bool {
        self.system == 0 && self.keywords.is_empty()
    }

    /// True where `flag` is set.
    pub fn contains(&self, flag: &Flag) -> bool {
        match (flag.bit(), flag) {
            (Some(bit), _) => self.system & bit != 0,
            (None, Flag::Keyword(k)) => self.keywords.binary_search(k).is_ok(),
            (None, _) => false,
        }
    }

    /// Sets one flag.
    pub fn insert(&mut self, flag: Flag) {
        match (flag.bit(), flag) {
            (Some(bit), _) => self.system |= bit,
            (None, Flag::Keyword(k)) => {
                if let Err(at) = self.keywords.binary_search(&k) {
                    self.keywords.insert(at, k);
                }
            }
            (None, _) => {}
        }
    }

    /// Clears one flag.
    pub fn remove(&mut self, flag: &Flag) {
        match (flag.bit(), flag) {
            (Some(bit), _) => self.system &= !bit,
            (None, Flag::Keyword(k)) => self.keywords.retain(|x| x != k),
            (None, _) => {}
        }
    }

    /// These flags and those.
    pub fn union(&self, other: &Self) -> Self {
        Self::from_parts(self.system | other.system, self.keywords.iter().chain(&other.keywords).cloned())
    }

    /// These flags without those.
    pub fn difference(&self, other: &Self) -> Self {
        let keep = self.keywords.iter().filter(|k| other.keywords.binary_search(k).is_err());
        Self::from_parts(self.system & !other.system, keep.cloned())
    }

    /// The flags, system flags first.
    pub fn iter(&self) -> impl Iterator<Item = Flag> + '_ {
        let system = Flag::SYSTEM.into_iter().filter(|f| self.contains(f));
        system.chain(self.keywords.iter().cloned().map(Flag::Keyword))
    }
}

impl FromIterator<Flag> for Flags {
    fn from_iter<I: IntoIterator<Item = Flag>>(flags: I) -> Self {
        let mut set = Self::NONE;
        for flag in flags {
            set.insert(flag);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_case_insensitive_and_keep_their_spelling() {
        let mut flags: Flags = [Flag::parse("$Junk").unwrap(), Flag::parse("\\SEEN").unwrap()].into_iter().collect();
        assert!(flags.contains(&Flag::parse("$JUNK").unwrap()) && flags.contains(&Flag::Seen));
        flags.insert(Flag::parse("$junk").unwrap());
        let shown: Vec<_> = flags.iter().map(|f| f.to_string()).collect();
        assert_eq!(shown, ["\\Seen", "$Junk"]);
    }

    #[test]
    fn what_is_no_flag_is_refused() {
        assert_eq!(Flag::parse("\\Recent"), Err(FlagError::UnknownSystemFlag));
        assert_eq!(Flag::parse(""), Err(FlagError::Empty));
        assert_eq!(Flag::parse("a b"), Err(FlagError::Character(' ')));
        assert_eq!(Flag::parse("ü"), Err(FlagError::Character('ü')));
        assert_eq!(Flag::parse(&"x".repeat(256)), Err(FlagError::TooLong));
        assert!(Flag::parse(&"x".repeat(255)).is_ok());
        assert_eq!(Flag::parse("a]b"), Err(FlagError::Character(']')));
    }
}
