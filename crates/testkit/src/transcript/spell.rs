//! Bytes as text: how octets of the wire are written in a transcript and shown in a failure.
//!
//! UTF-8 stands for itself, CRLF is the end of a line of text, every other octet is `\xNN`.

/// As text. What is already text stays readable.
pub(crate) fn spell(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let mut chars = chunk.valid().chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\r' if chars.next_if_eq(&'\n').is_some() => out.push('\n'),
                '\t' => out.push('\t'),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out
}

/// The octets that `text` stands for.
pub(crate) fn octets(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or("");
        match (c, escape(rest)) {
            (_, Some(byte)) => {
                out.push(byte);
                rest = rest.get(4..).unwrap_or("");
                continue;
            }
            ('\n', _) => out.extend(b"\r\n"),
            _ => out.extend(rest.as_bytes().iter().take(c.len_utf8())),
        }
        rest = after;
    }
    out
}

/// A string of IMAP with this (spelled) content, however it was sent: `"` … `"`.
pub(crate) fn quoted(content: &str) -> String {
    let mut out = String::with_capacity(content.len() + 2);
    out.push('"');
    for (at, c) in content.char_indices() {
        let is_escape = c == '\\' && content.get(at..).and_then(escape).is_some();
        if matches!(c, '"' | '\\') && !is_escape {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// The octet of a text that begins with `\xNN`.
fn escape(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("\\x")?.get(..2)?;
    u8::from_str_radix(hex, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for text in ["plain", "two\nlines", "\\x00\\xff ä", "\\Seen \\xylo"] {
            assert_eq!(spell(&octets(text)), text);
        }
        assert_eq!(octets("\\x0d|\n"), b"\r|\r\n");
        assert_eq!(spell(b"a\rb\n\xe4"), "a\\x0db\\x0a\\xe4");
    }

    #[test]
    fn a_literal_and_a_quoted_string_are_one() {
        assert_eq!(quoted("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(quoted("a\\x00"), "\"a\\x00\"");
    }
}
