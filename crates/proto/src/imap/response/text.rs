//! How numbers, strings and names stand in a response.

use types::MailboxName;

use crate::imap::{Dialect, mutf7};

/// What has more than eight digits.
const ABOVE: u64 = 100_000_000;

/// The numbers of ranges, ends included, with a space before each: SEARCH and SORT write tens of thousands of them.
pub(crate) fn numbers(out: &mut Vec<u8>, ranges: impl IntoIterator<Item = (u32, u32)>) {
    // Here is always room for the nine octets that are written, of which some count: so nothing has to grow, be asked
    // for its room, or be cut off, number by number.
    let (mut some, mut len) = ([0; 512], 0);
    // Most numbers begin as the one before. So it is known how long they are before their digits are, and the next one
    // can be begun meanwhile.
    let mut head = Head::of(0);
    // Two loops, and no iterator of single numbers: most ranges have one, and that is a quarter faster.
    for (first, last) in ranges {
        for n in first..=last {
            let n = u64::from(n);
            if let Some((space, room)) = some.get_mut(len..len + 9).and_then(<[u8]>::split_first_mut)
                && n < ABOVE
            {
                if n / LOW != head.number {
                    head = Head::of(n / LOW);
                }
                let (text, digits) =
                    if head.number == 0 { text_of(n) } else { (head.before(n % LOW), head.digits + 4) };
                *space = b' ';
                room.copy_from_slice(&text.to_le_bytes());
                len += 1 + digits;
                continue;
            }
            out.extend_from_slice(some.get(..len).unwrap_or_default());
            out.push(b' ');
            number(out, n);
            len = 0;
        }
    }
    out.extend_from_slice(some.get(..len).unwrap_or_default());
}

/// Decimal digits, eight at a time and without a loop: FETCH and SEARCH write hundreds of thousands of numbers.
pub(crate) fn number(out: &mut Vec<u8>, n: u64) {
    let (text, digits) = if n < ABOVE {
        text_of(n)
    } else {
        number(out, n / ABOVE);
        (eight_digits(n % ABOVE) | ZEROS, 8)
    };
    out.extend_from_slice(&text.to_le_bytes());
    out.truncate(out.len() - (8 - digits));
}

/// What the last four digits come behind.
const LOW: u64 = 10_000;

/// The digits before the last four.
struct Head {
    number: u64,
    text: u64,
    digits: usize,
}

impl Head {
    fn of(number: u64) -> Self {
        let (text, digits) = text_of(number);
        Self { number, text, digits }
    }

    /// The digits of the number that goes on with these four.
    fn before(&self, low: u64) -> u64 {
        self.text | (digits(low) | u64::from(ZEROS as u32)) << (8 * self.digits)
    }
}

const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);

/// The digits of a number below 10^8 without zeros before them, the first in the lowest octet, and how many they are.
fn text_of(n: u64) -> (u64, usize) {
    let digits = eight_digits(n);
    // Of a zero one stays.
    let zeros = (digits.trailing_zeros() / 8).min(7);
    ((digits | ZEROS) >> (8 * zeros), 8 - zeros as usize)
}

/// The digits of a number below 10^8, an octet for each, the first in the lowest.
fn eight_digits(n: u64) -> u64 {
    digits((n / LOW) | ((n % LOW) << 32))
}

/// The same for each half of four digits, of two that stand side by side.
fn digits(halves: u64) -> u64 {
    // Two halves side by side, then four pairs, then eight digits. To multiply and shift is to divide by 100 and by
    // 10: exact for what is smaller than 10,000 and 100.
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((halves - 100 * hundreds) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((pairs - 10 * tens) << 8)
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
        let powers = (0..20).map(|power| 10u64.pow(power));
        let edges = powers.flat_map(|n| [n - 1, n, n + 1, 9 * (n / 10), n / 9 * 10]);
        for n in edges.chain(0..20_000).chain([u32::MAX.into(), u64::MAX]) {
            assert_eq!(written(|out| number(out, n)), n.to_string());
        }
        for n in 0..10_000 {
            assert_eq!(eight_digits(n * 10_000).to_le_bytes(), eight_digits(n).rotate_left(32).to_le_bytes());
        }
    }

    /// Short and long ones, more than are written at a time, and those beyond eight digits between them.
    #[test]
    fn many_numbers() {
        let all = (0..3000).map(|n| u32::MAX >> (n * 7 % 32)).chain(95..105).chain((9_990..20_010).step_by(3));
        let all: Vec<u32> = all.chain((9_999_995..10_000_005).chain(99_999_995..100_000_005)).collect();
        let expected: String = all.iter().map(|n| format!(" {n}")).collect();
        assert_eq!(written(|out| super::numbers(out, all.iter().map(|n| (*n, *n)))), expected);
        let ranges = [(95, 105), (u32::MAX - 1, u32::MAX)];
        let expected: String = ranges.iter().flat_map(|(a, b)| *a..=*b).map(|n| format!(" {n}")).collect();
        assert_eq!(written(|out| super::numbers(out, ranges)), expected);
        assert_eq!(written(|out| super::numbers(out, [])), "");
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
