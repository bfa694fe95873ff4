//! Address lists (RFC 5322 §3.4 and §4.4), as ENVELOPE wants them.
//!
//! Everything that people write is read as some list: missing brackets, bare names, 8-bit, unclosed
//! quotes. Encoded words are kept as they are.

use crate::cursor::{Cursor, is_space};

/// One element of an address list (RFC 9051 §7.5.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// A person or a machine.
    Mailbox(Mailbox),
    /// A group begins; its display name.
    GroupStart(Vec<u8>),
    /// The group ends.
    GroupEnd,
}

/// An address with what is written around it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mailbox {
    /// The display name, or else the comment behind the address, without quotes.
    pub name: Option<Vec<u8>>,
    /// The source route, such as `@a,@b` (RFC 5322 §4.4 obs-route).
    pub route: Option<Vec<u8>>,
    /// The local part; in quotes where it needs them. Empty where there is none.
    pub local: Vec<u8>,
    /// The domain; empty where there is none, because NIL would mean a group.
    pub host: Vec<u8>,
}

/// Addresses of one list that are looked at.
const MOST_ADDRESSES: usize = 10_000;

/// Reads the value of an address field; it need not be unfolded.
pub fn parse_addresses(value: &[u8]) -> Vec<Address> {
    let mut list = List { cursor: Cursor::new(value), out: Vec::new(), in_group: false };
    while list.out.len() < MOST_ADDRESSES && list.element() {}
    if list.in_group {
        list.out.push(Address::GroupEnd);
    }
    list.out
}

struct List<'a> {
    cursor: Cursor<'a>,
    out: Vec<Address>,
    in_group: bool,
}

/// A word of a phrase or of a local part.
struct Word {
    text: Vec<u8>,
    /// A dot, and nothing else, stands between the word before and this one.
    dotted: bool,
    /// Nothing stands between the word before and this one.
    glued: bool,
}

impl List<'_> {
    /// Reads the next element; `false` at the end.
    fn element(&mut self) -> bool {
        self.cursor.skip_comments();
        match self.cursor.peek() {
            None => return false,
            // RFC 5322 §4.4: empty elements are obsolete, not wrong.
            Some(b',') => {
                self.cursor.bump();
            }
            Some(b';') => {
                self.cursor.bump();
                if std::mem::take(&mut self.in_group) {
                    self.out.push(Address::GroupEnd);
                }
            }
            Some(_) => self.address(),
        }
        true
    }

    fn address(&mut self) {
        let (words, comment) = words(&mut self.cursor);
        match self.cursor.peek() {
            Some(b':') if !self.in_group => {
                self.cursor.bump();
                self.in_group = true;
                self.out.push(Address::GroupStart(phrase(&words)));
            }
            Some(b'<') => {
                let mut mailbox = angle(&mut self.cursor);
                mailbox.name = display_name(&words).or(self.trailing_comment(comment));
                self.push(mailbox);
            }
            Some(b'@') => {
                self.cursor.bump();
                self.without_brackets(&words, comment);
            }
            Some(byte) if !matches!(byte, b',' | b';') => {
                // A colon inside of a group, or something that belongs nowhere.
                self.cursor.bump();
                if !words.is_empty() {
                    self.bare(&words, comment);
                }
            }
            _ => self.bare(&words, comment),
        }
    }

    /// `local@domain`, perhaps with a name before it that forgot the brackets.
    fn without_brackets(&mut self, words: &[Word], comment: Option<Vec<u8>>) {
        let (host, comment_behind) = domain(&mut self.cursor);
        if self.cursor.peek() == Some(b'<') {
            // An address stands where the name should: `a@b <a@b>`.
            let mut mailbox = angle(&mut self.cursor);
            mailbox.name = Some([phrase(words), host].join(&b'@'));
            self.push(mailbox);
            return;
        }
        let begin = words.iter().rposition(|word| !word.dotted).unwrap_or(0);
        let (before, local) = words.split_at_checked(begin).unwrap_or((words, &[]));
        let name = display_name(before).or(comment_behind).or(comment);
        self.push(Mailbox { name, route: None, local: local_part(local), host });
    }

    /// Words without an address: one is a local part, several are a name.
    fn bare(&mut self, words: &[Word], comment: Option<Vec<u8>>) {
        let is_local = words.iter().skip(1).all(|word| word.dotted);
        if is_local {
            self.push(Mailbox { name: comment, local: local_part(words), ..Mailbox::default() });
        } else {
            self.push(Mailbox { name: display_name(words), ..Mailbox::default() });
        }
    }

    fn trailing_comment(&mut self, before: Option<Vec<u8>>) -> Option<Vec<u8>> {
        self.cursor.skip_comments().or(before)
    }

    fn push(&mut self, mailbox: Mailbox) {
        self.out.push(Address::Mailbox(mailbox));
        // What follows an address up to the next separator belongs to nothing.
        self.cursor.skip_comments();
        while let Some(byte) = self.cursor.peek() {
            match byte {
                b',' | b';' => return,
                b'"' => drop(self.cursor.quoted()),
                b'(' => drop(self.cursor.skip_comments()),
                _ => drop(self.cursor.bump()),
            }
        }
    }
}

