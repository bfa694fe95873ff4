//! Walking over a structured header value (RFC 5322 §3.2), unfolded or not.
//!
//! Nothing here fails: broken syntax is read as what its author most likely meant, every step
//! moves forward, and nesting is counted, not recursed into.

/// A position in a header value.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn bump(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Takes `byte` if it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.bump();
        }
        found
    }

    /// The bytes up to the first that does not fit.
    pub(crate) fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&b| !fits(b)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    pub(crate) fn skip_space(&mut self) {
        self.take_while(is_space);
    }

    /// Skips white space and comments; the text of the last comment is given back, because old
    /// mailers write the name of a person there.
    pub(crate) fn skip_comments(&mut self) -> Option<Vec<u8>> {
        let mut last = None;
        loop {
            self.skip_space();
            if self.peek() != Some(b'(') {
                return last;
            }
            last = Some(self.comment());
        }
    }

    /// A comment without its outer parentheses and backslashes. `ctext` may nest.
    fn comment(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut depth = 0_usize;
        while let Some(byte) = self.bump() {
            match byte {
                b'(' => depth += 1,
                b')' if depth <= 1 => break,
                b')' => depth -= 1,
                b'\\' => {
                    text.extend(self.bump());
                    continue;
                }
                b'\r' | b'\n' => continue,
                _ => {}
            }
            if byte != b'(' || depth > 1 {
                text.push(byte);
            }
        }
        text.trim_ascii().to_vec()
    }

    /// What stands between quotes, backslashes removed. Call it on the opening quote. Without a
    /// closing quote it goes to the end.
    pub(crate) fn quoted(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        self.bump();
        while let Some(byte) = self.bump() {
            match byte {
                b'"' => break,
                b'\\' => text.extend(self.bump()),
                b'\r' | b'\n' => {}
                _ => text.push(byte),
            }
        }
        text
    }
}

/// White space in a header value; line ends count, so that a value need not be unfolded before.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_nest_and_may_stay_open() {
        let mut cursor = Cursor::new(b" (a (b) \\) c)\r\n (last) x");
        assert_eq!(cursor.skip_comments(), Some(b"last".to_vec()));
        assert_eq!(cursor.rest(), b"x");
        let mut cursor = Cursor::new(b"(a (b) \\) c) x");
        assert_eq!(cursor.skip_comments(), Some(b"a (b) ) c".to_vec()));
        let deep = vec![b'('; 100_000];
        Cursor::new(&deep).skip_comments();
    }

    #[test]
    fn quoted_strings() {
        let mut cursor = Cursor::new(br#""a \"b\" \\" c"#);
        assert_eq!(cursor.quoted(), br#"a "b" \"#);
        assert_eq!(cursor.rest(), b" c");
        assert_eq!(Cursor::new(b"\"open\\").quoted(), b"open");
    }
}
