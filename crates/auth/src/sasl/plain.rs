//! PLAIN (RFC 4616): one message, `[authzid] NUL authcid NUL passwd`.

use super::{Credentials, SaslError};
use crate::Secret;

/// Octets of each of the three fields at most. RFC 4616 §2 lets a name have 255 code points and more
/// is nobody's; the field is refused before anything is copied.
const MAX_FIELD: usize = 4 * 255;

/// RFC 4616 §2:
/// ```text
///   message   = [authzid] UTF8NUL authcid UTF8NUL passwd
///   authcid   = 1*SAFE ; MUST accept up to 255 octets
///   authzid   = 1*SAFE ; MUST accept up to 255 octets
///   passwd    = 1*SAFE ; MUST accept up to 255 octets
///   SAFE      = UTF-8 encoded character except NUL
/// ```
pub(super) fn parse(message: &[u8]) -> Result<Credentials, SaslError> {
    let text = std::str::from_utf8(message).map_err(|_| SaslError::Malformed("a PLAIN message is UTF-8"))?;
    let mut fields = text.split('\0');
    let (Some(authzid), Some(authcid), Some(password), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(SaslError::Malformed("a PLAIN message has two NULs"));
    };
    if authcid.is_empty() {
        return Err(SaslError::Malformed("the name is missing"));
    }
    if password.is_empty() {
        return Err(SaslError::Malformed("the password is missing"));
    }
    if [authzid, authcid, password].iter().any(|field| field.len() > MAX_FIELD) {
        return Err(SaslError::Malformed("a field of the PLAIN message is too long"));
    }
    // RFC 4616 §2: an authorization identity is optional; ours is always the authentication identity.
    if !authzid.is_empty() && authzid != authcid {
        return Err(SaslError::Authorization);
    }
    Ok(Credentials { name: authcid.to_owned(), password: Secret::from(password) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(message: &str) -> (String, String) {
        let credentials = parse(message.as_bytes()).unwrap();
        (credentials.name, credentials.password.expose().to_owned())
    }

    #[test]
    fn rfc4616_section_4() {
        assert_eq!(ok("\0tim\0tanstaaftanstaaf"), ("tim".into(), "tanstaaftanstaaf".into()));
        // The second example acts for another (Ursel, Kurt): nobody may.
        assert_eq!(parse(b"Ursel\0Kurt\0xipj3plmq"), Err(SaslError::Authorization));
        assert_eq!(ok("Kurt\0Kurt\0xipj3plmq"), ("Kurt".into(), "xipj3plmq".into()));
    }

    #[test]
    fn nuls_empty_fields_and_utf8() {
        let malformed = |m: &[u8]| assert!(matches!(parse(m), Err(SaslError::Malformed(_))), "{m:?}");
        malformed(b"");
        malformed(b"tim");
        malformed(b"tim\0secret");
        malformed(b"\0tim\0");
        malformed(b"\0\0secret");
        malformed(b"\0tim\0sec\0ret");
        malformed(b"\0t\xefm\0secret");
        malformed(b"\0tim\0s\xff");
        assert_eq!(ok("\0tïm\0pässwörd").1, "pässwörd");
    }

    #[test]
    fn fields_of_255_octets_are_taken_and_huge_ones_are_not() {
        let long = "x".repeat(255);
        assert_eq!(ok(&format!("{long}\0{long}\0{long}")), (long.clone(), long));
        let huge = "x".repeat(MAX_FIELD + 1);
        assert!(parse(format!("\0tim\0{huge}").as_bytes()).is_err());
        assert!(parse(format!("\0{huge}\0secret").as_bytes()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn what_goes_in_comes_out(name in "[^\0]{1,60}", password in "[^\0]{1,60}") {
            let got = parse(format!("\0{name}\0{password}").as_bytes()).unwrap();
            proptest::prop_assert_eq!(got, Credentials { name, password: Secret::new(password) });
        }

        #[test]
        fn nothing_panics(message: Vec<u8>) {
            let _ = parse(&message);
        }
    }
}
