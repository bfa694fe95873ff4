//! UTF-7 (RFC 2152), for old mail only; mailbox names have a form of their own elsewhere.
//!
//! Lenient: what is not UTF-7 becomes U+FFFD, octets above ASCII are dropped to it too.

/// Decodes in pieces; holds one unit of UTF-16 and some bits.
#[derive(Debug, Default)]
pub(crate) struct Utf7 {
    shifted: Option<Shifted>,
}

#[derive(Debug, Default)]
struct Shifted {
    bits: u32,
    count: u8,
    /// Whether anything came since the `+`: `+-` is a plus sign.
    begun: bool,
    high: Option<u16>,
}

impl Utf7 {
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut String) {
        for &byte in bytes {
            self.octet(byte, out);
        }
    }

    fn octet(&mut self, byte: u8, out: &mut String) {
        let Some(shifted) = &mut self.shifted else {
            match byte {
                b'+' => self.shifted = Some(Shifted::default()),
                _ => out.push(ascii(byte)),
            }
            return;
        };
        if let Some(sextet) = sextet(byte) {
            shifted.sextet(sextet, out);
            return;
        }
        let plus = !shifted.begun;
        if shifted.high.is_some() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
        self.shifted = None;
        match byte {
            b'-' if plus => out.push('+'),
            b'-' => {}
            _ => out.push(ascii(byte)),
        }
    }

    pub(crate) fn finish(self, out: &mut String) {
        if self.shifted.is_some_and(|shifted| shifted.high.is_some()) {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

impl Shifted {
    fn sextet(&mut self, sextet: u8, out: &mut String) {
        self.begun = true;
        self.bits = self.bits << 6 | u32::from(sextet);
        self.count += 6;
        if self.count >= 16 {
            self.count -= 16;
            self.unit((self.bits >> self.count) as u16, out);
        }
    }

    fn unit(&mut self, unit: u16, out: &mut String) {
        let units = self.high.take().into_iter().chain([unit]);
        for decoded in char::decode_utf16(units) {
            match decoded {
                Ok(c) => out.push(c),
                // The first half of a pair waits for the second.
                Err(half) if half.unpaired_surrogate() == unit && (0xd800..0xdc00).contains(&unit) => {
                    self.high = Some(unit);
                }
                Err(_) => out.push(char::REPLACEMENT_CHARACTER),
            }
        }
    }
}

fn ascii(byte: u8) -> char {
    if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER }
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::Charset;

    // RFC 2152 §4: its examples.
    #[test]
    fn examples() {
        let decode = |text: &str| Charset::named(b"utf-7").unwrap().decode(text.as_bytes()).into_owned();
        assert_eq!(decode("A+ImIDkQ."), "A\u{2262}\u{391}.");
        assert_eq!(decode("Hi Mom -+Jjo--!"), "Hi Mom -\u{263a}-!");
        assert_eq!(decode("+ZeVnLIqe-"), "\u{65e5}\u{672c}\u{8a9e}");
        assert_eq!(decode("1 +- 1"), "1 + 1");
        assert_eq!(decode("+2D3eAA-"), "\u{1f600}");
        assert_eq!(decode("+2D0-x"), "\u{fffd}x");
    }
}
