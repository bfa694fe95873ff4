//! A second, much simpler opinion on what may stand on the wire: parentheses, strings, literals, atoms.

/// Whether these octets are exactly one IMAP value: `NIL`, an atom, a number, a string or a list of values.
pub(crate) fn is_value(mut rest: &[u8]) -> bool {
    let mut depth = 0usize;
    loop {
        rest = match rest {
            [b'(', after @ ..] => {
                depth += 1;
                after
            }
            [b')', after @ ..] => {
                let Some(less) = depth.checked_sub(1) else { return false };
                depth = less;
                after
            }
            [b' ', after @ ..] if depth > 0 => after,
            [b'"', after @ ..] => match quoted(after) {
                Some(after) => after,
                None => return false,
            },
            [b'{', after @ ..] => match literal(after) {
                Some(after) => after,
                None => return false,
            },
            _ => {
                let atom = rest.iter().take_while(|b| b.is_ascii_graphic() && !b"(){\"\\%*]".contains(b)).count();
                match rest.get(atom..) {
                    Some(after) if atom > 0 => after,
                    _ => return false,
                }
            }
        };
        if depth == 0 {
            return rest.is_empty();
        }
    }
}

/// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`: what follows it.
fn quoted(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'"' | b'\\', after @ ..] => after,
            [b'\\' | b'\r' | b'\n' | 0, ..] | [] => return None,
            [_, after @ ..] => after,
        }
    }
}

/// `literal = "{" number "}" CRLF *CHAR8`: what follows it.
fn literal(rest: &[u8]) -> Option<&[u8]> {
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let size: usize = std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()?;
    let (octets, after) = rest.get(digits..)?.strip_prefix(b"}\r\n")?.split_at_checked(size)?;
    (!octets.contains(&0)).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::is_value;

    #[test]
    fn values() {
        for good in ["NIL", "12", "(\"a\" NIL (\"\\\"\" {3}\r\n(\"x))", "\"\"", "(())", "(\"A\" \"B\")(\"C\")"] {
            assert_eq!(is_value(good.as_bytes()), !good.ends_with("(\"C\")"), "{good}");
        }
        for bad in ["", "(", ")", "(\"a)", "\"a\nb\"", "{9}\r\nx", "a b", "(\0)", "\"\\x\""] {
            assert!(!is_value(bad.as_bytes()), "{bad}");
        }
    }
}
