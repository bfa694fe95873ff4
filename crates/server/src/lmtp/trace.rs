//! What final delivery writes above a message, and what it takes away there (RFC 5321 §4.4).

use std::fmt::Write;

use proto::lmtp::Address;
use types::{DateTime, UnixTime};

use crate::stream::Peer;

/// Where a message came from and when, for `Received:`.
#[derive(Clone, Debug)]
pub(super) struct Trace<'a> {
    /// The name that the client gave with LHLO.
    pub(super) client: &'a str,
    pub(super) peer: Peer,
    /// Our name.
    pub(super) host: &'a str,
    pub(super) tls: bool,
    pub(super) smtputf8: bool,
    /// The id of this delivery, as in the log.
    pub(super) id: &'a str,
    pub(super) now: UnixTime,
}

/// Octets that these lines have at most, mostly.
const USUAL: usize = 384;

/// The lines that this recipient's copy begins with.
///
/// `Delivered-To` says which address this copy came to. `Received` is there because LMTP is SMTP
/// except where RFC 2033 says otherwise, and RFC 5321 §4.4 wants it of every server that takes a
/// message, also for delivery; it comes after `Return-Path`, as there.
pub(super) fn prefix(trace: &Trace<'_>, from: Option<&Address>, to: &Address) -> String {
    let mut text = String::with_capacity(USUAL);
    // Writing to a String cannot fail. Addresses have no control characters, so no line can be forged.
    let _ = match from {
        Some(from) => write!(text, "Return-Path: <{from}>\r\n"),
        None => write!(text, "Return-Path: <>\r\n"),
    };
    let _ = write!(text, "Delivered-To: {to}\r\n");
    let Trace { client, host, id, .. } = trace;
    let client = if is_domain(client) { client } else { "unknown" };
    let _ = write!(text, "Received: from {client}");
    // RFC 5321 §4.4: TCP-info = address-literal; §4.1.3 for its forms.
    let _ = match trace.peer.ip() {
        Some(std::net::IpAddr::V4(ip)) => write!(text, " ([{ip}])"),
        Some(std::net::IpAddr::V6(ip)) => write!(text, " ([IPv6:{ip}])"),
        None => Ok(()),
    };
    // RFC 3848 and RFC 6531 §4.3 name the protocols.
    let utf8 = if trace.smtputf8 { "UTF8" } else { "" };
    let tls = if trace.tls { "S" } else { "" };
    let _ = write!(text, "\r\n\tby {host} with {utf8}LMTP{tls} id {id}\r\n\tfor <{to}>; {}\r\n", date(trace.now));
    text
}

/// What can stand in a `Received` line without quoting.
fn is_domain(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b))
}

/// RFC 5322 §3.3 `date-time`, in UTC.
fn date(now: UnixTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let civil = DateTime::utc(now).civil();
    // 1970-01-01 was a Thursday.
    let day = usize::try_from(civil.day_number().rem_euclid(7)).ok().and_then(|at| DAYS.get(at)).unwrap_or(&"");
    let month = MONTHS.get(usize::from(civil.month).saturating_sub(1)).unwrap_or(&"");
    format!(
        "{day}, {} {month} {:04} {:02}:{:02}:{:02} +0000",
        civil.day, civil.year, civil.hour, civil.minute, civil.second
    )
}

/// Takes away the `Return-Path` fields at the very top of a message that comes in pieces: "SMTP
/// servers making final delivery MAY remove Return-path header fields before adding their own", and
/// "exactly one return path SHOULD be present" (RFC 5321 §4.4).
#[derive(Debug, Default)]
pub(super) struct ReturnPathFilter {
    state: State,
    /// The octets that look like the beginning of the field so far.
    held: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// At the start of a field that may be the one.
    #[default]
    Start,
    /// In the field.
    Field,
    /// After a line of the field: a space or tab continues it (RFC 5322 §2.2.3).
    LineEnd,
    /// Past the top.
    Rest,
}

const NAME: &[u8] = b"return-path:";

