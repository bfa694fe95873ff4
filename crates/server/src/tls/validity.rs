//! The one thing we want to know of a certificate beyond what rustls does: when it ends.

use types::{Civil, DateTime, UnixTime};

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// `notAfter` of a certificate in DER; `None` where it is none.
///
/// ```text
/// RFC 5280 §4.1
///   Certificate    ::= SEQUENCE { tbsCertificate, … }
///   TBSCertificate ::= SEQUENCE { version [0] OPTIONAL, serialNumber INTEGER, signature SEQUENCE,
///                                 issuer SEQUENCE, validity SEQUENCE { notBefore Time, notAfter Time }, … }
///   Time           ::= CHOICE { UTCTime, GeneralizedTime }
/// ```
pub(super) fn not_after(der: &[u8]) -> Option<UnixTime> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (mut rest, _) = expect(certificate, SEQUENCE)?;
    if let Some((_, after)) = expect(rest, VERSION) {
        rest = after;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = expect(rest, tag)?;
    }
    let (validity, _) = expect(rest, SEQUENCE)?;
    let (_, _, rest) = value(validity)?;
    let (tag, time, _) = value(rest)?;
    moment(tag, time)
}

fn expect(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = value(der)?;
    (tag == wanted).then_some((content, rest))
}

/// The tag and content of the first value, and what follows it.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // The long form: so many octets of length. Four are 4 GiB, more than any certificate.
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (octets.iter().fold(0usize, |n, &octet| n << 8 | usize::from(octet)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// RFC 5280 §4.1.2.5: `YYMMDDHHMMSSZ` with years from 1950, or `YYYYMMDDHHMMSSZ`.
fn moment(tag: u8, time: &[u8]) -> Option<UnixTime> {
    let text = std::str::from_utf8(time).ok()?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let year: i32 = digits(text, 0, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        GENERALIZED_TIME => (digits(text, 0, 4)?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| digits(rest, at, 2).and_then(|n| u8::try_from(n).ok());
    let civil = Civil { year, month: part(0)?, day: part(2)?, hour: part(4)?, minute: part(6)?, second: part(8)? };
    (rest.get(10..)? == "Z").then(|| DateTime::new(civil, 0))?.map(|date| date.time)
}

fn digits(text: &str, at: usize, len: usize) -> Option<i32> {
    let part = text.get(at..at + len)?;
    part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_time() {
        // RFC 5280 §4.1.2.5: 2049 is the last year of UTCTime.
        assert_eq!(moment(UTC_TIME, b"700101000000Z"), Some(UnixTime(0)));
        assert_eq!(moment(UTC_TIME, b"491231235959Z"), Some(UnixTime(2_524_607_999)));
        assert_eq!(moment(GENERALIZED_TIME, b"20500101000000Z"), Some(UnixTime(2_524_608_000)));
        for text in ["", "7001010000Z", "700101000000", "701301000000Z", "7001010000000Z", "70010100000äZ"] {
            assert_eq!(moment(UTC_TIME, text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_end_of_a_certificate() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        for year in [2030, 2077] {
            params.not_after = rcgen::date_time_ymd(year, 2, 3);
            let der = params.self_signed(&key).unwrap().der().to_vec();
            let end = DateTime::utc(not_after(&der).unwrap()).civil();
            assert_eq!((end.year, end.month, end.day), (year, 2, 3));
            for cut in 0..der.len().min(200) {
                let _ = not_after(der.get(..cut).unwrap());
            }
        }
        assert_eq!(not_after(b"nonsense"), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(der: Vec<u8>) {
            let _ = not_after(&der);
        }
    }
}
