//! A keyed hash of what somebody has proved, so that it can be recognised without being kept.

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{FixedOutput, KeyInit, Update};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{PasswordHash, Secret};

/// The key of a process: drawn at its start, kept in memory only. Without it a [`Fingerprint`]
/// cannot be used to guess the password.
pub struct FingerprintKey(Zeroizing<[u8; 64]>);

/// What a password looked like when it was right: keyed BLAKE2b over account, password and stored
/// hash, so that it stops being equal when the stored hash changes. Compared in constant time.
#[derive(Clone, Copy)]
pub struct Fingerprint([u8; 32]);

impl FingerprintKey {
    /// 64 octets from the system's random source.
    pub fn new(key: [u8; 64]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The fingerprint of `password` for the account, as long as `stored` is what the account holds.
    pub fn fingerprint(&self, account: u64, password: &Secret, stored: &PasswordHash) -> Fingerprint {
        let mut mac = Blake2bMac::<U32>::new((&*self.0).into());
        // Each part goes in with its length, so that no two different triples hash the same octets.
        mac.update(&account.to_be_bytes());
        for part in [password.expose(), stored.as_str()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Fingerprint(mac.finalize_fixed().into())
    }
}

impl std::fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FingerprintKey(…)")
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprint(…)")
    }
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Fingerprint {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let key = FingerprintKey::new([7; 64]);
        let hash = |text: &str| PasswordHash::unchecked_for_tests(text);
        let print = key.fingerprint(1, &Secret::from("ab"), &hash("c"));
        assert_eq!(print, key.fingerprint(1, &Secret::from("ab"), &hash("c")));
        assert_ne!(print, key.fingerprint(2, &Secret::from("ab"), &hash("c")));
        assert_ne!(print, key.fingerprint(1, &Secret::from("ac"), &hash("c")));
        assert_ne!(print, key.fingerprint(1, &Secret::from("ab"), &hash("d")));
        assert_ne!(print, key.fingerprint(1, &Secret::from("a"), &hash("bc")));
        assert_ne!(print, FingerprintKey::new([8; 64]).fingerprint(1, &Secret::from("ab"), &hash("c")));
    }
}
