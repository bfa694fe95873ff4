//! The header of a literal at the end of a line.

/// `{n}`, `{n+}`, `~{n}`, `~{n+}` (RFC 9051 §4.3, RFC 7888, RFC 3516 §4.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LiteralHeader {
    /// Octets that follow. A number too large for 64 bits counts as the largest there is.
    pub size: u64,
    /// The client waits for a continuation request before it sends them.
    pub sync: bool,
    /// `literal8` (RFC 3516): NUL octets are allowed.
    pub binary: bool,
}

impl LiteralHeader {
    /// The header with which `line`, without its line end, ends; and what stands before it.
    ///
    /// `literal = "{" number64 ["+"] "}"`, `literal8 = "~{" number64 ["+"] "}"`. Nothing else may
    /// end a line in this way: an atom has no brace, and a quoted string ends in a quotation mark.
    pub(super) fn at_end(line: &[u8]) -> Option<(Self, &[u8])> {
        let inner = line.strip_suffix(b"}")?;
        let (inner, sync) = inner.strip_suffix(b"+").map_or((inner, true), |inner| (inner, false));
        let digits_start = inner.iter().rposition(|b| !b.is_ascii_digit())?;
        let (before, digits) = inner.split_at_checked(digits_start + 1)?;
        let before = before.strip_suffix(b"{").filter(|_| !digits.is_empty())?;
        let size = std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX);
        let (before, binary) = before.strip_suffix(b"~").map_or((before, false), |before| (before, true));
        Some((Self { size, sync, binary }, before))
    }

    /// Octets of the longest header whose number means anything, with its line end.
    pub(super) const MAX_LEN: usize = "~{18446744073709551615+}\r\n".len();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let header = |size, sync, binary| LiteralHeader { size, sync, binary };
        let at_end = |line: &'static str| {
            LiteralHeader::at_end(line.as_bytes()).map(|(h, before)| (h, std::str::from_utf8(before).unwrap()))
        };
        assert_eq!(at_end("a LOGIN {5}"), Some((header(5, true, false), "a LOGIN ")));
        assert_eq!(at_end("a LOGIN {5+}"), Some((header(5, false, false), "a LOGIN ")));
        assert_eq!(at_end("~{0}"), Some((header(0, true, true), "")));
        assert_eq!(at_end("~{0+}"), Some((header(0, false, true), "")));
        assert_eq!(at_end("{99999999999999999999999}"), Some((header(u64::MAX, true, false), "")));
        for none in ["", "}", "{}", "{+}", "5}", "{5", "{5}x", "{-5}", "{5++}", "{a}", "{5} "] {
            assert_eq!(at_end(none), None, "{none}");
        }
    }
}
