//! Command lines (RFC 2033 §4, RFC 5321 §4.1.1 and the extensions we announce).

use super::path::parse_path;
use super::{Address, EnhancedStatus, PathError, Reply};

/// What a client asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// RFC 2033 §4.1: who the client says it is.
    Lhlo(String),
    /// RFC 5321 §4.1.1.2
    Mail(Mail),
    /// RFC 5321 §4.1.1.3
    Rcpt(Rcpt),
    /// RFC 5321 §4.1.1.4: then call [`super::Fragmenter::expect_data`].
    Data,
    /// RFC 3030 §2: then call [`super::Fragmenter::expect_chunk`].
    Bdat {
        /// Octets that follow at once.
        size: u64,
        /// This is the last chunk.
        last: bool,
    },
    /// RFC 5321 §4.1.1.5
    Rset,
    /// RFC 5321 §4.1.1.6
    Vrfy(String),
    /// RFC 5321 §4.1.1.9
    Noop,
    /// RFC 5321 §4.1.1.10
    Quit,
    /// RFC 3207 §4
    StartTls,
}

/// `MAIL FROM:` (RFC 5321 §4.1.1.2)
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mail {
    /// The reverse path; `None` for `<>`.
    pub from: Option<Address>,
    /// `SIZE=`: octets that the client expects to send (RFC 1870).
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152); default 7BIT.
    pub body: BodyType,
    /// `SMTPUTF8` (RFC 6531): addresses and header fields may be UTF-8.
    pub smtputf8: bool,
}

/// `BODY=` (RFC 6152 §3)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BodyType {
    /// `7BIT`
    #[default]
    SevenBit,
    /// `8BITMIME`
    EightBitMime,
}

/// `RCPT TO:` (RFC 5321 §4.1.1.3)
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rcpt {
    /// The forward path.
    pub to: Address,
}

/// Why a line is no command of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// No such command.
    #[error("unknown command")]
    Unknown,
    /// HELO or EHLO, which an LMTP server must not take (RFC 2033 §4.1).
    #[error("this is LMTP: say LHLO")]
    NotLmtp,
    /// What follows the command word is wrong.
    #[error("{0}")]
    Arguments(&'static str),
    /// The address of MAIL is wrong.
    #[error("{0}")]
    ReversePath(PathError),
    /// The address of RCPT is wrong.
    #[error("{0}")]
    ForwardPath(PathError),
    /// A parameter that was not announced (RFC 5321 §4.1.1.11).
    #[error("a parameter was not announced by LHLO")]
    Parameter,
}

impl CommandError {
    /// The answer to such a line.
    pub fn reply(&self) -> Reply {
        let (code, status) = match self {
            // RFC 3463 §3.6: 5.5.1 invalid command, 5.5.2 syntax error, 5.5.4 invalid arguments.
            Self::Unknown | Self::NotLmtp => (500, EnhancedStatus(5, 5, 1)),
            Self::Arguments(_) => (501, EnhancedStatus(5, 5, 4)),
            Self::ReversePath(why) => why.status(false),
            Self::ForwardPath(why) => why.status(true),
            Self::Parameter => (555, EnhancedStatus(5, 5, 4)),
        };
        Reply::new(code, Some(status), self.to_string())
    }
}

