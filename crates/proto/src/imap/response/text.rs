//! How numbers, strings and names stand in a response.

use types::MailboxName;

use crate::imap::{Dialect, mutf7};

/// Decimal digits, without the formatting machinery: FETCH writes hundreds of thousands of them.
pub(crate) fn number(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (n % 10) as u8;
        n /= 10;
        used += 1;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// `quoted` (RFC 9051 §9). Not for texts with CR, LF or NUL: those are left out.
pub(crate) fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for b in text.bytes().filter(|b| !matches!(b, 0 | b'\r' | b'\n')) {
        if matches!(b, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(b);
    }
    out.push(b'"');
}

/// `mailbox` (RFC 9051 §9), always quoted: a mailbox may be called NIL.
pub(crate) fn mailbox(out: &mut Vec<u8>, name: &MailboxName, dialect: Dialect) {
    mailbox_text(out, name.as_str(), dialect);
}

/// As [`mailbox`], for a name in the spelling of somebody else.
pub(crate) fn mailbox_text(out: &mut Vec<u8>, name: &str, dialect: Dialect) {
    if dialect.unicode_names() {
        quoted(out, name);
    } else {
        quoted(out, &mutf7::encode(name));
    }
}

/// `text` of `resp-text` (RFC 9051 §9): never empty, never a line end, and nothing that could be
/// taken for a response code. UTF-8 only once IMAP4rev2 is enabled.
pub(crate) fn text(out: &mut Vec<u8>, text: &str, dialect: Dialect) {
    if text.is_empty() {
        out.push(b'.');
    }
    if text.starts_with('[') {
        out.push(b' ');
    }
    for c in text.chars() {
        let shown = match c {
            c if c.is_control() => ' ',
            c if !c.is_ascii() && !dialect.rev2 => '?',
            c => c,
        };
        out.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(f: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        f(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers() {
        for n in [0, 7, 10, 4_294_967_295, u64::MAX] {
            assert_eq!(written(|out| number(out, n)), n.to_string());
        }
    }

    #[test]
    fn names_follow_the_dialect() {
        let name = MailboxName::new("Entw\u{fc}rfe & \"mehr\"").unwrap();
        let rev2 = Dialect { rev2: true, ..Dialect::REV1 };
        assert_eq!(written(|o| mailbox(o, &name, Dialect::default())), r#""Entw&APw-rfe &- \"mehr\"""#);
        assert_eq!(written(|o| mailbox(o, &name, rev2)), r#""Entwürfe & \"mehr\"""#);
    }

    #[test]
    fn texts_cannot_break_out_of_their_line() {
        let rev2 = Dialect { rev2: true, ..Dialect::REV1 };
        assert_eq!(written(|o| text(o, "a\r\nb OK \0", Dialect::default())), "a  b OK  ");
        assert_eq!(written(|o| text(o, "für", Dialect::default())), "f?r");
        assert_eq!(written(|o| text(o, "für", rev2)), "für");
        assert_eq!(written(|o| text(o, "[ALERT] x", rev2)), " [ALERT] x");
        assert_eq!(written(|o| text(o, "", rev2)), ".");
    }
}
