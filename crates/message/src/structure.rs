//! BODY and BODYSTRUCTURE: the text of RFC 9051 §9 `body`, straight from a parsed message.
//!
//! Both are written at once: BODY is BODYSTRUCTURE without the extension data, so that only the places
//! of the extension data need to be remembered.

use std::ops::Range;

use crate::{
    Content, Disposition, Envelope, Header, Message, Part,
    cursor::Cursor,
    header::LowerName,
    mime::Params,
    transfer,
    wire::{nstring, number, string},
};

/// The structure of a message, ready to send in both forms.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Structure {
    /// BODYSTRUCTURE.
    pub text: Vec<u8>,
    /// What of it is extension data and not in BODY; ascending, each begins with its space.
    pub extensions: Vec<Range<usize>>,
}

impl Structure {
    /// Of a message.
    pub fn of(message: &Message) -> Self {
        let mut structure = Self::default();
        if let Some(root) = message.root() {
            structure.body(root);
        }
        structure
    }

    /// Appends BODY: "A form of BODYSTRUCTURE without extension data" (RFC 9051 §7.5.2).
    pub fn write_body(&self, out: &mut Vec<u8>) {
        let mut from = 0;
        for extension in &self.extensions {
            out.extend_from_slice(self.text.get(from..extension.start).unwrap_or_default());
            from = extension.end;
        }
        out.extend_from_slice(self.text.get(from..).unwrap_or_default());
    }

    /// `body = "(" (body-type-1part / body-type-mpart) ")"`. The parser bounds the depth.
    fn body(&mut self, part: Part<'_>) {
        let fields = Fields::of(part.header());
        self.text.push(b'(');
        if part.place().content == Content::Multipart {
            self.multipart(part, &fields);
        } else {
            self.single(part, &fields);
        }
        self.text.push(b')');
    }

    /// `1*body SP media-subtype [SP body-fld-param SP …]`
    fn multipart(&mut self, part: Part<'_>, fields: &Fields<'_>) {
        for child in part.children() {
            self.body(child);
        }
        let kind = part.content_type();
        self.space();
        string(kind.sub.as_bytes(), &mut self.text);
        let start = self.text.len();
        self.space();
        self.params(&kind.params);
        self.extension(start, fields);
    }

    /// `(body-type-basic / body-type-msg / body-type-text) [SP body-fld-md5 SP …]`
    fn single(&mut self, part: Part<'_>, fields: &Fields<'_>) {
        let (kind, place) = (part.content_type(), part.place());
        string(kind.main.as_bytes(), &mut self.text);
        self.space();
        string(kind.sub.as_bytes(), &mut self.text);
        self.space();
        // RFC 2046 §4.1.2: a text/plain that names no charset is US-ASCII. Other text types have defaults of
        // their own (RFC 6657 §3), which are the client's to know.
        if kind.is("text", "plain") && kind.params.get("charset").is_none() {
            self.params(&kind.params.with_default_charset());
        } else {
            self.params(&kind.params);
        }
        self.space();
        nstring(fields.id(), &mut self.text);
        self.space();
        nstring(fields.description().as_deref(), &mut self.text);
        self.space();
        string(fields.encoding(), &mut self.text);
        self.space();
        number(place.end - place.body, &mut self.text);
        if let (Content::Message, Some(inner)) = (place.content, part.children().next()) {
            self.space();
            Envelope::of(inner.header()).write(&mut self.text);
            self.space();
            self.body(inner);
        }
        if kind.is_text() || place.content == Content::Message {
            self.space();
            number(place.lines, &mut self.text);
        }
        let start = self.text.len();
        self.space();
        nstring(fields.md5(), &mut self.text);
        self.extension(start, fields);
    }

    /// `SP body-fld-dsp SP body-fld-lang SP body-fld-loc`, the end of all extension data.
    fn extension(&mut self, start: usize, fields: &Fields<'_>) {
        self.space();
        match fields.disposition.and_then(Disposition::parse) {
            Some(disposition) => {
                self.text.push(b'(');
                string(disposition.kind.as_bytes(), &mut self.text);
                self.space();
                self.params(&disposition.params);
                self.text.push(b')');
            }
            None => self.text.extend_from_slice(b"NIL"),
        }
        self.space();
        self.languages(&fields.languages());
        self.space();
        nstring(fields.location().as_deref(), &mut self.text);
        self.extensions.push(start..self.text.len());
    }

