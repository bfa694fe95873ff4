//! What a server says, as far as an import wants to know it. Nothing here is an error: what cannot be understood is
//! [`Response::Other`], and of a FETCH response everything that could be read before the damage counts.

use types::{Flag, Flags, Keyword, Uid};

use super::framer::{Line, Part};

/// Depth of parentheses that is looked at.
const MAX_DEPTH: usize = 20;

/// One response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Response {
    /// The end of a command.
    Tagged(String, Answer),
    /// An untagged OK, NO, BAD or PREAUTH.
    Status(Answer),
    /// The server ends the connection.
    Bye(Answer),
    /// It waits for more, and says why.
    Continue(String),
    /// What it can do, in capitals.
    Capability(Vec<String>),
    /// LIST or LSUB.
    List(Listed),
    /// RFC 2342: prefixes and delimiters of the user's own mailboxes, those of others, and shared ones.
    Namespace([Vec<Namespace>; 3]),
    /// STATUS
    Counted(Counted),
    /// Messages in the mailbox that is selected.
    Exists(u32),
    /// About one message.
    Fetch(Fetched),
    /// Anything else.
    Other,
}

/// OK, NO or BAD.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Which of them.
    pub status: Status,
    /// What stands between brackets, in capitals up to the first space (RFC 5530).
    pub code: String,
    /// What stands behind the name of the code.
    pub argument: String,
    /// For people.
    pub text: String,
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Done.
    Ok,
    /// Not done.
    No,
    /// Not understood.
    Bad,
    /// Done before it was asked for: nobody need log in.
    Preauth,
}

/// A mailbox of the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// As the server writes it.
    pub name: Vec<u8>,
    /// Between the levels of its name.
    pub delimiter: Option<u8>,
    /// `\Noselect`, `\Sent` and others, as they stand.
    pub attributes: Vec<String>,
}

/// What STATUS says of a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// MESSAGES
    pub messages: Option<u32>,
    /// UIDVALIDITY
    pub uid_validity: Option<u32>,
}

/// RFC 2342 §5
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespace {
    /// With the delimiter at its end, if it has one.
    pub prefix: Vec<u8>,
    /// Between levels.
    pub delimiter: Option<u8>,
}

/// What a FETCH response says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fetched {
    /// UID
    pub uid: Option<Uid>,
    /// FLAGS, without `\Recent` and what nobody could set.
    pub flags: Option<Flags>,
    /// INTERNALDATE, as it stands.
    pub internal_date: Option<Vec<u8>>,
    /// RFC822.SIZE; some servers only guess it.
    pub size: Option<u64>,
    /// The message.
    pub content: Option<Content>,
    /// A part of the header.
    pub header: Option<Vec<u8>>,
}

/// How a message stands in a FETCH response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// As a literal, which was passed on.
    Passed,
    /// In quotes.
    Here(Vec<u8>),
    /// NIL: the server has lost it.
    Nothing,
}

impl Response {
    /// Reads a response.
    pub fn parse(line: &Line) -> Self {
        let mut cursor = Cursor::new(line);
        match cursor.word() {
            b"+" => Self::Continue(text(cursor.rest().trim_ascii_start())),
            b"*" => untagged(&mut cursor),
            tag => {
                let tag = text(tag);
                answer(&mut cursor).map_or(Self::Other, |answer| Self::Tagged(tag, answer))
            }
        }
    }
}

fn untagged(cursor: &mut Cursor<'_>) -> Response {
    let before = cursor.clone();
    let word = cursor.word().to_ascii_uppercase();
    match &word[..] {
        b"OK" | b"NO" | b"BAD" | b"PREAUTH" => {
            *cursor = before;
            answer(cursor).map_or(Response::Other, Response::Status)
        }
        b"BYE" => {
            let (code, argument, text) = code_and_text(cursor);
            Response::Bye(Answer { status: Status::No, code, argument, text })
        }
        b"CAPABILITY" => Response::Capability(capabilities(&text(cursor.rest()))),
        b"LIST" | b"LSUB" | b"XLIST" => list(cursor).map_or(Response::Other, Response::List),
        b"NAMESPACE" => Response::Namespace([0; 3].map(|_| namespaces(cursor))),
        b"STATUS" => {
            cursor.value(0);
            counted(cursor).map_or(Response::Other, Response::Counted)
        }
        number => {
            let Some(number) = number_of(number) else { return Response::Other };
            let what = cursor.word().to_ascii_uppercase();
            match &what[..] {
                b"EXISTS" => Response::Exists(number.try_into().unwrap_or(u32::MAX)),
                b"FETCH" => Response::Fetch(fetch(cursor)),
                _ => Response::Other,
            }
        }
    }
}