/// Words up to a special character, and the last comment among them.
fn words(cursor: &mut Cursor<'_>) -> (Vec<Word>, Option<Vec<u8>>) {
    let (mut words, mut comment) = (Vec::new(), None);
    let (mut dotted, mut glued) = (false, true);
    loop {
        let before = cursor.rest().len();
        comment = cursor.skip_comments().or(comment);
        glued &= before == cursor.rest().len();
        match cursor.peek() {
            // A quote that is never closed is a slip, and what follows it is not lost.
            Some(b'"') if cursor.rest().iter().skip(1).any(|&b| b == b'"') => {
                words.push(Word { text: cursor.quoted(), dotted, glued });
            }
            Some(b'.') => {
                cursor.bump();
                // A dot in a name, as in `John Q. Public`, is obsolete (RFC 5322 §4.1).
                // Two dots have an empty word between them.
                if dotted || words.is_empty() {
                    words.push(Word { text: Vec::new(), dotted, glued });
                }
                (dotted, glued) = (true, true);
                continue;
            }
            Some(byte) if !is_special(byte) && byte != b'"' => {
                let text = cursor.take_while(|b| !is_special(b) && b != b'.' && b != b'"' && !is_space(b)).to_vec();
                words.push(Word { text, dotted, glued });
            }
            // Specials that mean nothing here.
            Some(b')' | b'>' | b'\\' | b'[' | b']' | b'"') => {
                cursor.bump();
                continue;
            }
            _ => break,
        }
        (dotted, glued) = (false, true);
    }
    if dotted {
        words.push(Word { text: Vec::new(), dotted, glued: true });
    }
    (words, comment)
}

/// RFC 5322 §3.2.3 without the dot and the quote, which are looked at before.
fn is_special(byte: u8) -> bool {
    b"()<>[]:;@\\,".contains(&byte) || byte.is_ascii_whitespace()
}

/// The words as one text; where a dot stood, it stands.
fn phrase(words: &[Word]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, word) in words.iter().enumerate() {
        if word.dotted {
            out.push(b'.');
        }
        if i > 0 && !word.glued {
            out.push(b' ');
        }
        out.extend_from_slice(&word.text);
    }
    out
}

/// The name that is shown. Outlook used to put a lone apostrophe before what it quotes.
fn display_name(words: &[Word]) -> Option<Vec<u8>> {
    let words = match words.split_first() {
        Some((first, [second, ..])) if first.text == b"'" && second.glued => words.get(1..).unwrap_or_default(),
        _ => words,
    };
    let name = phrase(words);
    (!name.is_empty() && name != b"'").then_some(name)
}

/// "local-part ABNF production from [RFC5322]" (RFC 9051 §7.5.2): a dot-atom, or else in quotes.
fn local_part(words: &[Word]) -> Vec<u8> {
    let mut text = Vec::new();
    for word in words {
        if word.dotted {
            text.push(b'.');
        }
        text.extend_from_slice(&word.text);
    }
    let plain = text.iter().all(|&b| b != b'"' && !is_special(b));
    if plain {
        return text;
    }
    let mut quoted = vec![b'"'];
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    quoted
}

