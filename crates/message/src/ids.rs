//! Message-IDs as THREAD compares them (RFC 5256 §3, REFERENCES): without brackets, comments and
//! needless quotes, otherwise exact.

use crate::cursor::{Cursor, is_space};

/// The valid message ids in the value of a Message-ID, In-Reply-To or References field, in order:
/// `msg-id = [CFWS] "<" id-left "@" id-right ">" [CFWS]` (RFC 5322 §3.6.4). The iterator does not
/// keep what it has given, so a caller that wants few takes few.
pub fn message_ids(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut cursor = Cursor::new(value);
    std::iter::from_fn(move || {
        loop {
            cursor.skip_comments();
            match cursor.peek()? {
                b'<' => {
                    cursor.bump();
                    if let Some(id) = id(&mut cursor) {
                        return Some(id);
                    }
                }
                // In-Reply-To used to hold phrases (RFC 5322 §4.5.4).
                b'"' => drop(cursor.quoted()),
                _ => drop(cursor.bump()),
            }
        }
    })
}

/// Up to the `>`; "the message IDs <"01KF8JCEOCBS0045PS"@xxx.yyy.com> and <01KF8JCEOCBS0045PS@xxx.yyy.com>
/// are the same".
fn id(cursor: &mut Cursor<'_>) -> Option<Vec<u8>> {
    let mut id = Vec::new();
    loop {
        cursor.skip_comments();
        match cursor.peek()? {
            b'>' => {
                cursor.bump();
                let at = id.iter().position(|&b| b == b'@');
                return at.is_some_and(|at| at > 0 && at + 1 < id.len()).then_some(id);
            }
            // Never closed: another one begins.
            b'<' => return None,
            b'"' => id.extend(cursor.quoted()),
            _ => id.extend_from_slice(cursor.take_while(|b| !is_space(b) && !b"<>\"(".contains(&b))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &[&str]) {
        let got: Vec<_> = message_ids(value.as_bytes()).map(|id| String::from_utf8(id).unwrap()).collect();
        assert_eq!(got, expected, "{value}");
    }

    // RFC 5256 §3
    #[test]
    fn ids() {
        check("<01KF8JCEOCBS0045PS@xxx.yyy.com>", &["01KF8JCEOCBS0045PS@xxx.yyy.com"]);
        check("<\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>", &["01KF8JCEOCBS0045PS@xxx.yyy.com"]);
        check("<a@b>\r\n <c@d>,(x <e@f>)<g @ h>", &["a@b", "c@d", "g@h"]);
        check("Your message of Monday <a@b> \"<no@no>\"", &["a@b"]);
        check("<a> <@b> <a@> a@b <c@d", &[]);
        check("<a <b@c>", &["b@c"]);
        check("", &[]);
    }

    proptest! {
        #[test]
        fn never_hangs(value in "[<>@a\"( )\\\\]{0,40}") {
            assert!(message_ids(value.as_bytes()).count() <= 40);
        }
    }
}