fn answer(cursor: &mut Cursor<'_>) -> Option<Answer> {
    let word = cursor.word().to_ascii_uppercase();
    let status = match &word[..] {
        b"OK" => Status::Ok,
        b"NO" => Status::No,
        b"BAD" => Status::Bad,
        b"PREAUTH" => Status::Preauth,
        _ => return None,
    };
    let (code, argument, text) = code_and_text(cursor);
    Some(Answer { status, code, argument, text })
}

/// `[CODE argument] text`, either of which some servers leave out.
fn code_and_text(cursor: &mut Cursor<'_>) -> (String, String, String) {
    let rest = text(cursor.rest().trim_ascii());
    let inner = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let Some((inner, after)) = inner else { return (String::new(), String::new(), rest) };
    let (code, argument) = inner.split_once(' ').unwrap_or((inner, ""));
    (code.to_ascii_uppercase(), argument.to_owned(), after.trim_start().to_owned())
}

/// Names of capabilities, in capitals.
pub(super) fn capabilities(words: &str) -> Vec<String> {
    words.split_ascii_whitespace().map(str::to_ascii_uppercase).collect()
}

/// `mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox` (RFC 3501 §9)
fn list(cursor: &mut Cursor<'_>) -> Option<Listed> {
    let attributes = cursor.words_in_parentheses()?.iter().map(|word| text(word)).collect();
    let delimiter = delimiter(cursor);
    let name = cursor.value(0)?.into_octets()?;
    Some(Listed { name, delimiter, attributes })
}

fn delimiter(cursor: &mut Cursor<'_>) -> Option<u8> {
    // More than one character is none that we could split by.
    match cursor.value(0)?.into_octets()?.as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}

/// `namespace = nil / "(" 1*( "(" string SP … ")" ) ")"` (RFC 2342 §6)
fn namespaces(cursor: &mut Cursor<'_>) -> Vec<Namespace> {
    let Some(Value::List(all)) = cursor.value(0) else { return vec![] };
    let one = |value: Value| {
        let Value::List(parts) = value else { return None };
        let mut parts = parts.into_iter().map(Value::into_octets);
        let prefix = parts.next()??;
        let delimiter = parts.next().flatten().filter(|delimiter| delimiter.len() == 1);
        Some(Namespace { prefix, delimiter: delimiter.and_then(|delimiter| delimiter.first().copied()) })
    };
    all.into_iter().filter_map(one).collect()
}

fn counted(cursor: &mut Cursor<'_>) -> Option<Counted> {
    let words = cursor.words_in_parentheses()?;
    let of = |name: &[u8]| {
        let mut pairs = words.iter().zip(words.iter().skip(1));
        let (_, number) = pairs.find(|(word, _)| word.eq_ignore_ascii_case(name))?;
        number_of(number)?.try_into().ok()
    };
    Some(Counted { messages: of(b"MESSAGES"), uid_validity: of(b"UIDVALIDITY") })
}

fn fetch(cursor: &mut Cursor<'_>) -> Fetched {
    let mut fetched = Fetched::default();
    if !cursor.eat(b'(') {
        return fetched;
    }
    while !cursor.is_at_end() && !cursor.eat(b')') {
        let name = cursor.item_name().to_ascii_uppercase();
        if name.is_empty() || item(cursor, &name, &mut fetched).is_none() {
            break;
        }
    }
    fetched
}

/// One item of a FETCH response; `None` where the rest makes no sense.
fn item(cursor: &mut Cursor<'_>, name: &[u8], fetched: &mut Fetched) -> Option<()> {
    match name {
        b"FLAGS" => fetched.flags = Some(flags(&cursor.words_in_parentheses()?)),
        b"UID" => fetched.uid = number_of(cursor.word_in_list()).and_then(|uid| Uid::new(uid.try_into().ok()?)),
        b"RFC822.SIZE" => fetched.size = number_of(cursor.word_in_list()),
        b"INTERNALDATE" => fetched.internal_date = cursor.value(0)?.into_octets(),
        _ if name == b"RFC822" || name.starts_with(b"BODY[]") => {
            fetched.content = Some(match cursor.value(0)? {
                Value::Message => Content::Passed,
                Value::Nil => Content::Nothing,
                value => value.into_octets().map_or(Content::Nothing, Content::Here),
            });
        }
        _ if name.starts_with(b"BODY[HEADER") => fetched.header = cursor.value(0)?.into_octets(),
        _ => drop(cursor.value(0)?),
    }
    Some(())
}

/// Flags as we can keep them: what is no keyword is made one, because somebody meant something by it.
fn flags(words: &[&[u8]]) -> Flags {
    let flag = |word: &&[u8]| {
        let word = String::from_utf8_lossy(word);
        if word.starts_with('\\') {
            return Flag::parse(&word).ok();
        }
        let replaced: String = word
            .chars()
            .take(Keyword::MAX_LEN)
            .map(|c| if Keyword::new(c.encode_utf8(&mut [0; 4])).is_ok() { c } else { '_' })
            .collect();
        Keyword::new(&replaced).ok().map(Flag::Keyword)
    };
    words.iter().filter_map(flag).collect()
}