/// `"<" [obs-route] addr-spec ">"`, of which everything but the first may be missing.
fn angle(cursor: &mut Cursor<'_>) -> Mailbox {
    cursor.bump();
    cursor.skip_comments();
    let route = route(cursor);
    let (words, _) = words(cursor);
    let mut mailbox = Mailbox { route, local: local_part(&words), ..Mailbox::default() };
    if cursor.eat(b'@') {
        (mailbox.host, _) = domain(cursor);
    }
    cursor.take_while(|b| !matches!(b, b'>' | b',' | b';'));
    cursor.eat(b'>');
    mailbox
}

/// `obs-route = *(CFWS / ",") "@" domain *("," [CFWS] ["@" domain]) ":"`
fn route(cursor: &mut Cursor<'_>) -> Option<Vec<u8>> {
    let mut ahead = cursor.clone();
    let mut route = Vec::new();
    loop {
        ahead.skip_comments();
        match ahead.peek()? {
            b',' => drop(ahead.bump()),
            b'@' => {
                ahead.bump();
                if !route.is_empty() {
                    route.push(b',');
                }
                route.push(b'@');
                route.extend(domain(&mut ahead).0);
            }
            b':' if !route.is_empty() => {
                ahead.bump();
                *cursor = ahead;
                return Some(route);
            }
            _ => return None,
        }
    }
}

