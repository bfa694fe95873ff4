//! Password hashes: Argon2id in PHC strings.
//!
//! Passwords are prepared by the OpaqueString profile of RFC 8265 §4.2 before they are hashed, when
//! they are set and when they are checked, so that one password typed on two keyboards is one
//! password. (RFC 4616 §2 names SASLprep, which RFC 8265 replaces; both agree for ASCII.)

use std::fmt;
use std::str::FromStr;

use argon2::password_hash::{self, Ident, ParamsString, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::Secret;

/// Octets of salt that a new hash wants (RFC 9106 §3.1 recommends 16).
pub const SALT_LEN: usize = 16;

/// In octets of UTF-8: longer ones cannot be set and never match. Hashing must not be a way to make us work.
const MAX_PASSWORD: usize = 1024;

/// The parameters of new hashes: 19 MiB, two passes, one lane (OWASP's first choice for Argon2id),
/// some 20 ms.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What a stored hash may ask of us at most, so that a strange one cannot take the machine's memory.
const MAX_MEMORY_KIB: u32 = 1 << 20;
const MAX_PASSES: u32 = 64;

/// Why a password or a stored hash is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordError {
    /// An empty password proves nothing (RFC 8265 §4.2.2 forbids it).
    #[error("a password cannot be empty")]
    Empty,
    /// More than 1024 octets.
    #[error("a password has at most {MAX_PASSWORD} octets")]
    TooLong,
    /// C0, DEL or C1 (RFC 8264 §4.3.3 keeps them out of the FreeformClass).
    #[error("a password cannot contain control characters")]
    Control,
    /// The stored text is no Argon2 hash in PHC form that we would compute.
    #[error("not an Argon2 hash in PHC form with sensible parameters")]
    Unreadable,
}

