//! ENVELOPE: what RFC 9051 §7.5.2 wants to know of a header, and its text on the wire.
//!
//! Values are unfolded and otherwise as they stand: encoded words are the client's to decode.

use crate::{
    Header,
    address::{Address, parse_addresses},
    header::{Field, LowerName},
    wire::{nstring, string},
};

/// The envelope structure of a message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Envelope {
    /// The Date field.
    pub date: Option<Vec<u8>>,
    /// The Subject field.
    pub subject: Option<Vec<u8>>,
    /// The From field.
    pub from: Vec<Address>,
    /// The Sender field, or From.
    pub sender: Vec<Address>,
    /// The Reply-To field, or From.
    pub reply_to: Vec<Address>,
    /// All To fields.
    pub to: Vec<Address>,
    /// All Cc fields.
    pub cc: Vec<Address>,
    /// All Bcc fields.
    pub bcc: Vec<Address>,
    /// The In-Reply-To field.
    pub in_reply_to: Option<Vec<u8>>,
    /// The Message-ID field.
    pub message_id: Option<Vec<u8>>,
}

impl Envelope {
    /// Reads it from a header. Of a field that stands several times the first counts, but "multiple
    /// occurrences of destination address fields" are concatenated (RFC 5322 §4.5.3).
    pub fn of(header: Header<'_>) -> Self {
        let mut envelope = Self::default();
        for field in header.fields() {
            envelope.take(&field);
        }
        // "If the Sender or Reply-To header fields are absent in the [RFC5322] header, or are present but
        // empty, the server sets the corresponding member of the envelope to be the same value as the from member"
        if envelope.sender.is_empty() {
            envelope.sender.clone_from(&envelope.from);
        }
        if envelope.reply_to.is_empty() {
            envelope.reply_to.clone_from(&envelope.from);
        }
        envelope
    }

    fn take(&mut self, field: &Field<'_>) {
        match field.lower(&mut LowerName::default()) {
            b"date" => first(&mut self.date, field),
            b"subject" => first(&mut self.subject, field),
            b"in-reply-to" => first(&mut self.in_reply_to, field),
            b"message-id" => first(&mut self.message_id, field),
            b"from" if self.from.is_empty() => self.from = parse_addresses(field.value),
            b"sender" if self.sender.is_empty() => self.sender = parse_addresses(field.value),
            b"reply-to" if self.reply_to.is_empty() => self.reply_to = parse_addresses(field.value),
            b"to" => self.to.extend(parse_addresses(field.value)),
            b"cc" => self.cc.extend(parse_addresses(field.value)),
            b"bcc" => self.bcc.extend(parse_addresses(field.value)),
            _ => {}
        }
    }

    /// Appends the `envelope` of RFC 9051 §9.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'(');
        for text in [&self.date, &self.subject] {
            nstring(text.as_deref(), out);
            out.push(b' ');
        }
        for list in [&self.from, &self.sender, &self.reply_to, &self.to, &self.cc, &self.bcc] {
            write_addresses(list, out);
            out.push(b' ');
        }
        nstring(self.in_reply_to.as_deref(), out);
        out.push(b' ');
        nstring(self.message_id.as_deref(), out);
        out.push(b')');
    }
}

/// "if these header fields are present but empty, the corresponding member of the envelope is the empty string"
fn first(member: &mut Option<Vec<u8>>, field: &Field<'_>) {
    if member.is_none() {
        *member = Some(field.unfolded().into_owned());
    }
}

/// `"(" 1*address ")" / nil`
pub(crate) fn write_addresses(list: &[Address], out: &mut Vec<u8>) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for address in list {
        write_address(address, out);
    }
    out.push(b')');
}

/// `"(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"`
fn write_address(address: &Address, out: &mut Vec<u8>) {
    match address {
        Address::Mailbox(mailbox) => {
            out.push(b'(');
            nstring(mailbox.name.as_deref(), out);
            out.push(b' ');
            nstring(mailbox.route.as_deref(), out);
            out.push(b' ');
            string(&mailbox.local, out);
            out.push(b' ');
            string(&mailbox.host, out);
            out.push(b')');
        }
        // "[RFC5322] group syntax is indicated by a special form of address structure in which the
        // hostname field is NIL."
        Address::GroupStart(name) => {
            out.extend_from_slice(b"(NIL NIL ");
            string(name, out);
            out.extend_from_slice(b" NIL)");
        }
        Address::GroupEnd => out.extend_from_slice(b"(NIL NIL NIL NIL)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(header: &str) -> String {
        let mut out = Vec::new();
        Envelope::of(Header::new(header.as_bytes())).write(&mut out);
        String::from_utf8(out).unwrap()
    }

    // RFC 9051 §8 and RFC 3501 §8: the example session.
    #[test]
    fn rfc_9051_example() {
        let header = "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\n\
            Subject: IMAP4rev2 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\n\
            cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\nMessage-Id: <B27397-0100000@cac.washington.ed>\r\n\
            MIME-Version: 1.0\r\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n";
        assert_eq!(
            envelope(header),
            "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev2 WG mtg summary and minutes\" \
             ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
             ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) \
             ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \
             \"<B27397-0100000@cac.washington.ed>\")"
        );
    }

    #[test]
    fn absent_and_empty() {
        assert_eq!(envelope(""), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
        assert_eq!(
            envelope("Subject:\r\nDate: \r\nFrom:\r\nTo: \r\nMessage-ID:\r\nIn-Reply-To:\r\n"),
            "(\"\" \"\" NIL NIL NIL NIL NIL NIL \"\" \"\")"
        );
        assert_eq!(
            envelope("From: a@b\r\nSender:\r\nReply-To: c@d\r\n"),
            "(NIL NIL ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"c\" \"d\")) NIL NIL NIL NIL NIL)"
        );
    }

    #[test]
    fn groups_and_several_fields() {
        assert_eq!(
            envelope("To: g:a@b;\r\nTo: c@d\r\nCc: undisclosed:;\r\nSubject: one\r\nSubject: two\r\n"),
            "(NIL \"one\" NIL NIL NIL ((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL NIL NIL)(NIL NIL \"c\" \"d\")) \
             ((NIL NIL \"undisclosed\" NIL)(NIL NIL NIL NIL)) NIL NIL NIL)"
        );
    }

    #[test]
    fn values_stay_as_they_are_but_unfolded() {
        assert_eq!(
            envelope(
                "Subject: =?utf-8?Q?a?=\r\n\t=?utf-8?Q?b?=  \r\nFrom: Jürgen \"x\\\"y\" <a@b>\r\nMessage-ID: NIL\r\n"
            )
            .lines()
            .next()
            .unwrap(),
            "(NIL \"=?utf-8?Q?a?=\t=?utf-8?Q?b?=\" (({11}"
        );
    }
}