impl Command {
    /// Reads a line without its line end. `smtputf8` says whether MAIL of this transaction had it,
    /// which RCPT wants to know.
    pub fn parse(line: &[u8], smtputf8: bool) -> Result<Self, CommandError> {
        // RFC 6531 §3.3 allows UTF-8 and nothing else beyond ASCII.
        let line = std::str::from_utf8(line).map_err(|_| CommandError::Arguments("the line is not UTF-8"))?;
        let line = line.trim_end_matches(' ');
        if line.contains(|c: char| c.is_ascii_control() && c != '\t') {
            return Err(CommandError::Arguments("the line contains control characters"));
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let bare = |command: Self| match rest {
            "" => Ok(command),
            _ => Err(CommandError::Arguments("this command takes no arguments")),
        };
        match word.to_ascii_uppercase().as_str() {
            "LHLO" => parse_lhlo(rest),
            "MAIL" => parse_mail(rest).map(Self::Mail),
            "RCPT" => parse_rcpt(rest, smtputf8).map(Self::Rcpt),
            "DATA" => bare(Self::Data),
            "BDAT" => parse_bdat(rest),
            "RSET" => bare(Self::Rset),
            "QUIT" => bare(Self::Quit),
            "STARTTLS" => bare(Self::StartTls),
            // RFC 5321 §4.1.1.9: a parameter of NOOP is ignored.
            "NOOP" => Ok(Self::Noop),
            "VRFY" if rest.is_empty() => Err(CommandError::Arguments("VRFY needs a name")),
            "VRFY" => Ok(Self::Vrfy(rest.to_owned())),
            "HELO" | "EHLO" => Err(CommandError::NotLmtp),
            _ => Err(CommandError::Unknown),
        }
    }
}

/// `"LHLO" SP (Domain / address-literal)`; any word is taken, since nothing depends on it.
fn parse_lhlo(rest: &str) -> Result<Command, CommandError> {
    if rest.is_empty() || rest.contains(' ') {
        return Err(CommandError::Arguments("LHLO needs the name of the client"));
    }
    Ok(Command::Lhlo(rest.to_owned()))
}

/// `"MAIL FROM:" Reverse-path [SP Mail-parameters]`
fn parse_mail(rest: &str) -> Result<Mail, CommandError> {
    let rest = keyword(rest, "FROM:").ok_or(CommandError::Arguments("MAIL needs FROM:<address>"))?;
    let (from, parameters) = parse_path(rest).map_err(CommandError::ReversePath)?;
    let mut mail = Mail { from, size: None, body: BodyType::default(), smtputf8: false };
    let mut seen = Vec::new();
    for (name, value) in esmtp_parameters(parameters)? {
        let name = name.to_ascii_uppercase();
        match (name.as_str(), value) {
            ("SIZE", Some(digits)) => mail.size = Some(parse_size(digits)?),
            ("BODY", Some(body)) if body.eq_ignore_ascii_case("7BIT") => mail.body = BodyType::SevenBit,
            ("BODY", Some(body)) if body.eq_ignore_ascii_case("8BITMIME") => mail.body = BodyType::EightBitMime,
            // RFC 6152 §3: a value that we do not know.
            ("BODY", _) => return Err(CommandError::Arguments("BODY is 7BIT or 8BITMIME")),
            ("SMTPUTF8", None) => mail.smtputf8 = true,
            ("SMTPUTF8", Some(_)) => return Err(CommandError::Arguments("SMTPUTF8 takes no value")),
            ("SIZE", None) => return Err(CommandError::Arguments("SIZE needs a number")),
            _ => return Err(CommandError::Parameter),
        }
        // RFC 5321 §4.1.1.11 says nothing of repetitions; two sizes cannot both be true.
        if seen.contains(&name) {
            return Err(CommandError::Arguments("a parameter is repeated"));
        }
        seen.push(name);
    }
    match &mail.from {
        Some(address) if !mail.smtputf8 && !address.is_ascii() => Err(CommandError::ReversePath(PathError::Utf8Needed)),
        _ => Ok(mail),
    }
}

/// `"RCPT TO:" Forward-path [SP Rcpt-parameters]`; we announce no parameter for it.
fn parse_rcpt(rest: &str, smtputf8: bool) -> Result<Rcpt, CommandError> {
    let rest = keyword(rest, "TO:").ok_or(CommandError::Arguments("RCPT needs TO:<address>"))?;
    let (to, parameters) = parse_path(rest).map_err(CommandError::ForwardPath)?;
    let to = to.ok_or(CommandError::ForwardPath(PathError::Empty))?;
    if !esmtp_parameters(parameters)?.is_empty() {
        return Err(CommandError::Parameter);
    }
    if !smtputf8 && !to.is_ascii() {
        return Err(CommandError::ForwardPath(PathError::Utf8Needed));
    }
    Ok(Rcpt { to })
}

/// `bdat-cmd = "BDAT" SP chunk-size [SP end-marker]`, `chunk-size = 1*DIGIT`, `end-marker = "LAST"` (RFC 3030 §2)
fn parse_bdat(rest: &str) -> Result<Command, CommandError> {
    let (digits, marker) = rest.split_once(' ').map_or((rest, None), |(d, m)| (d, Some(m)));
    let last = match marker {
        None => false,
        Some(marker) if marker.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(CommandError::Arguments("only LAST may follow the size")),
    };
    Ok(Command::Bdat { size: parse_size(digits)?, last })
}

/// What follows `FROM:` or `TO:`. RFC 5321 §3.3 allows no space there; Outlook and others send one.
fn keyword<'a>(rest: &'a str, word: &str) -> Option<&'a str> {
    let (start, path) = rest.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then(|| path.trim_start_matches(' '))
}

