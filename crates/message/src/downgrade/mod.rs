//! Internationalised messages (RFC 6532) for those who do not take UTF-8 in headers: a surrogate in
//! ASCII, made as RFC 6857 says.
//!
//! Of the two standards the one that loses least: what RFC 6858 silently leaves out stays readable here,
//! and a client that knows RFC 2047 and RFC 2231, as all do, shows the same names, subjects and file
//! names as one that takes UTF-8. Only addresses with a local part beyond ASCII cannot be answered.
//!
//! What is 8-bit but not UTF-8 is no internationalised message, and is left as it stands.

mod encode;
mod ready;

use std::borrow::Cow;

use crate::{
    Address, ContentType, Disposition, Header, Mailbox,
    address::parse_addresses,
    cursor::is_space,
    header::{Field, unfold},
    mime::Params,
};

pub use ready::{downgrade_envelope, downgrade_structure};

/// Appends a header block in ASCII.
pub fn downgrade_header(header: Header<'_>, out: &mut Vec<u8>) {
    let mut fields = header.fields();
    for field in fields.by_ref() {
        match std::str::from_utf8(field.name).ok().zip(std::str::from_utf8(&unfold(field.value)).ok()) {
            Some((name, value)) if !field.raw.is_ascii() => downgrade_field(&field, name, value.trim(), out),
            _ => out.extend_from_slice(field.raw),
        }
    }
    out.extend_from_slice(fields.rest());
}

/// RFC 6857 §3.2
fn downgrade_field(field: &Field<'_>, name: &str, value: &str, out: &mut Vec<u8>) {
    let lower = name.to_ascii_lowercase();
    let text = match &lower[..] {
        "from"
        | "sender"
        | "to"
        | "cc"
        | "bcc"
        | "reply-to"
        | "resent-from"
        | "resent-sender"
        | "resent-to"
        | "resent-cc"
        | "resent-bcc"
        | "resent-reply-to"
        | "return-path"
        | "disposition-notification-to" => list_text(&addresses(&parse_addresses(field.value))),
        "content-type" => match ContentType::parse(field.value) {
            Some(kind) => format!("{}/{}{}", kind.main, kind.sub, params_text(&kind.params)),
            None => encode::unstructured(value),
        },
        "content-disposition" => match Disposition::parse(field.value) {
            Some(disposition) => format!("{}{}", disposition.kind, params_text(&disposition.params)),
            None => encode::unstructured(value),
        },
        "received" => received(&comments(value)),
        "message-id" | "resent-message-id" | "in-reply-to" | "references" | "original-recipient"
        | "final-recipient" => {
            let text = comments(value);
            if !text.is_ascii() {
                // §3.1.10
                return encode::fold(&format!("Downgraded-{name}"), &encode::unstructured(value), out);
            }
            text
        }
        "date"
        | "resent-date"
        | "mime-version"
        | "content-id"
        | "content-transfer-encoding"
        | "content-language"
        | "accept-language"
        | "auto-submitted" => encode::unstructured(&comments(value)),
        _ => encode::unstructured(value),
    };
    encode::fold(name, &text, out);
}

/// Addresses in ASCII (§3.1.5 to §3.1.8): those that have no form in ASCII become the name of a group
/// without members.
fn addresses(list: &[Address]) -> Vec<Address> {
    let mut out = Vec::with_capacity(list.len());
    let mut rest = list.iter();
    while let Some(address) = rest.next() {
        match address {
            Address::Mailbox(mailbox) => out.extend(mailbox_in_ascii(mailbox)),
            Address::GroupStart(name) => {
                // Groups do not nest: what would be a group in a group is left out.
                let members = rest.by_ref().take_while(|a| **a != Address::GroupEnd);
                let members: Vec<_> = members.filter(|a| matches!(a, Address::Mailbox(_))).cloned().collect();
                let converted: Vec<_> = members.iter().flat_map(member).collect();
                if converted.contains(&Address::GroupEnd) {
                    // §3.1.7
                    let original = encode::words(&list_text(&members));
                    out.push(Address::GroupStart(joined(Some(phrase(name)), original)));
                } else {
                    out.push(Address::GroupStart(phrase(name)));
                    out.extend(converted);
                }
                out.push(Address::GroupEnd);
            }
            Address::GroupEnd => out.push(Address::GroupEnd),
        }
    }
    out
}

fn member(address: &Address) -> Vec<Address> {
    match address {
        Address::Mailbox(mailbox) => mailbox_in_ascii(mailbox),
        Address::GroupStart(_) | Address::GroupEnd => vec![],
    }
}