    /// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`
    fn params(&mut self, params: &Params) {
        let mut before = b'(';
        for param in params.iter() {
            self.text.push(before);
            string(param.name.as_bytes(), &mut self.text);
            self.space();
            string(&param.value, &mut self.text);
            before = b' ';
        }
        self.text.extend_from_slice(if before == b'(' { b"NIL" } else { b")" });
    }

    /// `body-fld-lang = nstring / "(" string *(SP string) ")"`
    fn languages(&mut self, languages: &[&[u8]]) {
        match languages {
            [] => self.text.extend_from_slice(b"NIL"),
            [one] => string(one, &mut self.text),
            several => {
                let mut before = b'(';
                for language in several {
                    self.text.push(before);
                    string(language, &mut self.text);
                    before = b' ';
                }
                self.text.push(b')');
            }
        }
    }

    fn space(&mut self) {
        self.text.push(b' ');
    }
}

/// The values of the fields of a part that the structure shows, as they stand.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a [u8]>,
    description: Option<&'a [u8]>,
    encoding: Option<&'a [u8]>,
    md5: Option<&'a [u8]>,
    disposition: Option<&'a [u8]>,
    language: Option<&'a [u8]>,
    location: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn of(header: Header<'a>) -> Self {
        let mut found = Self::default();
        for field in header.fields() {
            let member = match field.lower(&mut LowerName::default()) {
                b"content-id" => &mut found.id,
                b"content-description" => &mut found.description,
                b"content-transfer-encoding" => &mut found.encoding,
                b"content-md5" => &mut found.md5,
                b"content-disposition" => &mut found.disposition,
                b"content-language" => &mut found.language,
                b"content-location" => &mut found.location,
                _ => continue,
            };
            member.get_or_insert(field.value);
        }
        found
    }

    fn id(&self) -> Option<&'a [u8]> {
        self.id.map(<[u8]>::trim_ascii)
    }

    fn md5(&self) -> Option<&'a [u8]> {
        self.md5.map(<[u8]>::trim_ascii)
    }

    fn description(&self) -> Option<Vec<u8>> {
        self.description.map(|value| crate::header::unfold(value).trim_ascii().to_vec())
    }

    /// "7BIT" is what a part is in that says nothing (RFC 2045 §6.1).
    fn encoding(&self) -> &'a [u8] {
        self.encoding.map(transfer::token).filter(|token| !token.is_empty()).unwrap_or(b"7BIT")
    }

    /// RFC 3282 §2: language tags between commas.
    fn languages(&self) -> Vec<&'a [u8]> {
        let mut cursor = Cursor::new(self.language.unwrap_or_default());
        let mut tags = Vec::new();
        while !cursor.is_end() {
            cursor.skip_comments();
            let tag = cursor.take_while(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !tag.is_empty() {
                tags.push(tag);
            } else {
                cursor.bump();
            }
        }
        tags
    }

    /// RFC 2557 §4.1: the URI may be folded, and the white space is not of it.
    fn location(&self) -> Option<Vec<u8>> {
        self.location.map(|value| value.iter().copied().filter(|b| !crate::cursor::is_space(*b)).collect())
    }
}

#[cfg(test)]
mod tests {
    use types::Limits;

    use super::*;

