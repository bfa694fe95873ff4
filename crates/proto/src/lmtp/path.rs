//! Addresses in MAIL and RCPT (RFC 5321 §4.1.2, RFC 6531 §3.3).

use std::fmt;

use super::EnhancedStatus;

/// `Mailbox` of RFC 5321 §4.1.2. Also takes a local part alone (`<Postmaster>` must be accepted,
/// RFC 5321 §4.5.1; local senders such as cron write `<root>`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    local: String,
    domain: Option<String>,
}

/// Why a path was not understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PathError {
    /// No `<` and `>` around it.
    #[error("the address must stand in angle brackets")]
    Brackets,
    /// `Local-part` of RFC 5321 §4.1.2.
    #[error("the local part of the address is malformed")]
    Local,
    /// `Domain` or `address-literal` of RFC 5321 §4.1.2.
    #[error("the domain of the address is malformed")]
    Domain,
    /// The source route that should be ignored is none (RFC 5321 §4.1.2 `A-d-l`).
    #[error("the source route of the address is malformed")]
    Route,
    /// RFC 6531 §3.5: not announced for this transaction with SMTPUTF8.
    #[error("the address is not ASCII and SMTPUTF8 was not asked for")]
    Utf8Needed,
    /// `<>`, which is no recipient.
    #[error("a recipient cannot be empty")]
    Empty,
}

impl PathError {
    /// RFC 3463 §3.2: 5.1.3 for a recipient, 5.1.7 for a sender; RFC 6531 §3.5: 5.6.7.
    pub(super) fn status(self, recipient: bool) -> (u16, EnhancedStatus) {
        match self {
            Self::Utf8Needed => (553, EnhancedStatus(5, 6, 7)),
            _ if recipient => (501, EnhancedStatus(5, 1, 3)),
            _ => (501, EnhancedStatus(5, 1, 7)),
        }
    }
}

impl Address {
    /// The local part without its quoting.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain or address literal as written, if there is one.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// True where the address needs SMTPUTF8.
    pub(super) fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.as_ref().is_none_or(|d| d.is_ascii())
    }
}

/// As it stands between the angle brackets; the local part is quoted where it must be.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            f.write_str(&self.local)?;
        } else {
            f.write_str("\"")?;
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\"")?;
        }
        match &self.domain {
            Some(domain) => write!(f, "@{domain}"),
            None => Ok(()),
        }
    }
}

/// `Path = "<" [ A-d-l ":" ] Mailbox ">"`, or `"<>"`, which is `None`. Gives what follows the path.
pub(super) fn parse_path(text: &str) -> Result<(Option<Address>, &str), PathError> {
    let inner = text.strip_prefix('<').ok_or(PathError::Brackets)?;
    if let Some(rest) = inner.strip_prefix('>') {
        return Ok((None, rest));
    }
    let inner = skip_route(inner)?;
    let (local, rest) = parse_local(inner)?;
    let (domain, rest) = match rest.strip_prefix('@') {
        Some(rest) => {
            let (domain, rest) = rest.split_at(rest.find('>').ok_or(PathError::Brackets)?);
            if !is_domain(domain) && !is_address_literal(domain) {
                return Err(PathError::Domain);
            }
            (Some(domain.to_owned()), rest)
        }
        None => (None, rest),
    };
    let rest = rest.strip_prefix('>').ok_or(PathError::Brackets)?;
    Ok((Some(Address { local, domain }), rest))
}

/// `A-d-l = At-domain *("," At-domain)`, `At-domain = "@" Domain`: accepted and ignored (RFC 5321 §4.1.2).
fn skip_route(inner: &str) -> Result<&str, PathError> {
    if !inner.starts_with('@') {
        return Ok(inner);
    }
    let (route, rest) = inner.split_once(':').ok_or(PathError::Route)?;
    let hops_are_domains = route.split(',').all(|hop| hop.strip_prefix('@').is_some_and(is_domain));
    if hops_are_domains { Ok(rest) } else { Err(PathError::Route) }
}

/// `Local-part = Dot-string / Quoted-string`; gives it without quoting, and what follows.
fn parse_local(text: &str) -> Result<(String, &str), PathError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (local, rest) = text.split_at(text.find(['@', '>']).ok_or(PathError::Brackets)?);
        return if is_dot_string(local) { Ok((local.to_owned(), rest)) } else { Err(PathError::Local) };
    };
    let mut local = String::new();
    let mut chars = quoted.chars();
    loop {
        // quoted-pairSMTP = %d92 %d32-126; qtextSMTP = %d32-33 / %d35-91 / %d93-126, RFC 6531 adds UTF-8.
        let c = match chars.next().ok_or(PathError::Local)? {
            '"' if local.is_empty() => return Err(PathError::Local),
            '"' => return Ok((local, chars.as_str())),
            '\\' => chars.next().filter(char::is_ascii).ok_or(PathError::Local)?,
            c => c,
        };
        if c.is_control() {
            return Err(PathError::Local);
        }
        local.push(c);
    }
}