fn number_of(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok().filter(|word| word.bytes().all(|digit| digit.is_ascii_digit()))?.parse().ok()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A value of the grammar that all responses share.
enum Value {
    Nil,
    Octets(Vec<u8>),
    Message,
    List(Vec<Self>),
}

impl Value {
    fn into_octets(self) -> Option<Vec<u8>> {
        match self {
            Self::Octets(octets) => Some(octets),
            _ => None,
        }
    }
}

/// Reads a line from its beginning to its end.
#[derive(Clone)]
struct Cursor<'a> {
    parts: std::slice::Iter<'a, Part>,
    text: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn new(line: &'a Line) -> Self {
        let mut cursor = Self { parts: line.parts.iter(), text: b"" };
        if let Some(Part::Text(text)) = cursor.parts.as_slice().first() {
            cursor.text = text;
            cursor.parts.next();
        }
        cursor
    }

    /// The rest of this text.
    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.text)
    }

    fn is_at_end(&self) -> bool {
        self.text.trim_ascii_start().is_empty() && self.parts.as_slice().is_empty()
    }

    fn skip_spaces(&mut self) {
        self.text = self.text.trim_ascii_start();
    }

    fn eat(&mut self, octet: u8) -> bool {
        self.skip_spaces();
        match self.text.split_first() {
            Some((first, rest)) if *first == octet => {
                self.text = rest;
                true
            }
            _ => false,
        }
    }

    fn take_until(&mut self, ends: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.text.iter().position(|&octet| ends(octet)).unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(end);
        self.text = rest;
        word
    }

    /// Up to a space.
    fn word(&mut self) -> &'a [u8] {
        self.skip_spaces();
        self.take_until(|octet| octet == b' ')
    }

    /// Up to a space or a parenthesis.
    fn word_in_list(&mut self) -> &'a [u8] {
        self.skip_spaces();
        self.take_until(|octet| matches!(octet, b' ' | b'(' | b')'))
    }

    /// As [`Cursor::word_in_list`], where brackets may hold both: `BODY[HEADER.FIELDS (DATE)]<0>`.
    fn item_name(&mut self) -> &'a [u8] {
        self.skip_spaces();
        let mut inside = false;
        let end = self.text.iter().position(|&octet| {
            inside = (inside || octet == b'[') && octet != b']';
            !inside && matches!(octet, b' ' | b'(' | b')')
        });
        let (name, rest) = self.text.split_at(end.unwrap_or(self.text.len()));
        self.text = rest;
        name
    }

    /// Flags and attributes: whatever stands there, up to the first `)`.
    fn words_in_parentheses(&mut self) -> Option<Vec<&'a [u8]>> {
        if !self.eat(b'(') {
            return None;
        }
        let inner = self.take_until(|octet| octet == b')');
        self.eat(b')');
        Some(inner.split(|&octet| octet == b' ').filter(|word| !word.is_empty()).collect())
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.skip_spaces();
        match self.text.first() {
            None => self.literal(),
            Some(b'"') => Some(Value::Octets(self.quoted())),
            Some(b'(') if depth < MAX_DEPTH => {
                self.eat(b'(');
                let mut values = vec![];
                while !self.eat(b')') {
                    values.push(self.value(depth + 1)?);
                }
                Some(Value::List(values))
            }
            Some(b'(' | b')') => None,
            Some(_) => {
                let word = self.word_in_list();
                Some(if word.eq_ignore_ascii_case(b"NIL") { Value::Nil } else { Value::Octets(word.to_vec()) })
            }
        }
    }

    /// The literal before which the text ended, and the text behind it.
    fn literal(&mut self) -> Option<Value> {
        let value = match self.parts.next()? {
            Part::Literal(octets) => Value::Octets(octets.clone()),
            Part::Message => Value::Message,
            Part::Text(_) => return None,
        };
        if let Some(Part::Text(text)) = self.parts.next() {
            self.text = text;
        }
        Some(value)
    }

    /// Without an end it goes to the end of the text.
    fn quoted(&mut self) -> Vec<u8> {
        let (mut out, mut escaped) = (vec![], false);
        let mut at = 1;
        for &octet in self.text.iter().skip(1) {
            at += 1;
            match octet {
                b'\\' if !escaped => escaped = true,
                b'"' if !escaped => break,
                octet => {
                    out.push(octet);
                    escaped = false;
                }
            }
        }
        self.text = self.text.get(at..).unwrap_or_default();
        out
    }
}

#[cfg(test)]
mod tests;