    #[track_caller]
    fn check(message: &str, body: &str, structure: &str) {
        let written = Structure::of(&crate::parse(message.as_bytes(), &Limits::default()));
        let mut out = Vec::new();
        written.write_body(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), body);
        assert_eq!(String::from_utf8(written.text).unwrap(), structure);
    }

    // RFC 9051 §7.5.2: "a simple text message of 48 lines and 2279 octets"
    #[test]
    fn simple_text() {
        let text = format!("Subject: x\r\n\r\n{}{}\r\n", "x\r\n".repeat(47), "y".repeat(2279 - 47 * 3 - 2));
        check(
            &text,
            r#"("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 2279 48)"#,
            r#"("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 2279 48 NIL NIL NIL NIL)"#,
        );
    }

    // RFC 9051 §7.5.2: its two-part message, with bodies of our own.
    #[test]
    fn two_parts() {
        check(
            "Content-Type: MULTIPART/MIXED; BOUNDARY=b\r\n\r\n--b\r\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\none\r\ntwo\r\n\r\n--b\r\n\
             Content-Type: TEXT/PLAIN; CHARSET=US-ASCII; NAME=cc.diff\r\nContent-Transfer-Encoding: BASE64\r\n\
             Content-ID: <960723163407.20117h@cac.washington.edu>\r\nContent-Description: Compiler\r\n diff\r\n\r\neA==\r\n--b--\r\n",
            r#"(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 10 2)("TEXT" "PLAIN" ("CHARSET" "US-ASCII" "NAME" "cc.diff") "<960723163407.20117h@cac.washington.edu>" "Compiler diff" "BASE64" 4 0) "MIXED")"#,
            r#"(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 10 2 NIL NIL NIL NIL)("TEXT" "PLAIN" ("CHARSET" "US-ASCII" "NAME" "cc.diff") "<960723163407.20117h@cac.washington.edu>" "Compiler diff" "BASE64" 4 0 NIL NIL NIL NIL) "MIXED" ("BOUNDARY" "b") NIL NIL NIL)"#,
        );
    }

    #[test]
    fn all_extension_data() {
        check(
            "Content-Type: image/png\r\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\nContent-Language: de, en-GB (British)\r\nContent-Transfer-Encoding: x-odd (y)\r\n\
             Content-Disposition: attachment;\r\n filename*0*=utf-8''%e2%82%ac; filename*1=.png; size=3\r\nContent-Location: http://x.test/\r\n a\r\n\r\n123",
            r#"("image" "png" NIL NIL NIL "x-odd" 3)"#,
            "(\"image\" \"png\" NIL NIL NIL \"x-odd\" 3 \"Q2hlY2sgSW50ZWdyaXR5IQ==\" (\"attachment\" (\"filename*\" {7}\r\n€.png \"size\" \"3\")) (\"de\" \"en-GB\") \"http://x.test/a\")",
        );
        check(
            "Content-Type: text/html\r\nContent-Language: de\r\nContent-Disposition: inline\r\n\r\n",
            r#"("text" "html" NIL NIL NIL "7BIT" 0 0)"#,
            r#"("text" "html" NIL NIL NIL "7BIT" 0 0 NIL ("inline" NIL) "de" NIL)"#,
        );
    }

    #[test]
    fn messages_inside() {
        check(
            "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\na\r\n",
            r#"("message" "rfc822" NIL NIL NIL "7BIT" 18 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3 1) 3)"#,
            r#"("message" "rfc822" NIL NIL NIL "7BIT" 18 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3 1 NIL NIL NIL NIL) 3 NIL NIL NIL NIL)"#,
        );
        check(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQQ==",
            r#"("message" "rfc822" NIL NIL NIL "base64" 4 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 0 0) 0)"#,
            r#"("message" "rfc822" NIL NIL NIL "base64" 4 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 0 0 NIL NIL NIL NIL) 0 NIL NIL NIL NIL)"#,
        );
    }

    #[test]
    fn broken() {
        check(
            "Content-Type: multipart/alternative\r\nContent-Disposition: ;\r\n\r\n",
            r#"(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 0 0) "alternative")"#,
            r#"(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 0 0 NIL NIL NIL NIL) "alternative" NIL NIL NIL NIL)"#,
        );
        check(
            "Content-Type: text/plain; format=flowed\r\nContent-ID:\r\nContent-Transfer-Encoding:\r\n\r\n",
            r#"("text" "plain" ("format" "flowed" "CHARSET" "US-ASCII") "" NIL "7BIT" 0 0)"#,
            r#"("text" "plain" ("format" "flowed" "CHARSET" "US-ASCII") "" NIL "7BIT" 0 0 NIL NIL NIL NIL)"#,
        );
    }
}