/// `Dot-string = Atom *("." Atom)`
fn is_dot_string(text: &str) -> bool {
    let is_atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8_text(c);
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// `Domain = sub-domain *("." sub-domain)`, `sub-domain = Let-dig [Ldh-str]`; underscores, which
/// RFC 1123 §2.1 forbids and hosts have, are let through.
fn is_domain(text: &str) -> bool {
    let is_ldh = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || is_utf8_text(c);
    let is_label = |l: &str| !l.is_empty() && !l.starts_with('-') && !l.ends_with('-') && l.chars().all(is_ldh);
    text.len() <= 255 && text.split('.').all(is_label)
}

/// `address-literal = "[" (IPv4 / "IPv6:" IPv6 / General) "]"`
fn is_address_literal(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) else {
        return false;
    };
    match inner.split_once(':') {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6") => address.parse::<std::net::Ipv6Addr>().is_ok(),
        // General-address-literal = Standardized-tag ":" 1*dcontent
        Some((tag, content)) => {
            let is_dcontent = |b: u8| matches!(b, 33..=90 | 94..=126);
            is_domain(tag) && tag.is_ascii() && !content.is_empty() && content.bytes().all(is_dcontent)
        }
        None => inner.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

/// RFC 6531 §3.3 `UTF8-non-ascii`, without the C1 controls.
fn is_utf8_text(c: char) -> bool {
    !c.is_ascii() && !c.is_control()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> (String, Option<String>) {
        let (address, rest) = parse_path(text).unwrap();
        assert_eq!(rest, "");
        let address = address.unwrap();
        (address.local().to_owned(), address.domain().map(str::to_owned))
    }

    fn at(local: &str, domain: &str) -> (String, Option<String>) {
        (local.to_owned(), Some(domain.to_owned()))
    }

    #[test]
    fn what_is_a_path() {
        assert_eq!(address("<chris@bar.com>"), at("chris", "bar.com"));
        assert_eq!(address("<Postmaster>"), ("Postmaster".into(), None));
        assert_eq!(address("<user+folder@x.example>"), at("user+folder", "x.example"));
        // RFC 5321 §4.1.2: source routes are ignored.
        assert_eq!(address("<@hosta.int,@jkl.org:userc@d.bar.org>"), at("userc", "d.bar.org"));
        assert_eq!(address(r#"<"a \"b\\ @ c"@x>"#), at(r#"a "b\ @ c"#, "x"));
        assert_eq!(address(r#"<"Joe.\Blow"@example.org>"#), at("Joe.Blow", "example.org"));
        assert_eq!(address("<a@[127.0.0.1]>"), at("a", "[127.0.0.1]"));
        assert_eq!(address("<a@[IPv6:::1]>"), at("a", "[IPv6:::1]"));
        assert_eq!(address("<björn@bücher.example>"), at("björn", "bücher.example"));
        assert_eq!(parse_path("<> SIZE=1").unwrap(), (None, " SIZE=1"));
        assert_eq!(parse_path("<a@b> BODY=8BITMIME").unwrap().1, " BODY=8BITMIME");
    }

    #[test]
    fn what_is_none() {
        for (bad, why) in [
            ("a@b", PathError::Brackets),
            ("<a@b", PathError::Brackets),
            ("<a", PathError::Brackets),
            ("< a@b>", PathError::Local),
            ("<a..b@c>", PathError::Local),
            ("<.a@c>", PathError::Local),
            ("<@c>", PathError::Route),
            (r#"<"a@b>"#, PathError::Local),
            (r#"<""@b>"#, PathError::Local),
            ("<\"a\tb\"@b>", PathError::Local),
            ("<a@>", PathError::Domain),
            ("<a@-b>", PathError::Domain),
            ("<a@b..c>", PathError::Domain),
            ("<a@[300.0.0.1]>", PathError::Domain),
            ("<a@[IPv6:zz]>", PathError::Domain),
            ("<a@b c>", PathError::Domain),
            ("<@x a@b>", PathError::Route),
        ] {
            assert_eq!(parse_path(bad), Err(why), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_the_same(local in "[ -~äß]{1,20}", domain in proptest::option::of("[a-z0-9]{1,9}(\\.[a-z]{1,3}){0,2}")) {
            let address = Address { local, domain };
            let (read, rest) = parse_path(&format!("<{address}>")).map(|(a, r)| (a, r.to_owned())).unwrap();
            prop_assert_eq!((read, rest.as_str()), (Some(address), ""));
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = parse_path(&format!("<{text}"));
        }
    }
}
