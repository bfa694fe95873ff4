//! FETCH responses (RFC 9051 §7.5.2): items one after another, bodies by the caller.

use types::{DateTime, Flag, Flags, ModSeq, Number, Uid};

use super::{text, words};
use crate::imap::{ObjectId, PartPath, Section, SectionText, date, lex};

/// What follows the name of a body item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// `NIL`: there is no such part.
    Nil,
    /// So many octets, which the caller appends to [`FetchWriter::buffer`] next.
    Octets(u64),
    /// So many octets with NUL among them, which only BINARY may answer (`literal8`, RFC 3516 §4.3).
    Binary(u64),
}

/// A section as it is written: the same in all responses to a command.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SectionName(Vec<u8>);

impl From<&Section> for SectionName {
    fn from(section: &Section) -> Self {
        let mut name = Vec::new();
        write_section(&mut name, section);
        Self(name)
    }
}

/// Writes one FETCH response. The items come in the order of the calls.
#[derive(Debug)]
#[must_use = "the response is not closed until `finish`"]
pub struct FetchWriter<'a> {
    out: &'a mut Vec<u8>,
    /// What stands before the next item.
    before: u8,
}

/// Flags, ready to be written into the responses of all messages that have them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlagList(Box<[u8]>);

impl FlagList {
    /// `recent` for `\Recent` of RFC 3501, never in IMAP4rev2.
    pub fn new(flags: &Flags, recent: bool) -> Self {
        let mut text = b"FLAGS (".to_vec();
        let system = Flag::SYSTEM.iter().filter(|f| flags.contains(f)).map(Flag::as_str);
        let keywords = flags.keywords().iter().map(|k| k.as_str());
        words(&mut text, system.chain(recent.then_some("\\Recent")).chain(keywords));
        text.push(b')');
        Self(text.into())
    }
}

impl<'a> FetchWriter<'a> {
    /// `name` is that of the response, with the spaces around it.
    pub(super) fn new(out: &'a mut Vec<u8>, number: impl Number, name: &str) -> Self {
        out.extend_from_slice(b"* ");
        text::number(out, u64::from(number.get()));
        out.extend_from_slice(name.as_bytes());
        Self { out, before: b'(' }
    }

    /// `FLAGS (…)`
    pub fn flags(&mut self, flags: &FlagList) {
        self.item(&flags.0);
    }

    /// `UID`
    pub fn uid(&mut self, uid: Uid) {
        self.item(b"UID ");
        text::number(self.out, u64::from(uid.get()));
    }

    /// `MODSEQ` (RFC 7162 §3.1.4.2)
    pub fn modseq(&mut self, modseq: ModSeq) {
        self.item(b"MODSEQ (");
        text::number(self.out, modseq.get());
        self.out.push(b')');
    }

    /// `EMAILID` (RFC 8474 §5.1)
    pub fn email_id(&mut self, id: &ObjectId) {
        self.object_id(b"EMAILID (", id);
    }

    /// `THREADID` (RFC 8474 §5.2)
    pub fn thread_id(&mut self, id: &ObjectId) {
        self.object_id(b"THREADID (", id);
    }

    fn object_id(&mut self, item: &[u8], id: &ObjectId) {
        self.item(item);
        self.out.extend_from_slice(id.as_str().as_bytes());
        self.out.push(b')');
    }

    /// `SAVEDATE` (RFC 8514 §4.2)
    pub fn save_date(&mut self, date: DateTime) {
        self.item(b"SAVEDATE ");
        date::write_date_time(self.out, date);
    }