/// `esmtp-param *(SP esmtp-param)`, `esmtp-param = esmtp-keyword ["=" esmtp-value]` (RFC 5321 §4.1.2)
fn esmtp_parameters(text: &str) -> Result<Vec<(&str, Option<&str>)>, CommandError> {
    if !text.is_empty() && !text.starts_with(' ') {
        return Err(CommandError::Arguments("a space should follow the address"));
    }
    let is_keyword = |name: &str| {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        starts_well && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let mut parameters = Vec::new();
    for parameter in text.split(' ').filter(|p| !p.is_empty()) {
        let (name, value) = parameter.split_once('=').map_or((parameter, None), |(n, v)| (n, Some(v)));
        let is_value = |v: &str| !v.is_empty() && !v.contains(['=', '\t']);
        if !is_keyword(name) || value.is_some_and(|v| !is_value(v)) {
            return Err(CommandError::Arguments("a parameter is malformed"));
        }
        parameters.push((name, value));
    }
    Ok(parameters)
}

/// `size-value = 1*20DIGIT` (RFC 1870 §6)
fn parse_size(digits: &str) -> Result<u64, CommandError> {
    let is_number = (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    // Twenty digits may be more than 64 bits hold: that is more than anybody takes, too.
    match is_number {
        true => Ok(digits.parse().unwrap_or(u64::MAX)),
        false => Err(CommandError::Arguments("a size is a decimal number")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ok(line: &str) -> Command {
        Command::parse(line.as_bytes(), false).unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    fn code(line: &str) -> (u16, Option<EnhancedStatus>) {
        let reply = Command::parse(line.as_bytes(), false).unwrap_err().reply();
        (reply.code(), reply.status())
    }

    fn mail(line: &str) -> Mail {
        match ok(line) {
            Command::Mail(mail) => mail,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_example_of_rfc_2033() {
        // RFC 2033 §4.2
        assert_eq!(ok("LHLO foo.edu"), Command::Lhlo("foo.edu".into()));
        assert_eq!(mail("MAIL FROM:<chris@bar.com>").from.unwrap().to_string(), "chris@bar.com");
        assert!(matches!(ok("RCPT TO:<pat@foo.edu>"), Command::Rcpt(r) if r.to.local() == "pat"));
        assert_eq!(ok("DATA"), Command::Data);
        assert_eq!(ok("QUIT"), Command::Quit);
    }

    #[test]
    fn parameters() {
        let m = mail("mail from:<> size=1000 body=8bitmime SMTPUTF8");
        let expected = Mail { from: None, size: Some(1000), body: BodyType::EightBitMime, smtputf8: true };
        assert_eq!(m, expected);
        assert_eq!(mail("MAIL FROM:<> SIZE=99999999999999999999").size, Some(u64::MAX));
        assert_eq!(code("MAIL FROM:<a@b> SIZE=x").0, 501);
        assert_eq!(code("MAIL FROM:<a@b> SIZE=1 SIZE=2").0, 501);
        assert_eq!(code("MAIL FROM:<a@b> BODY=BINARYMIME").0, 501);
        assert_eq!(code("MAIL FROM:<a@b> SMTPUTF8=1").0, 501);
        // RFC 5321 §4.1.1.11: 555 for what was not announced.
        for unannounced in ["RET=FULL", "ENVID=x", "AUTH=<>", "X"] {
            assert_eq!(code(&format!("MAIL FROM:<a@b> {unannounced}")), (555, Some(EnhancedStatus(5, 5, 4))));
        }
        assert_eq!(code("RCPT TO:<a@b> NOTIFY=NEVER").0, 555);
        assert_eq!(code("MAIL FROM:<a@b>SIZE=1").0, 501);
        assert_eq!(code("MAIL FROM:<a@b> =1").0, 501);
    }

    #[test]
    fn outlook_writes_a_space_after_the_colon() {
        assert_eq!(mail("MAIL FROM: <a@b>").from.unwrap().to_string(), "a@b");
        assert!(matches!(ok("RCPT TO: <a@b>"), Command::Rcpt(_)));
    }

    #[test]
    fn bdat() {
        assert_eq!(ok("BDAT 86 LAST"), Command::Bdat { size: 86, last: true });
        assert_eq!(ok("BDAT 0 last"), Command::Bdat { size: 0, last: true });
        assert_eq!(ok("BDAT 1000"), Command::Bdat { size: 1000, last: false });
        for bad in ["BDAT", "BDAT x", "BDAT -1", "BDAT 1 FIRST", "BDAT 1 LAST x"] {
            assert_eq!(code(bad).0, 501, "{bad}");
        }
    }

    #[test]
    fn smtputf8_addresses_need_smtputf8() {
        // RFC 6531 §3.5
        assert_eq!(code("MAIL FROM:<ü@b>"), (553, Some(EnhancedStatus(5, 6, 7))));
        assert!(mail("MAIL FROM:<ü@b> SMTPUTF8").smtputf8);
        assert_eq!(code("RCPT TO:<ü@b>"), (553, Some(EnhancedStatus(5, 6, 7))));
        assert!(Command::parse("RCPT TO:<ü@b>".as_bytes(), true).is_ok());
        assert!(Command::parse(b"RCPT TO:<\xff@b>", true).is_err());
    }

    #[test]
    fn what_is_no_command() {
        // RFC 2033 §4.1: HELO and EHLO must not succeed.
        assert_eq!(code("EHLO x").0, 500);
        assert_eq!(code("HELO x").0, 500);
        assert_eq!(code("TURN"), (500, Some(EnhancedStatus(5, 5, 1))));
        assert_eq!(code("").0, 500);
        assert_eq!(code("LHLO").0, 501);
        assert_eq!(code("DATA now").0, 501);
        assert_eq!(code("MAIL TO:<a@b>").0, 501);
        assert_eq!(code("RCPT TO:<>"), (501, Some(EnhancedStatus(5, 1, 3))));
        assert_eq!(code("MAIL FROM:a@b"), (501, Some(EnhancedStatus(5, 1, 7))));
        assert_eq!(code("RSET\0").0, 501);
        assert_eq!(ok("NOOP whatever"), Command::Noop);
        assert_eq!(ok("rset  "), Command::Rset);
        assert_eq!(ok("VRFY pat"), Command::Vrfy("pat".into()));
        assert_eq!(ok("STARTTLS"), Command::StartTls);
    }

    proptest! {
        #[test]
        fn nothing_panics(word in "(MAIL FROM:|RCPT TO:|BDAT |LHLO )?", rest in any::<Vec<u8>>(), utf8: bool) {
            if let Err(e) = Command::parse(&[word.as_bytes(), &rest].concat(), utf8) {
                let mut out = Vec::new();
                e.reply().write(&mut out);
                prop_assert!(out.ends_with(b"\r\n"));
            }
        }
    }
}
