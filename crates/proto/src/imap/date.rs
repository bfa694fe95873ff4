//! `date-time` and `date` of RFC 9051 §9.

use types::{Civil, DateTime};

use super::ParseError;
use super::lex::Cursor;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE`
///
/// A year that four digits cannot show is shown as 0000 or 9999.
/// Without the formatting machinery: FETCH writes hundreds of thousands of them.
pub(super) fn write_date_time(out: &mut Vec<u8>, date: DateTime) {
    let Civil { year, month, day, hour, minute, second } = date.civil();
    // Between 0 and 9999.
    let year = year.clamp(0, 9999).unsigned_abs();
    let month = MONTHS.get(usize::from(month.saturating_sub(1))).unwrap_or(&"Jan");
    let (sign, zone) = (if date.zone < 0 { b'-' } else { b'+' }, u32::from(date.zone.unsigned_abs()));
    let [day_tens, day_ones] = two(day.into());
    let [y1, y2] = two(year / 100);
    let [y3, y4] = two(year);
    let ([h1, h2], [m1, m2], [s1, s2]) = (two(hour.into()), two(minute.into()), two(second.into()));
    let ([z1, z2], [z3, z4]) = (two(zone / 60), two(zone % 60));
    // date-day-fixed = (SP DIGIT) / 2DIGIT
    let day_tens = if day_tens == b'0' { b' ' } else { day_tens };
    out.extend_from_slice(&[b'"', day_tens, day_ones, b'-']);
    out.extend_from_slice(month.as_bytes());
    out.extend_from_slice(&[
        b'-', y1, y2, y3, y4, b' ', h1, h2, b':', m1, m2, b':', s1, s2, b' ', sign, z1, z2, z3, z4, b'"',
    ]);
}

/// The last two decimal digits.
fn two(n: u32) -> [u8; 2] {
    [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8]
}

/// `date-time`, see [`write_date_time`].
pub(super) fn parse_date_time(c: &mut Cursor<'_>) -> Result<DateTime, ParseError> {
    let start = c.clone();
    c.expect(b'"', "a date")?;
    // date-day-fixed = (SP DIGIT) / 2DIGIT; a single digit is taken, too.
    c.eat(b' ');
    let (year, month, day) = parse_day(c)?;
    c.space()?;
    let hour = digits(c, 2, 2)?;
    c.expect(b':', "a colon")?;
    let minute = digits(c, 2, 2)?;
    c.expect(b':', "a colon")?;
    let second = digits(c, 2, 2)?;
    c.space()?;
    let zone = parse_zone(c)?;
    c.expect(b'"', "the end of the date")?;
    let civil = Civil { year, month, day, hour: hour as u8, minute: minute as u8, second: second as u8 };
    DateTime::new(civil, zone).map_or_else(|| start.expected("a date that exists"), Ok)
}

/// `date = date-text / DQUOTE date-text DQUOTE`; as a day at midnight.
pub(super) fn parse_date(c: &mut Cursor<'_>) -> Result<Civil, ParseError> {
    let start = c.clone();
    let quoted = c.eat(b'"');
    let (year, month, day) = parse_day(c)?;
    if quoted {
        c.expect(b'"', "the end of the date")?;
    }
    let civil = Civil { year, month, day, hour: 0, minute: 0, second: 0 };
    DateTime::new(civil, 0).map_or_else(|| start.expected("a date that exists"), |_| Ok(civil))
}

/// `date-text = date-day "-" date-month "-" date-year`
fn parse_day(c: &mut Cursor<'_>) -> Result<(i32, u8, u8), ParseError> {
    let day = digits(c, 1, 2)?;
    c.expect(b'-', "a hyphen")?;
    let start = c.clone();
    let name = c.take_while(|b| b.is_ascii_alphabetic());
    let Some(month) = (1u8..).zip(MONTHS).find(|(_, month)| name.eq_ignore_ascii_case(month.as_bytes())) else {
        return start.expected("a month such as Jan");
    };
    c.expect(b'-', "a hyphen")?;
    // date-year = 4DIGIT
    let year = digits(c, 4, 4)?;
    Ok((i32::from(year), month.0, day as u8))
}

/// `zone = ("+" / "-") 4DIGIT`: minutes east of UTC.
fn parse_zone(c: &mut Cursor<'_>) -> Result<i16, ParseError> {
    let start = c.clone();
    let east = c.eat(b'+');
    if !east {
        c.expect(b'-', "a time zone such as +0100")?;
    }
    let (hours, minutes) = (digits(c, 2, 2)?, digits(c, 2, 2)?);
    if minutes > 59 {
        return start.expected("a time zone such as +0100");
    }
    // Two digits each: at most 99 hours, which fits; `DateTime::new` refuses a day or more.
    let zone = (hours * 60 + minutes) as i16;
    Ok(if east { zone } else { -zone })
}

/// From `least` to `most` digits, at most four.
fn digits(c: &mut Cursor<'_>, least: usize, most: usize) -> Result<u16, ParseError> {
    let mut number = 0;
    for count in 0..most {
        match c.peek() {
            Some(b @ b'0'..=b'9') if c.eat(b) => number = number * 10 + u16::from(b - b'0'),
            _ if count >= least => break,
            _ => return c.expected("a digit"),
        }
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::{Limits, UnixTime};

    use super::*;
    use crate::imap::Dialect;

    fn parse(text: &str) -> Result<DateTime, ParseError> {
        let limits = Limits::default();
        let mut c = Cursor::new(text.as_bytes(), Dialect::default(), &limits);
        let date = parse_date_time(&mut c)?;
        c.end()?;
        Ok(date)
    }

    fn day(text: &str) -> Result<i64, ParseError> {
        let limits = Limits::default();
        let mut c = Cursor::new(text.as_bytes(), Dialect::default(), &limits);
        let date = parse_date(&mut c)?;
        c.end()?;
        Ok(date.day_number())
    }

    #[test]
    fn date_times() {
        // RFC 9051 §7.5.2
        let date = parse("\"17-Jul-1996 02:44:25 -0700\"").unwrap();
        assert_eq!(date, DateTime { time: UnixTime(837_596_665), zone: -420 });
        assert_eq!(parse("\" 1-Feb-2026 00:00:00 +0530\""), parse("\"01-feb-2026 00:00:00 +0530\""));
        assert!(parse("\"1-Feb-2026 00:00:00 +0000\"").is_ok());
        for bad in [
            "",
            "\"\"",
            "\"31-Jun-2026 00:00:00 +0000\"",
            "\"01-Foo-2026 00:00:00 +0000\"",
            "\"01-Jan-26 00:00:00 +0000\"",
            "\"01-Jan-2026 24:00:00 +0000\"",
            "\"01-Jan-2026 00:00 +0000\"",
            "\"01-Jan-2026 00:00:00 0000\"",
            "\"01-Jan-2026 00:00:00 +9999\"",
            "\"01-Jan-2026 00:00:00 +0060\"",
            "\"01-Jan-2026 00:00:00 +0000",
            "01-Jan-2026 00:00:00 +0000",
            "\"00-Jan-2026 00:00:00 +0000\"",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn days() {
        assert_eq!(day("1-Jan-1970").unwrap(), 0);
        assert_eq!(day("\"01-Feb-1994\"").unwrap(), day("1-FEB-1994").unwrap());
        for bad in ["1-Jan-70", "32-Jan-1970", "29-Feb-2025", "\"1-Jan-1970", "1 Jan 1970", "001-Jan-1970"] {
            assert!(day(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(time in -62_000_000_000i64..253_000_000_000, zone in -1439i16..1440) {
            let date = DateTime { time: UnixTime(time), zone };
            let mut out = Vec::new();
            write_date_time(&mut out, date);
            prop_assert_eq!(parse(std::str::from_utf8(&out).unwrap()).unwrap(), date);
        }
    }
}