fn mailbox_in_ascii(mailbox: &Mailbox) -> Vec<Address> {
    let name = mailbox.name.as_deref().map(phrase);
    let route = mailbox.route.clone().filter(|route| route.is_ascii());
    let host = std::str::from_utf8(&mailbox.host).ok().and_then(encode::domain);
    if let (true, Some(host)) = (mailbox.local.is_ascii(), host) {
        return vec![Address::Mailbox(Mailbox { name, route, local: mailbox.local.clone(), host: host.into_bytes() })];
    }
    // §3.1.8
    let address = [&mailbox.local[..], &mailbox.host].join(&b'@');
    vec![Address::GroupStart(joined(name, encode::words(&String::from_utf8_lossy(&address)))), Address::GroupEnd]
}

/// A display name in ASCII.
fn phrase(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(text) if !text.is_ascii() => encode::words(text).into_bytes(),
        _ => name.to_vec(),
    }
}

fn joined(name: Option<Vec<u8>>, encoded: String) -> Vec<u8> {
    let encoded = encoded.into_bytes();
    name.filter(|name| !name.is_empty()).map_or(encoded.clone(), |name| [name, encoded].join(&b' '))
}

/// Addresses as a field has them.
fn list_text(list: &[Address]) -> String {
    let mut out = String::new();
    let mut opens = true;
    for address in list {
        if !opens && *address != Address::GroupEnd {
            out.push_str(", ");
        }
        opens = false;
        match address {
            Address::Mailbox(Mailbox { name, local, host, .. }) => {
                let at = [&local[..], host].join(&b'@');
                let at = String::from_utf8_lossy(&at);
                match name {
                    Some(name) => out.push_str(&format!("{} <{at}>", phrase_text(name))),
                    None => out.push_str(&at),
                }
            }
            Address::GroupStart(name) => {
                out.push_str(&phrase_text(name));
                out.push_str(" :");
                opens = true;
            }
            Address::GroupEnd => out.push(';'),
        }
    }
    out
}

/// `phrase` (RFC 5322 §3.2.5): in quotes where it needs them; encoded words may not have them.
fn phrase_text(name: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(name);
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || c == ' ' || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
    if text.contains("=?") || (!text.is_empty() && text.chars().all(is_plain)) {
        return text;
    }
    Cow::Owned(quoted(&text))
}

/// Parameters in ASCII (§3.1.4).
fn params_text(params: &Params) -> String {
    let mut out = String::new();
    for param in params.iter() {
        let value = String::from_utf8_lossy(&param.value);
        let base = param.name.strip_suffix('*');
        if base.is_none() && value.is_ascii() {
            out.push_str(&format!("; {}={}", param.name, quoted(&value)));
            continue;
        }
        // RFC 2231 §3: continuations, so that no line is too long.
        let (base, encoded) = (base.unwrap_or(&param.name), encode::extended(&value));
        let pieces: Vec<_> = pieces(&encoded).collect();
        match &pieces[..] {
            [one] => out.push_str(&format!("; {base}*={one}")),
            several => {
                for (n, piece) in several.iter().enumerate() {
                    out.push_str(&format!("; {base}*{n}*={piece}"));
                }
            }
        }
    }
    out
}

/// Cuts an extended value, not in the middle of an octet.
fn pieces(encoded: &str) -> impl Iterator<Item = &str> {
    let mut rest = encoded;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut at = rest.len().min(54);
        if at < rest.len() {
            let tail = rest.get(at - 2..at).and_then(|tail| tail.find('%'));
            at -= tail.map_or(0, |tail| 2 - tail);
        }
        let (piece, after) = rest.split_at_checked(at)?;
        rest = after;
        Some(piece)
    })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Comments in ASCII (§3.1.3); the rest as it stands.
fn comments(value: &str) -> String {
    let (mut out, mut comment) = (String::new(), String::new());
    let (mut depth, mut in_quotes, mut escaped) = (0_usize, false, false);
    for c in value.chars() {
        let literal = escaped;
        escaped = c == '\\' && !literal;
        match c {
            '"' if depth == 0 && !literal => in_quotes = !in_quotes,
            '(' if !in_quotes && !literal => depth += 1,
            ')' if depth == 1 && !literal => {
                depth = 0;
                out.push('(');
                out.push_str(&encode::unstructured(comment.get(1..).unwrap_or_default()));
                comment.clear();
            }
            ')' if depth > 1 && !literal => depth -= 1,
            _ => {}
        }
        if depth == 0 { out.push(c) } else { comment.push(c) }
    }
    // One that is never closed.
    out + &encode::unstructured(&comment)
}

