//! The strings of IMAP's grammar (RFC 9051 §9), appended to what is ready to send.

use memchr::memchr2;

/// `nil / string`
pub(crate) fn nstring(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        Some(value) => string(value, out),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// `string = quoted / literal`: quoted where it is printable ASCII, so that old parsers understand it;
/// never an atom, so that the text NIL is not nothing. NUL is in no string of the grammar: a `?` stands for it.
pub(crate) fn string(value: &[u8], out: &mut Vec<u8>) {
    let quotable = value.iter().all(|&b| matches!(b, b' '..=b'~' | b'\t'));
    if !quotable {
        out.extend_from_slice(format!("{{{}}}\r\n", value.len()).as_bytes());
        out.extend(value.iter().map(|&b| if b == 0 { b'?' } else { b }));
        return;
    }
    out.push(b'"');
    let mut rest = value;
    while let Some((before, [special, after @ ..])) =
        memchr2(b'"', b'\\', rest).and_then(|at| rest.split_at_checked(at))
    {
        out.extend_from_slice(before);
        out.extend_from_slice(&[b'\\', *special]);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// `number`: 32 bits; what is larger is shown as the largest.
pub(crate) fn number(value: u64, out: &mut Vec<u8>) {
    let value = u32::try_from(value).unwrap_or(u32::MAX);
    out.extend_from_slice(value.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Option<&[u8]>, expected: &[u8]) {
        let mut out = Vec::new();
        nstring(value, &mut out);
        assert_eq!(out, expected);
    }

    #[test]
    fn strings() {
        check(None, b"NIL");
        check(Some(b""), b"\"\"");
        check(Some(b"NIL"), b"\"NIL\"");
        check(Some(b"a \"b\" \\"), b"\"a \\\"b\\\" \\\\\"");
        check(Some("ü".as_bytes()), "{2}\r\nü".as_bytes());
        check(Some(b"a\r\nb"), b"{4}\r\na\r\nb");
        check(Some(b"a\0"), b"{2}\r\na?");
        check(Some(b"\x7f"), b"{1}\r\n\x7f");
    }

    #[test]
    fn numbers() {
        let mut out = Vec::new();
        number(u64::from(u32::MAX) + 1, &mut out);
        assert_eq!(out, b"4294967295");
    }
}
