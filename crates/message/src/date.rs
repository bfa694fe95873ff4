//! The Date field (RFC 5322 §3.3 and §4.3), and what mailers write instead.
//!
//! The words are taken by what they look like, not by where they stand, so that the C library's
//! order, dashes between day, month and year, and missing parts are understood too.

use types::{Civil, DateTime};

use crate::cursor::{Cursor, is_space};

/// The moment that a Date field names, in the zone in which it was written. `None` without a valid
/// day: "If the zone is invalid, the date and time SHOULD be treated as UTC. If the time is also
/// invalid, the time SHOULD be treated as 00:00:00" (RFC 5256 §2.2).
pub fn parse_date(value: &[u8]) -> Option<DateTime> {
    let mut found = Found::default();
    words(value).split(|&b| b == b' ').for_each(|word| found.word(word));
    found.moment()
}

/// The words between single spaces, without comments; a clock that was written apart is one word
/// again (RFC 5322 §4.3).
fn words(value: &[u8]) -> Vec<u8> {
    let mut cursor = Cursor::new(value);
    let mut out = Vec::with_capacity(value.len().min(64));
    // A date has a dozen words at most, whoever wrote it; more is no date.
    for _ in 0..32 {
        cursor.skip_comments();
        if cursor.eat(b',') {
            continue;
        }
        let word = cursor.take_while(|b| !is_space(b) && b != b',' && b != b'(');
        if !(out.last() == Some(&b':') || word.first() == Some(&b':')) {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    out
}

#[derive(Default)]
struct Found {
    day: Option<u8>,
    month: Option<u8>,
    year: Option<i32>,
    time: Option<(u8, u8, u8)>,
    zone: Option<i16>,
}

impl Found {
    fn word(&mut self, word: &[u8]) {
        match word {
            _ if word.contains(&b':') => self.clock(word),
            [b'+' | b'-', rest @ ..] if !rest.is_empty() && self.time.is_some() => {
                self.zone = self.zone.or(offset(word))
            }
            [b'0'..=b'9', ..] if word.contains(&b'-') => word.split(|&b| b == b'-').for_each(|part| self.word(part)),
            [b'0'..=b'9', ..] => self.number(word),
            [b'a'..=b'z' | b'A'..=b'Z', ..] => self.name(word),
            _ => {}
        }
    }

    /// A day has one or two digits and comes before the year, unless the year cannot be a day.
    fn number(&mut self, word: &[u8]) {
        let digits = word.iter().take_while(|b| b.is_ascii_digit()).count();
        let Some(number) = word.get(..digits).and_then(decimal) else { return };
        if digits <= 2 && self.day.is_none() {
            self.day = u8::try_from(number).ok();
        } else if self.year.is_some() && digits <= 2 && self.month.is_none() {
            // 1996-07-17: the month stands where a day was read.
            self.month = self.day;
            self.day = u8::try_from(number).ok();
        } else if self.year.is_none() {
            self.year = Some(match (digits, number) {
                // RFC 5322 §4.3: two digits below 50 are of this century; three digits count from 1900.
                (..=2, 0..=49) => number + 2000,
                (..=3, _) => number + 1900,
                _ => number,
            });
        }
    }

    fn name(&mut self, word: &[u8]) {
        const MONTHS: [&[u8; 3]; 12] =
            [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
        let lower = word.to_ascii_lowercase();
        let month = (1_u8..).zip(MONTHS).find(|(_, name)| lower.starts_with(name.as_slice()));
        if let (None, Some((month, _))) = (self.month, month) {
            self.month = Some(month);
        } else if let (Some((hour, _, _)), b"pm" | b"am") = (&mut self.time, lower.as_slice()) {
            *hour = *hour % 12 + if lower == b"pm" { 12 } else { 0 };
        } else if self.time.is_some() && self.zone.is_none() {
            self.zone = zone(&lower);
        }
    }

    /// `hour ":" minute [":" second]`, perhaps with a fraction or the zone glued on, or a `T` and a date before it.
    fn clock(&mut self, word: &[u8]) {
        if let Some(t) = word.iter().position(|b| b.eq_ignore_ascii_case(&b'T')) {
            self.word(word.get(..t).unwrap_or_default());
            return self.clock(word.get(t + 1..).unwrap_or_default());
        }
        let clock = word.iter().take_while(|b| b.is_ascii_digit() || matches!(b, b':' | b'.')).count();
        let (clock, rest) = word.split_at_checked(clock).unwrap_or((word, &[]));
        let number = |part: &[u8]| decimal(part.split(|&b| b == b'.').next()?).and_then(|n| u8::try_from(n).ok());
        let mut parts = clock.split(|&b| b == b':').map(number);
        if let (Some(Some(hour)), Some(Some(minute)), second, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        {
            let second = second.unwrap_or(Some(0)).unwrap_or(60);
            if hour < 24 && minute < 60 && second <= 60 && self.time.is_none() {
                self.time = Some((hour, minute, second));
            }
        }
        if !rest.is_empty() && !rest.contains(&b':') {
            self.word(rest);
        } else if !rest.is_empty() {
            let digits: Vec<u8> = rest.iter().copied().filter(|&b| b != b':').collect();
            self.zone = self.zone.or(offset(&digits));
        }
    }

    fn moment(&self) -> Option<DateTime> {
        let (hour, minute, second) = self.time.unwrap_or_default();
        let civil = Civil { year: self.year?, month: self.month?, day: self.day?, hour, minute, second };
        DateTime::new(civil, self.zone.unwrap_or(0))
    }
}

/// `("+" / "-") 4DIGIT`, or fewer digits.
fn offset(word: &[u8]) -> Option<i16> {
    let (sign, digits) = word.split_first()?;
    let number = i16::try_from(decimal(digits)?).ok()?;
    let minutes = match digits.len() {
        ..=2 => number * 60,
        3..=4 if number % 100 < 60 => number / 100 * 60 + number % 100,
        _ => return None,
    };
    (minutes < 24 * 60).then_some(if *sign == b'-' { -minutes } else { minutes })
}

/// RFC 5322 §4.3 obs-zone. Military letters were once defined with the wrong sign and mean nothing.
fn zone(lower: &[u8]) -> Option<i16> {
    Some(match lower {
        b"ut" | b"utc" | b"gmt" | b"z" => 0,
        b"edt" => -4 * 60,
        b"est" | b"cdt" => -5 * 60,
        b"cst" | b"mdt" => -6 * 60,
        b"mst" | b"pdt" => -7 * 60,
        b"pst" => -8 * 60,
        // Not in any RFC, but never ambiguous in mail.
        b"cet" | b"met" => 60,
        b"cest" | b"mest" => 2 * 60,
        b"jst" => 9 * 60,
        _ => return None,
    })
}

fn decimal(digits: &[u8]) -> Option<i32> {
    let all = !digits.is_empty() && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit);
    all.then(|| digits.iter().fold(0, |n, digit| n * 10 + i32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::UnixTime;

    use super::*;

    /// `year-month-day hour:minute:second zone`
    fn show(value: &str) -> String {
        let Some(date) = parse_date(value.as_bytes()) else { return "none".into() };
        let c = date.civil();
        format!("{}-{:02}-{:02} {:02}:{:02}:{:02} {}", c.year, c.month, c.day, c.hour, c.minute, c.second, date.zone)
    }

    #[track_caller]
    fn check(value: &str, expected: &str) {
        assert_eq!(show(value), expected, "{value}");
    }

    // RFC 5322 appendix A
    #[test]
    fn rfc_5322_appendix_a() {
        check("Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21 09:55:06 -360");
        check("Tue, 1 Jul 2003 10:52:37 +0200", "2003-07-01 10:52:37 120");
        check(
            "Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)",
            "1969-02-13 23:32:00 -210",
        );
        check("21 Nov 97 09:55:06 GMT", "1997-11-21 09:55:06 0");
        check("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "1997-11-21 09:55:06 -360");
    }

    #[test]
    fn years_zones_and_seconds() {
        check("1 Jan 49 00:00:00 EST", "2049-01-01 00:00:00 -300");
        check("1 Jan 50 00:00:00 PDT", "1950-01-01 00:00:00 -420");
        check("1 Jan 103 00:00 K", "2003-01-01 00:00:00 0");
        check("31 Dec 2016 23:59:60 +0000", "2017-01-01 00:00:00 0");
        check("1 Jan 2000 00:00:00 +9900", "2000-01-01 00:00:00 0");
        check("1 Jan 2000 00:00:00 +0175", "2000-01-01 00:00:00 0");
        check("1 Jan 2000 25:00:00 +0100", "2000-01-01 00:00:00 0");
        check("1 Jan 2000", "2000-01-01 00:00:00 0");
        check("Foo, 29 Feb 2000 01:02", "2000-02-29 01:02:00 0");
        // RFC 5256 §2.2: adjusted to UTC.
        assert_eq!(
            parse_date(b"31 Dec 2000 16:01:33 -0800").unwrap().time,
            parse_date(b"1 Jan 2001 00:01:33 +0000").unwrap().time
        );
        assert_eq!(parse_date(b"Thu, 1 Jan 1970 00:00:10 GMT").unwrap().time, UnixTime(10));
    }

    #[test]
    fn other_writings() {
        check("Wed Jul 17 02:23:25 1996", "1996-07-17 02:23:25 0");
        check("Wed Jul 17 02:23:25 PDT 1996", "1996-07-17 02:23:25 -420");
        check("17-Jul-1996 02:23:25 -0700", "1996-07-17 02:23:25 -420");
        check("1996-07-17T02:23:25Z", "1996-07-17 02:23:25 0");
        check("1996-07-17T02:23:25.123+02:00", "1996-07-17 02:23:25 120");
        check("Wednesday, July 17, 1996 2:23:25 PM +0200", "1996-07-17 14:23:25 120");
        check("Wed, 17 Jul 1996 02:23:25+0200", "1996-07-17 02:23:25 120");
        check("mon,17 JUL 1996 2:3:5 \"GMT\"", "1996-07-17 02:03:05 0");
    }

    #[test]
    fn no_date() {
        for value in [
            "",
            "yesterday",
            "31 Jun 2000 00:00:00 +0000",
            "0 Jan 2000",
            "1 Jan",
            "Jan 2000",
            "32 Jan 2000",
            "1 Jan 99999",
        ] {
            check(value, "none");
        }
    }

    proptest! {
        #[test]
        fn never_panics(value in "[0-9]{0,6}[ ,:+-]?[A-Za-z]{0,4}[ 0-9:+()T-]{0,30}") {
            parse_date(value.as_bytes());
        }
        #[test]
        fn there_and_back(time in 0_i64..4_000_000_000, zone in -720_i16..=840) {
            let date = DateTime { time: UnixTime(time), zone };
            let c = date.civil();
            let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let sign = if zone < 0 { '-' } else { '+' };
            let text = format!("{} {} {} {:02}:{:02}:{:02} {sign}{:02}{:02}", c.day, months[c.month as usize - 1], c.year, c.hour, c.minute, c.second, zone.abs() / 60, zone.abs() % 60);
            prop_assert_eq!(parse_date(text.as_bytes()), Some(date));
        }
    }
}