/// §3.2.4: domains in A-labels; clauses that have no form in ASCII are left out.
fn received(value: &str) -> String {
    let mut out: Vec<Cow<'_, str>> = Vec::new();
    for word in value.split(|c: char| c.is_ascii() && is_space(c as u8)) {
        if word.is_ascii() {
            out.push(word.into());
            continue;
        }
        match encode::domain(word.trim_end_matches(';')).filter(|domain| domain.is_ascii()) {
            Some(domain) if !word.contains(['@', '<']) => {
                out.push(if word.ends_with(';') { format!("{domain};").into() } else { domain.into() });
            }
            _ => {
                // "for <…>" and "id …": the word before goes along.
                out.pop();
                if word.ends_with(';') {
                    out.push(";".into());
                }
            }
        }
    }
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn downgraded(header: &str) -> String {
        let mut out = Vec::new();
        downgrade_header(Header::new(header.as_bytes()), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check(field: &str, expected: &str) {
        assert_eq!(downgraded(&format!("{field}\r\n")), format!("{expected}\r\n"));
    }

    #[test]
    fn ascii_and_what_is_not_utf8_stay() {
        let header = b"Subject: a\r\n b\r\nFrom: <a@b>\r\nX: \xfc\r\n\r\n";
        let mut out = Vec::new();
        downgrade_header(Header::new(header), &mut out);
        assert_eq!(out, header);
    }

    // RFC 6857 §3.2.1
    #[test]
    fn address_fields() {
        check("From: Jörg <j@x.example>", "From: =?UTF-8?B?SsO2cmc=?= <j@x.example>");
        check("To: a@b, \"Jo, ü\" <c@müller.example>", "To: a@b, =?UTF-8?B?Sm8sIMO8?= <c@xn--mller-kva.example>");
        check("cc: ü@x.example", "cc: =?UTF-8?B?w7xAeC5leGFtcGxl?= :;");
        check("Cc: Jo <ü@x.example>, d@e", "Cc: Jo =?UTF-8?B?w7xAeC5leGFtcGxl?= :;, d@e");
        check("To: g: a@b, ü <c@d>;", "To: g :a@b, =?UTF-8?B?w7w=?= <c@d>;");
        check("To: g: a@b, ü@d;", "To: g =?UTF-8?B?YUBiLCDDvEBk?= :;");
        check("From: \"ü\" (x) <j@x>, \"A. B\" <k@x>", "From: =?UTF-8?B?w7w=?= <j@x>, \"A. B\" <k@x>");
    }

    #[test]
    fn groups_without_end() {
        let many = vec![Address::GroupStart(b"g".to_vec()); 100_000];
        assert_eq!(addresses(&many), [Address::GroupStart(b"g".to_vec()), Address::GroupEnd]);
    }

    // RFC 6857 §3.2.2 to §3.2.8
    #[test]
    fn other_fields() {
        check("Subject: Re: Grüße", "Subject: Re: =?UTF-8?B?R3LDvMOfZQ==?=");
        check("X-Any:ü", "X-Any: =?UTF-8?B?w7w=?=");
        check("Message-ID: <ü@x>", "Downgraded-Message-ID: =?UTF-8?B?PMO8QHg+?=");
        check("References: <a@x> (ü) <b@x>", "References: <a@x> (=?UTF-8?B?w7w=?=) <b@x>");
        check("MIME-Version: 1.0 (ü \\) (x))", "MIME-Version: 1.0 (=?UTF-8?B?w7w=?= \\) (x))");
        check(
            "Received: from müller.example (ü) by b with UTF8LMTP id 1 for <ü@x>; Mon, 1 Jan 2026 00:00:00 +0000",
            "Received: from xn--mller-kva.example (=?UTF-8?B?w7w=?=) by b with UTF8LMTP\r\n id 1 ; Mon, 1 Jan 2026 00:00:00 +0000",
        );
    }

    // RFC 6857 §3.2.5
    #[test]
    fn mime_fields() {
        check(
            "Content-Disposition: attachment; filename=\"ü.txt\"; size=3",
            "Content-Disposition: attachment; filename*=UTF-8''%C3%BC.txt; size=\"3\"",
        );
        let long = format!("Content-Type: text/plain; name=\"{}\"", "ü".repeat(60));
        let out = downgraded(&format!("{long}\r\n"));
        assert!(out.is_ascii() && out.lines().all(|line| line.len() <= 76), "{out}");
        let kind = ContentType::of(Header::new(out.as_bytes())).unwrap();
        assert_eq!(kind.params.get("name"), Some("ü".repeat(60).as_bytes()));
    }

    proptest! {
        #[test]
        fn always_ascii(name in "(From|To|Subject|Content-Type|Received|Message-ID|Date|X)", value in "[ -~äß€\u{1f600}]{0,80}") {
            let header = format!("{name}: {value}\r\n\r\n");
            prop_assert!(downgraded(&header).is_ascii());
        }

        #[test]
        fn nothing_panics(octets: Vec<u8>) {
            downgrade_header(Header::new(&octets), &mut Vec::new());
        }
    }
}