    /// `PREVIEW` (RFC 8970 §3.2); `None` is NIL, which only LAZY may be answered with.
    pub fn preview(&mut self, preview: Option<&str>) {
        self.item(b"PREVIEW ");
        match preview {
            None => self.out.extend_from_slice(b"NIL"),
            // RFC 8970 §3.3: always UTF-8, which is no quoted string in RFC 3501.
            Some(text) if text.bytes().all(|b| (b' '..0x7f).contains(&b)) => text::quoted(self.out, text),
            Some(text) => {
                self.content(Content::Octets(text.len() as u64));
                self.out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// `INTERNALDATE`
    pub fn internal_date(&mut self, date: DateTime) {
        self.item(b"INTERNALDATE ");
        date::write_date_time(self.out, date);
    }

    /// `RFC822.SIZE`
    pub fn size(&mut self, octets: u64) {
        self.item(b"RFC822.SIZE ");
        text::number(self.out, octets);
    }

    /// `ENVELOPE` and its ready text.
    pub fn envelope(&mut self, envelope: &[u8]) {
        self.item(b"ENVELOPE ");
        self.out.extend_from_slice(envelope);
    }

    /// `BODY` and its ready text.
    pub fn body(&mut self, body: &[u8]) {
        self.item(b"BODY ");
        self.out.extend_from_slice(body);
    }

    /// `BODYSTRUCTURE` and its ready text.
    pub fn body_structure(&mut self, structure: &[u8]) {
        self.item(b"BODYSTRUCTURE ");
        self.out.extend_from_slice(structure);
    }

    /// `BODY[section]<origin>`: the origin only where the client asked for a part of it.
    pub fn section(&mut self, name: &SectionName, origin: Option<u64>, content: Content) {
        self.item(b"BODY[");
        self.out.extend_from_slice(&name.0);
        self.close(origin);
        // RFC 9051 §9: msg-att-static takes an nstring here, and a literal8 is none.
        match content {
            Content::Binary(octets) => self.content(Content::Octets(octets)),
            content => self.content(content),
        }
    }

    /// `RFC822` (RFC 3501 §7.4.2)
    pub fn rfc822(&mut self, octets: u64) {
        self.item(b"RFC822 ");
        self.content(Content::Octets(octets));
    }

    /// `RFC822.HEADER` (RFC 3501 §7.4.2)
    pub fn rfc822_header(&mut self, octets: u64) {
        self.item(b"RFC822.HEADER ");
        self.content(Content::Octets(octets));
    }

    /// `RFC822.TEXT` (RFC 3501 §7.4.2)
    pub fn rfc822_text(&mut self, octets: u64) {
        self.item(b"RFC822.TEXT ");
        self.content(Content::Octets(octets));
    }

    /// `BINARY[part]<origin>` (RFC 3516 §4.2): decoded content.
    pub fn binary(&mut self, part: &PartPath, origin: Option<u64>, content: Content) {
        self.item(b"BINARY[");
        write_part(self.out, part);
        self.close(origin);
        self.content(content);
    }

    /// `BINARY.SIZE[part]` (RFC 3516 §4.2): octets of the decoded content.
    pub fn binary_size(&mut self, part: &PartPath, octets: u64) {
        self.item(b"BINARY.SIZE[");
        write_part(self.out, part);
        self.close(None);
        text::number(self.out, octets);
    }

    /// Writes an item that may turn out not to be had: where `write` fails, nothing of it stays.
    pub fn attempt<E>(&mut self, write: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        let (start, before) = (self.out.len(), self.before);
        let done = write(self);
        if done.is_err() {
            self.out.truncate(start);
            self.before = before;
        }
        done
    }

    /// Where the caller appends the octets that [`Content`] announced, and may flush what is there.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Closes the response.
    pub fn finish(self) {
        self.out.extend_from_slice(b")\r\n");
    }

    fn item(&mut self, name: &[u8]) {
        self.out.push(std::mem::replace(&mut self.before, b' '));
        self.out.extend_from_slice(name);
    }

    /// `"]" ["<" number ">"] SP`
    fn close(&mut self, origin: Option<u64>) {
        self.out.push(b']');
        if let Some(origin) = origin {
            self.out.push(b'<');
            text::number(self.out, origin);
            self.out.push(b'>');
        }
        self.out.push(b' ');
    }

    fn content(&mut self, content: Content) {
        let (start, octets): (&[u8], u64) = match content {
            Content::Nil => return self.out.extend_from_slice(b"NIL"),
            Content::Octets(0) | Content::Binary(0) => return self.out.extend_from_slice(b"\"\""),
            Content::Octets(octets) => (b"{", octets),
            Content::Binary(octets) => (b"~{", octets),
        };
        self.out.extend_from_slice(start);
        text::number(self.out, octets);
        self.out.extend_from_slice(b"}\r\n");
    }
}

/// `section-spec = section-msgtext / (section-part ["." section-text])`
fn write_section(out: &mut Vec<u8>, section: &Section) {
    write_part(out, &section.part);
    let (name, fields) = match &section.text {
        SectionText::All => return,
        SectionText::Header => ("HEADER", None),
        SectionText::HeaderFields(fields) => ("HEADER.FIELDS", Some(fields)),
        SectionText::HeaderFieldsNot(fields) => ("HEADER.FIELDS.NOT", Some(fields)),
        SectionText::Text => ("TEXT", None),
        SectionText::Mime => ("MIME", None),
    };
    if !section.part.0.is_empty() {
        out.push(b'.');
    }
    out.extend_from_slice(name.as_bytes());
    if let Some(fields) = fields {
        for (i, field) in fields.iter().enumerate() {
            out.extend_from_slice(if i == 0 { &b" ("[..] } else { b" " });
            write_field_name(out, field);
        }
        out.push(b')');
    }
}

/// `header-fld-name = astring`
fn write_field_name(out: &mut Vec<u8>, name: &str) {
    if !name.is_empty() && name.bytes().all(lex::is_astring_char) {
        out.extend_from_slice(name.as_bytes());
    } else {
        text::quoted(out, name);
    }
}

/// `section-part = nz-number *("." nz-number)`
fn write_part(out: &mut Vec<u8>, part: &PartPath) {
    for (i, number) in part.0.iter().enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        text::number(out, u64::from(number.get()));
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use types::SeqNum;

    use super::*;
    use crate::imap::{Dialect, Encoder};

    fn written(f: impl FnOnce(&mut FetchWriter<'_>)) -> String {
        let mut out = Vec::new();
        let mut writer = FetchWriter::new(&mut out, SeqNum::MIN, " FETCH ");
        f(&mut writer);
        writer.finish();
        String::from_utf8(out).unwrap()
    }

    fn part(numbers: &[u32]) -> PartPath {
        PartPath(numbers.iter().filter_map(|&n| NonZeroU32::new(n)).collect())
    }

    #[test]
    fn items_stand_with_one_space_between_them() {
        let flags: Flags = [Flag::Seen, Flag::Deleted, Flag::parse("$x").unwrap()].into_iter().collect();
        assert_eq!(
            written(|f| f.flags(&FlagList::new(&flags, true))),
            "* 1 FETCH (FLAGS (\\Deleted \\Seen \\Recent $x))\r\n"
        );
        assert_eq!(written(|f| f.flags(&FlagList::new(&Flags::NONE, false))), "* 1 FETCH (FLAGS ())\r\n");
        let both = written(|f| {
            f.uid(Uid::MIN);
            f.modseq(ModSeq::MAX);
            f.email_id(&ObjectId::numbered('E', 1, 2));
            f.thread_id(&ObjectId::numbered('T', 1, 2));
            f.size(7);
            f.envelope(b"(e)");
            f.body(b"(b)");
            f.body_structure(b"(s)");
        });
        assert_eq!(
            both,
            "* 1 FETCH (UID 1 MODSEQ (9223372036854775807) EMAILID (E1-2) THREADID (T1-2) RFC822.SIZE 7 ENVELOPE (e) BODY (b) BODYSTRUCTURE (s))\r\n"
        );
    }

    // RFC 9586 §3
    #[test]
    fn uidfetch_has_the_uid_in_place_of_the_number() {
        let dialect = Dialect { uid_only: true, ..Dialect::REV1 };
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, dialect);
        let mut fetch = encoder.fetch(SeqNum::MIN, Uid::new(25_900).unwrap());
        fetch.flags(&FlagList::new(&Flags::NONE, false));
        fetch.finish();
        assert_eq!(String::from_utf8(out).unwrap(), "* 25900 UIDFETCH (FLAGS ())\r\n");
    }

    #[test]
    fn previews() {
        let shown = |preview| written(|f| f.preview(preview));
        assert_eq!(shown(Some("Preview \"text\"!")), "* 1 FETCH (PREVIEW \"Preview \\\"text\\\"!\")\r\n");
        assert_eq!(shown(Some("Grüße")), "* 1 FETCH (PREVIEW {7}\r\nGrüße)\r\n");
        assert_eq!(shown(Some("")), "* 1 FETCH (PREVIEW \"\")\r\n");
        assert_eq!(shown(None), "* 1 FETCH (PREVIEW NIL)\r\n");
    }

    #[test]
    fn sections_come_back_as_they_were_asked_for() {
        let section = |numbers: &[u32], text| Section { part: part(numbers), text };
        let shown = |s: Section| written(|f| f.section(&SectionName::from(&s), None, Content::Nil));
        let item = |name: &str| format!("* 1 FETCH (BODY[{name}] NIL)\r\n");
        let fields = || vec!["From".to_owned(), "a b".into(), String::new(), "x\"y".into()];
        assert_eq!(shown(Section::default()), item(""));
        assert_eq!(shown(section(&[1, 2], SectionText::All)), item("1.2"));
        assert_eq!(shown(section(&[4], SectionText::Mime)), item("4.MIME"));
        assert_eq!(shown(section(&[], SectionText::Header)), item("HEADER"));
        assert_eq!(shown(section(&[1], SectionText::Text)), item("1.TEXT"));
        assert_eq!(
            shown(section(&[], SectionText::HeaderFields(fields()))),
            item(r#"HEADER.FIELDS (From "a b" "" "x\"y")"#)
        );
        assert_eq!(
            shown(section(&[3], SectionText::HeaderFieldsNot(vec!["To".into()]))),
            item("3.HEADER.FIELDS.NOT (To)")
        );
    }

    #[test]
    fn an_attempt_that_fails_leaves_nothing() {
        let shown = written(|f| {
            let all = Section::default();
            let failed = f.attempt(|f| {
                f.section(&SectionName::from(&all), None, Content::Octets(9));
                f.buffer().extend_from_slice(b"half");
                Err("damaged")
            });
            assert_eq!(failed, Err("damaged"));
            let done = f.attempt::<()>(|f| {
                f.size(9);
                Ok(())
            });
            assert_eq!(done, Ok(()));
            let failed = f.attempt(|f| {
                f.uid(Uid::MIN);
                Err(())
            });
            assert_eq!(failed, Err(()));
            f.size(10);
        });
        assert_eq!(shown, "* 1 FETCH (RFC822.SIZE 9 RFC822.SIZE 10)\r\n");
    }

    #[test]
    fn contents() {
        let all = Section::default();
        let body = written(|f| {
            f.section(&SectionName::from(&all), Some(0), Content::Octets(2));
            f.buffer().extend_from_slice(b"hi");
            f.section(&SectionName::from(&all), None, Content::Octets(0));
            // RFC 3516 §4.3: only BINARY answers with a literal8.
            f.section(&SectionName::from(&all), None, Content::Binary(1));
            f.buffer().push(b'x');
        });
        assert_eq!(body, "* 1 FETCH (BODY[]<0> {2}\r\nhi BODY[] \"\" BODY[] {1}\r\nx)\r\n");
        let binary = written(|f| {
            f.binary(&part(&[2]), Some(4), Content::Binary(1));
            f.buffer().push(b'x');
            f.binary(&part(&[]), None, Content::Nil);
            f.binary_size(&part(&[2, 1]), 99);
        });
        assert_eq!(binary, "* 1 FETCH (BINARY[2]<4> ~{1}\r\nx BINARY[] NIL BINARY.SIZE[2.1] 99)\r\n");
        let old = written(|f| {
            f.rfc822(1);
            f.buffer().push(b'x');
            f.rfc822_header(0);
            f.rfc822_text(0);
        });
        assert_eq!(old, "* 1 FETCH (RFC822 {1}\r\nx RFC822.HEADER \"\" RFC822.TEXT \"\")\r\n");
    }
}