/// A password hash as it is stored: a PHC string such as
/// `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`. Any `argon2id`, `argon2i` or `argon2d` hash with
/// sensible parameters can be checked, so accounts can come from other servers.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Hashes a new password under a random salt. About 20 ms and 19 MiB.
    pub fn new(password: &Secret, salt: [u8; SALT_LEN]) -> Result<Self, PasswordError> {
        Self::of(&prepare(password)?, &salt)
    }

    /// A hash that no password matches and that takes as long to check as a real one: for names
    /// that nobody has, so that time does not tell which names exist.
    pub fn dummy() -> Self {
        // Only `matches` of the real hash would say yes, and nobody knows a password for all zeros.
        const NOTHING: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                               AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        Self(NOTHING.to_owned())
    }

    /// True where `password` is the one that was hashed. About 20 ms and 19 MiB with our own
    /// parameters, also where the password could never have been set.
    pub fn matches(&self, password: &Secret) -> bool {
        self.matches_in(password, &mut Workspace::default())
    }

    /// As [`Self::matches`], in memory that is there already.
    pub fn matches_in(&self, password: &Secret, workspace: &mut Workspace) -> bool {
        let (prepared, settable) = match prepare(password) {
            Ok(prepared) => (prepared, true),
            Err(_) => (Zeroizing::new(String::new()), false),
        };
        let Ok(stored) = password_hash::PasswordHash::new(&self.0) else { return false };
        workspace.verify(prepared.as_bytes(), &stored).unwrap_or(false) && settable
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(prepared: &str, salt: &[u8]) -> Result<Self, PasswordError> {
        let hash = || -> password_hash::Result<String> {
            let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
            let mut output = Zeroizing::new([0u8; Params::DEFAULT_OUTPUT_LEN]);
            Workspace::default().compute(&argon2, prepared.as_bytes(), salt, output.as_mut())?;
            let salt = password_hash::SaltString::encode_b64(salt)?;
            let hash = password_hash::PasswordHash {
                algorithm: Ident::new("argon2id")?,
                version: Some(Version::V0x13.into()),
                params: ParamsString::try_from(&params)?,
                salt: Some(Salt::from_b64(salt.as_str())?),
                hash: Some(password_hash::Output::new(output.as_ref())?),
            };
            Ok(hash.to_string())
        };
        hash().map(Self).map_err(|_| PasswordError::Unreadable)
    }

    #[cfg(test)]
    pub(crate) fn unchecked_for_tests(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// What a [`Workspace`] reserves at least, in blocks: 33 MiB, of which only what is used costs anything. glibc
/// maps what is larger than 32 MiB on its own and gives it back to the system when it is dropped; a smaller
/// piece may stay in its heap for ever.
const RESERVED: usize = 33 << 10;

/// The memory in which a hash is computed, 19 MiB once it was used. Keep it for as long as there are hashes
/// to compute: the system needs milliseconds to provide it.
#[derive(Default)]
pub struct Workspace(Vec<Block>);

impl Workspace {
    fn verify(&mut self, prepared: &[u8], stored: &password_hash::PasswordHash<'_>) -> password_hash::Result<bool> {
        let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else { return Ok(false) };
        let version = stored.version.map_or(Ok(Version::default()), Version::try_from)?;
        let params = Params::try_from(stored)?;
        let argon2 = Argon2::new(Algorithm::try_from(stored.algorithm)?, version, params);
        let mut octets = [0; Salt::MAX_LENGTH];
        let salt = salt.decode_b64(&mut octets)?;
        let computed =
            password_hash::Output::init_with(expected.len(), |out| Ok(self.compute(&argon2, prepared, salt, out)?));
        // `Output` compares in constant time.
        Ok(computed? == expected)
    }

    fn compute(&mut self, argon2: &Argon2<'_>, prepared: &[u8], salt: &[u8], out: &mut [u8]) -> argon2::Result<()> {
        let blocks = argon2.params().block_count();
        if self.0.capacity() < blocks {
            self.0 = Vec::with_capacity(blocks.max(RESERVED));
        }
        self.0.resize(self.0.len().max(blocks), Block::default());
        let memory = self.0.get_mut(..blocks).unwrap_or_default();
        let computed = argon2.hash_password_into_with_memory(prepared, salt, out, memory);
        // A stored hash of other origin may want more than ours do; that much is not kept.
        if blocks > MEMORY_KIB as usize {
            self.0 = Vec::new();
        }
        computed
    }
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Workspace(…)")
    }
}

impl FromStr for PasswordHash {
    type Err = PasswordError;

    /// Takes a stored PHC string; refuses what is none, or what would cost more than a gigabyte or
    /// 64 passes to check.
    fn from_str(text: &str) -> Result<Self, PasswordError> {
        let check = || -> password_hash::Result<bool> {
            let hash = password_hash::PasswordHash::new(text)?;
            Algorithm::try_from(hash.algorithm)?;
            let params = Params::try_from(&hash)?;
            let sensible = params.m_cost() <= MAX_MEMORY_KIB && params.t_cost() <= MAX_PASSES;
            Ok(sensible && hash.salt.is_some() && hash.hash.is_some())
        };
        match check() {
            Ok(true) => Ok(Self(text.to_owned())),
            _ => Err(PasswordError::Unreadable),
        }
    }
}

/// The hash is no password, but nobody needs it in a log either.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// RFC 8265 §4.2.1: non-ASCII spaces become the ASCII one, then NFC. No case or width mapping.
fn prepare(password: &Secret) -> Result<Zeroizing<String>, PasswordError> {
    let text = password.expose();
    // Length first: normalising must not be a way to spend our memory.
    if text.len() > MAX_PASSWORD {
        return Err(PasswordError::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(PasswordError::Control);
    }
    if text.is_empty() {
        return Err(PasswordError::Empty);
    }
    let space = |c: char| if is_space_separator(c) { ' ' } else { c };
    Ok(Zeroizing::new(text.chars().map(space).nfc().collect()))
}

/// Unicode's general category Zs.
fn is_space_separator(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(password: &str) -> PasswordHash {
        PasswordHash::new(&Secret::from(password), [3; SALT_LEN]).unwrap()
    }

    #[test]
    fn the_right_password_and_no_other() {
        let stored = hash("correct horse");
        assert!(stored.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stored.as_str());
        assert!(stored.matches(&Secret::from("correct horse")));
        for wrong in ["correct hors", "Correct horse", "correct horse ", "", "correct\0horse"] {
            assert!(!stored.matches(&Secret::from(wrong)), "{wrong:?}");
        }
        let again: PasswordHash = stored.as_str().parse().unwrap();
        assert_eq!(again, stored);
        assert_ne!(stored, PasswordHash::new(&Secret::from("correct horse"), [4; SALT_LEN]).unwrap());
        assert_eq!(format!("{stored:?}"), "PasswordHash(…)");
    }

    #[test]
    fn a_workspace_that_was_used_changes_nothing() {
        let stored = hash("correct horse");
        let larger = PasswordHash::unchecked_for_tests(&hash("x").as_str().replace("m=19456", "m=20480"));
        let smaller = PasswordHash::unchecked_for_tests(&hash("x").as_str().replace("m=19456", "m=64"));
        let mut workspace = Workspace::default();
        for _ in 0..2 {
            assert!(stored.matches_in(&Secret::from("correct horse"), &mut workspace));
            assert!(!stored.matches_in(&Secret::from("x"), &mut workspace));
            assert!(!smaller.matches_in(&Secret::from("x"), &mut workspace));
            assert_eq!(workspace.0.len(), MEMORY_KIB as usize);
        }
        assert!(!larger.matches_in(&Secret::from("x"), &mut workspace));
        assert!(workspace.0.is_empty(), "more than our own hashes need is not kept");
        assert!(stored.matches_in(&Secret::from("correct horse"), &mut workspace));
    }

    #[test]
    fn rfc8265_4_2_spaces_and_composition() {
        // RFC 8265 §4.3 example 3: OGHAM SPACE MARK is mapped to a space; §4.2.1: NFC, case kept.
        let stored = hash("foo bar ä");
        assert!(stored.matches(&Secret::from("foo\u{1680}bar a\u{308}")));
        assert!(!stored.matches(&Secret::from("foo bar Ä")));
        assert!(!stored.matches(&Secret::from("foobar ä")));
    }

    #[test]
    fn what_cannot_be_a_password() {
        let refused = |p: &str| PasswordHash::new(&Secret::from(p), [0; SALT_LEN]).unwrap_err();
        // RFC 8265 §4.3 examples 8 and 9: a tab, and nothing at all.
        assert_eq!(refused("my cat is a \tby"), PasswordError::Control);
        assert_eq!(refused(""), PasswordError::Empty);
        assert_eq!(refused(&"x".repeat(MAX_PASSWORD + 1)), PasswordError::TooLong);
        hash(&"x".repeat(MAX_PASSWORD));
    }

    #[test]
    fn the_dummy_costs_the_same_and_never_matches() {
        let dummy = PasswordHash::dummy();
        let parsed: PasswordHash = dummy.as_str().parse().unwrap();
        assert_eq!(parsed, dummy);
        let costs = |h: &PasswordHash| h.as_str().split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(costs(&dummy), costs(&hash("x")));
        assert!(!dummy.matches(&Secret::from("")));
        assert!(!dummy.matches(&Secret::from("x")));
    }

    #[test]
    fn stored_hashes_that_would_hurt_are_refused() {
        let salt_and_hash = "c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let parse = |params: &str| format!("$argon2id$v=19${params}${salt_and_hash}").parse::<PasswordHash>();
        assert!(parse("m=65536,t=3,p=4").is_ok());
        assert_eq!(parse("m=4194304,t=3,p=1"), Err(PasswordError::Unreadable));
        assert_eq!(parse("m=65536,t=65,p=1"), Err(PasswordError::Unreadable));
        for text in ["", "secret", "$2y$10$abcdefghijklmnopqrstuv", "$argon2id$v=19$m=19456,t=2,p=1", "$pbkdf2$abc"] {
            assert_eq!(text.parse::<PasswordHash>(), Err(PasswordError::Unreadable), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn preparing_twice_is_preparing_once(text in "\\PC{1,40}") {
            if let Ok(once) = prepare(&Secret::new(text)) {
                let twice = prepare(&Secret::new(once.to_string())).unwrap();
                proptest::prop_assert_eq!(&*twice, &*once);
            }
        }
    }
}
