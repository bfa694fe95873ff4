//! The message parser and everything that is made of its result.

use message::{
    BinaryParts, Decoder, Encoding, Envelope, Header, Parser, Section, Structure, downgrade_envelope, downgrade_header,
    downgrade_structure,
};

use crate::{limits, pieces, wire};

/// Fields, types and boundaries.
pub(crate) const WORDS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "\r\n ",
    ":",
    ";",
    "\"",
    "\\",
    "(",
    ")",
    "<",
    ">",
    "@",
    ",",
    "\0",
    "\u{ff}",
    "From: ",
    "To: g: a@b, c@d;",
    "Subject: ",
    "=?utf-8?b?w6k=?=",
    "=?iso-8859-1?q?=E9_?=",
    "=?x?b?",
    "Date: Thu, 29 Feb 2024 12:34:56 +0000 (x)",
    "Message-ID: <a@b>",
    "References: <a> <b>",
    "Content-Type: multipart/mixed; boundary=b",
    "Content-Type: message/rfc822",
    "Content-Type: text/plain; charset=\"iso-2022-jp\"",
    "Content-Type: multipart/digest; boundary*0=a; boundary*1=b",
    "Content-Disposition: attachment; filename*=utf-8''%e9",
    "\r\n--b\r\n",
    "\r\n--b--\r\n",
    "Content-Transfer-Encoding: base64",
    "Content-Transfer-Encoding: binary",
    "Received: from \u{fc} (\u{fc}) for <\u{fc}@x>; ",
    "Content-Transfer-Encoding: quoted-printable",
    "=\r\n",
    "=3D",
    "=XY",
    "AAAA=",
    "Content-Type: text/html",
    "<p>",
    "<!--",
    "-->",
    "<script>",
    "</script>",
    "&#8364;",
    "> ",
    "\r\n-- \r\n",
    "Content-Language: a, b",
    "Content-MD5: x",
    "Content-Location: y",
    "Content-ID: <z>",
];

/// However it is cut, the same message comes out; what is sent of it is grammar; what is said to be somewhere is there.
pub(crate) fn parse(data: &[u8]) {
    let limits = limits();
    let octets = data.get(1..).unwrap_or_default();
    let whole = message::parse(octets, &limits);
    let mut parser = Parser::new(&limits);
    for piece in pieces(data) {
        parser.push(piece);
    }
    assert_eq!(whole, parser.finish(), "what comes out depends on how it was cut");
    assert_eq!(whole.size(), octets.len() as u64, "the size of the message");

    let mut out = Vec::new();
    Envelope::of(whole.header()).write(&mut out);
    assert!(wire::is_value(&out), "ENVELOPE {:?}", String::from_utf8_lossy(&out));
    let structure = Structure::of(&whole);
    assert!(wire::is_value(&structure.text), "BODYSTRUCTURE {:?}", String::from_utf8_lossy(&structure.text));
    let downgraded = downgrade_structure(&structure.text, true);
    assert!(wire::is_value(&downgraded), "BODYSTRUCTURE in ASCII {:?}", String::from_utf8_lossy(&downgraded));
    let downgraded = downgrade_envelope(&out);
    assert!(wire::is_value(&downgraded), "ENVELOPE in ASCII {:?}", String::from_utf8_lossy(&downgraded));
    out.clear();
    structure.write_body(&mut out);
    assert!(wire::is_value(&out), "BODY {:?}", String::from_utf8_lossy(&out));
    downgrade(octets);
    binary(data, octets);

    let preview = whole.preview();
    assert!(preview.chars().count() <= 200 && !preview.contains(char::is_control), "PREVIEW {preview:?}");
    for section in [Section::Header, Section::Text] {
        if let Some(range) = whole.layout().section(&[], section) {
            assert!(range.start <= range.end && range.end <= octets.len() as u64, "{section:?} is at {range:?}");
        }
    }
    for field in whole.header().fields() {
        let _ = field.decoded();
    }
    decode(data, octets);
}

/// A header in ASCII is ASCII, as far as it was UTF-8; and one that is stays.
fn downgrade(octets: &[u8]) {
    let mut once = Vec::new();
    downgrade_header(Header::new(octets), &mut once);
    if octets.is_ascii() {
        let mut fields = Vec::new();
        Header::new(octets).select(message::Keep::Unnamed, &[""; 0], &mut fields);
        assert_eq!(once, fields, "a header in ASCII was changed");
    }
    let mut twice = Vec::new();
    downgrade_header(Header::new(&once), &mut twice);
    assert_eq!(once, twice, "there is more to be done about a header");
}

/// Binary parts as base64: however it is cut, and nothing without NUL.
fn binary(data: &[u8], octets: &[u8]) {
    let converted = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut parts, mut out) = (BinaryParts::new(&limits()), Vec::new());
        pieces.for_each(|piece| parts.push(piece, &mut out));
        parts.finish(&mut out);
        out
    };
    let whole = converted(&mut std::iter::once(octets));
    assert_eq!(whole, converted(&mut pieces(data)), "what is encoded depends on how it was cut");
    if octets.len() < 60_000 && !octets.contains(&0) {
        assert_eq!(whole, octets, "a message without NUL was changed");
    }
}

/// Transfer encodings too must not care for how their input is cut.
fn decode(data: &[u8], octets: &[u8]) {
    for name in [b"base64".as_slice(), b"quoted-printable", b"8bit"] {
        let decoded = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut decoder = Decoder::new(Encoding::of(name)).ok()?;
            let mut out = Vec::new();
            for piece in pieces {
                decoder.push(piece, &mut out);
            }
            decoder.finish(&mut out);
            Some(out)
        };
        assert_eq!(
            decoded(&mut std::iter::once(octets)),
            decoded(&mut pieces(data)),
            "{}",
            String::from_utf8_lossy(name)
        );
    }
}