/// `dot-atom / domain-literal / obs-domain`, and the comment behind it.
fn domain(cursor: &mut Cursor<'_>) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut out = Vec::new();
    cursor.skip_comments();
    loop {
        if cursor.peek() == Some(b'[') {
            let literal = cursor.take_while(|b| b != b']' && b != b'>');
            out.extend(literal.iter().filter(|&&b| !is_space(b)));
            if cursor.eat(b']') {
                out.push(b']');
            }
        } else {
            out.extend_from_slice(cursor.take_while(|b| !is_special(b) && b != b'"'));
        }
        let comment = cursor.skip_comments();
        // Around the dots of an obsolete domain there may be white space.
        if cursor.peek() != Some(b'.') && out.last() != Some(&b'.') || cursor.peek().is_none_or(is_special) {
            return (out, comment);
        }
        if cursor.peek() == Some(b'"') {
            return (out, comment);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `name|route|local|host`, `{group`, `}`.
    fn show(value: &str) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let or_nil = |bytes: &Option<Vec<u8>>| bytes.as_deref().map_or("NIL".into(), text);
        let one = |address: &Address| match address {
            Address::Mailbox(m) => {
                format!("{}|{}|{}|{}", or_nil(&m.name), or_nil(&m.route), text(&m.local), text(&m.host))
            }
            Address::GroupStart(name) => format!("{{{}", text(name)),
            Address::GroupEnd => "}".into(),
        };
        parse_addresses(value.as_bytes()).iter().map(one).collect::<Vec<_>>().join(" & ")
    }

    #[track_caller]
    fn check(value: &str, expected: &str) {
        assert_eq!(show(value), expected, "{value}");
    }

    // RFC 5322 appendix A.1.2, A.1.3, A.5, A.6.1
    #[test]
    fn rfc_5322_appendix_a() {
        check("John Doe <jdoe@machine.example>", "John Doe|NIL|jdoe|machine.example");
        check("\"Joe Q. Public\" <john.q.public@example.com>", "Joe Q. Public|NIL|john.q.public|example.com");
        check(
            "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
            "Mary Smith|NIL|mary|x.test & NIL|NIL|jdoe|example.org & Who?|NIL|one|y.test",
        );
        check(
            "<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>",
            "NIL|NIL|boss|nil.test & Giant; \"Big\" Box|NIL|sysservices|example.net",
        );
        check(
            "A Group:Ed Jones <joe@where.test>,joe@where.test,John <jdoe@one.test>;",
            "{A Group & Ed Jones|NIL|joe|where.test & NIL|NIL|joe|where.test & John|NIL|jdoe|one.test & }",
        );
        check("Undisclosed recipients:;", "{Undisclosed recipients & }");
        check("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "Pete|NIL|pete|silly.test");
        check(
            "A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n         joe@example.org,\r\n  John <jdoe@one.test> (my dear friend); (the end of the group)",
            "{A Group & Chris Jones|NIL|c|public.example & NIL|NIL|joe|example.org & John|NIL|jdoe|one.test & }",
        );
        check("(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", "{Hidden recipients & }");
        check("Joe Q. Public <john.q.public@example.com>", "Joe Q. Public|NIL|john.q.public|example.com");
        check(
            "Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
            "Mary Smith|@node.test|mary|example.net & NIL|NIL|jdoe|test.example",
        );
        check("<@a.test,,@b.test:x@y>", "NIL|@a.test,@b.test|x|y");
    }

    #[test]
    fn local_parts() {
        check("\"john.doe\"@x", "NIL|NIL|john.doe|x");
        check("\"john doe\"@x", "NIL|NIL|\"john doe\"|x");
        check("\"a\\\"b@c\"@x", "NIL|NIL|\"a\\\"b@c\"|x");
        check("a . \"b\" . c@x", "NIL|NIL|a.b.c|x");
        check("a..b.@x", "NIL|NIL|a..b.|x");
        check("x@[127.0.0.1]", "NIL|NIL|x|[127.0.0.1]");
        check("x@[IPv6: ::1], y@z", "NIL|NIL|x|[IPv6:::1] & NIL|NIL|y|z");
    }

    #[test]
    fn old_and_broken() {
        check("jdoe@x.test (John Doe)", "John Doe|NIL|jdoe|x.test");
        check("<jdoe@x.test> (John Doe)", "John Doe|NIL|jdoe|x.test");
        check("John Doe jdoe@x.test", "John Doe|NIL|jdoe|x.test");
        check("John Doe <jdoe@x.test", "John Doe|NIL|jdoe|x.test");
        check("John Doe <jdoe@x.test, b@c", "John Doe|NIL|jdoe|x.test & NIL|NIL|b|c");
        check("jdoe@x.test <jdoe@x.test>", "jdoe@x.test|NIL|jdoe|x.test");
        check("root", "NIL|NIL|root|");
        check("John Doe", "John Doe|NIL||");
        check("<>", "NIL|NIL||");
        check("", "");
        check(" , ,;", "");
        check("'\"foo\"@bar.test", "NIL|NIL|foo|bar.test");
        check("'\"John Doe\" <a@b>", "John Doe|NIL|a|b");
        check("'John' <a@b>", "'John'|NIL|a|b");
        check("\"open <a@b>, c@d", "open|NIL|a|b & NIL|NIL|c|d");
        check("Jürgen <j@x.test>", "Jürgen|NIL|j|x.test");
        check("=?utf-8?Q?J=C3=BCrgen?= <j@x.test>", "=?utf-8?Q?J=C3=BCrgen?=|NIL|j|x.test");
        check("\"a\" \"b\"c <x@y>", "a bc|NIL|x|y");
        check("group: a@b", "{group & NIL|NIL|a|b & }");
        check("g: h: a@b;", "{g & NIL|NIL|h| & }");
        check("a@b; c@d", "NIL|NIL|a|b & NIL|NIL|c|d");
        check("a@b c@d", "NIL|NIL|a|b");
        check("a@ <c@d>", "a@|NIL|c|d");
        check("@b", "NIL|NIL||b");
        check("John, Doe <a@b>", "NIL|NIL|John| & Doe|NIL|a|b");
        check("a@b>, >x<c@d>", "NIL|NIL|a|b & x|NIL|c|d");
        check("<John Doe a@b>", "NIL|NIL|JohnDoea|b");
    }

    #[test]
    fn many() {
        assert_eq!(parse_addresses(&b"a,".repeat(20_000)).len(), MOST_ADDRESSES);
        parse_addresses(&b"<@a".repeat(50_000));
        parse_addresses(&b"a@b.".repeat(50_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn never_panics_nor_hangs(value in "[a-b @<>\\[\\]():;,.\"'\\\\\r\nü]{0,60}") {
            parse_addresses(value.as_bytes());
        }
        #[test]
        fn what_is_written_properly_is_read(name in "[A-Za-z]{1,8}( [A-Za-z]{1,8}){0,2}", local in "[a-z]{1,8}(\\.[a-z]{1,4})?", host in "[a-z]{1,8}(\\.[a-z]{1,4}){0,2}") {
            prop_assert_eq!(show(&format!("{name} <{local}@{host}>")), format!("{name}|NIL|{local}|{host}"));
            prop_assert_eq!(show(&format!("{local}@{host} ({name})")), format!("{name}|NIL|{local}|{host}"));
        }
    }
}