impl ReturnPathFilter {
    /// Passes the next octets: what is to be kept are those that were held back, given first, and then the slice.
    pub(super) fn pass<'a>(&mut self, octets: &'a [u8]) -> (Vec<u8>, &'a [u8]) {
        for (at, &octet) in octets.iter().enumerate() {
            match self.state {
                State::Rest => return (std::mem::take(&mut self.held), octets.get(at..).unwrap_or_default()),
                State::Field if octet == b'\n' => self.state = State::LineEnd,
                State::Field => {}
                State::LineEnd if octet == b' ' || octet == b'\t' => self.state = State::Field,
                State::LineEnd | State::Start => self.start(octet),
            }
        }
        match self.state {
            State::Rest => (std::mem::take(&mut self.held), &[]),
            _ => (Vec::new(), &[]),
        }
    }

    /// The end of the message: what was held back and is to be kept.
    pub(super) fn finish(self) -> Vec<u8> {
        self.held
    }

    fn start(&mut self, octet: u8) {
        self.held.push(octet);
        if !NAME.get(..self.held.len()).is_some_and(|name| name.eq_ignore_ascii_case(&self.held)) {
            self.state = State::Rest;
        } else if self.held.len() == NAME.len() {
            self.held.clear();
            self.state = State::Field;
        } else {
            self.state = State::Start;
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::lmtp::Command;

    use super::*;

    fn address(text: &str) -> Address {
        match Command::parse(format!("RCPT TO:<{text}>").as_bytes(), true) {
            Ok(Command::Rcpt(rcpt)) => rcpt.to,
            other => panic!("{other:?}"),
        }
    }

    fn trace(peer: Peer) -> Trace<'static> {
        let now = UnixTime(1_795_170_471);
        Trace { client: "mx.example.org", peer, host: "mail.example.org", tls: false, smtputf8: false, id: "1f", now }
    }

    #[test]
    fn rfc5321_4_4_return_path_first_then_received() {
        let peer = Peer::Tcp("192.0.2.7:99".parse().unwrap());
        let text = prefix(&trace(peer), Some(&address("chris@bar.com")), &address("pat+list@foo.edu"));
        assert_eq!(
            text,
            "Return-Path: <chris@bar.com>\r\nDelivered-To: pat+list@foo.edu\r\n\
             Received: from mx.example.org ([192.0.2.7])\r\n\tby mail.example.org with LMTP id 1f\r\n\
             \tfor <pat+list@foo.edu>; Fri, 20 Nov 2026 10:27:51 +0000\r\n"
        );
        let tls = Trace { tls: true, smtputf8: true, client: "x(y)", ..trace(Peer::Unix) };
        let text = prefix(&tls, None, &address("jörg@foo.edu"));
        assert!(text.starts_with("Return-Path: <>\r\nDelivered-To: jörg@foo.edu\r\nReceived: from unknown\r\n\tby"));
        assert!(text.contains("with UTF8LMTPS id"));
        let v6 = prefix(&trace(Peer::Tcp("[2001:db8::1]:9".parse().unwrap())), None, &address("a"));
        assert!(v6.contains("([IPv6:2001:db8::1])"));
    }

    #[test]
    fn dates_are_those_of_rfc5322() {
        assert_eq!(date(UnixTime(0)), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(date(UnixTime(951_782_400)), "Tue, 29 Feb 2000 00:00:00 +0000");
    }

    fn filtered(message: &[u8], split: usize) -> Vec<u8> {
        let mut filter = ReturnPathFilter::default();
        let mut out = Vec::new();
        for piece in message.chunks(split) {
            let (held, rest) = filter.pass(piece);
            out.extend_from_slice(&held);
            out.extend_from_slice(rest);
        }
        out.extend_from_slice(&filter.finish());
        out
    }

    #[test]
    fn only_return_paths_at_the_top_go() {
        let rest = b"Subject: x\r\nReturn-Path: <kept@later>\r\n\r\nbody\r\n";
        for top in ["", "Return-Path: <a@b>\r\n", "RETURN-PATH:\r\n <a@b>\r\n\t(c)\r\nReturn-path: <>\r\n"] {
            let message = [top.as_bytes(), rest].concat();
            for split in [1, 2, 5, 1000] {
                assert_eq!(filtered(&message, split), rest, "{top:?}");
            }
        }
        for kept in ["", "R", "Return-Pat", "Return-Path : x\r\n\r\n", "Return-Paths: x\r\n", "\r\nReturn-Path: x\r\n"]
        {
            assert_eq!(filtered(kept.as_bytes(), 3), kept.as_bytes());
        }
    }

    proptest::proptest! {
        #[test]
        fn what_does_not_begin_so_stays(message in "[^rR](?s:.{0,80})", split in 1usize..9) {
            proptest::prop_assert_eq!(filtered(message.as_bytes(), split), message.as_bytes());
        }
    }
}
