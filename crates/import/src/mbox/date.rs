//! The date of a `From ` line, as `ctime` writes it; people's programs add to it.

use types::{Civil, DateTime, UnixTime};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// `Fri Nov 20 12:00:00 2026`, in UTC.
pub(super) fn write(time: UnixTime) -> String {
    let civil = DateTime::utc(time).civil();
    let weekday = usize::try_from(civil.day_number().rem_euclid(7)).ok().and_then(|n| DAYS.get(n)).unwrap_or(&"Thu");
    let month = MONTHS.get(usize::from(civil.month).saturating_sub(1)).unwrap_or(&"Jan");
    let Civil { year, day, hour, minute, second, .. } = civil;
    format!("{weekday} {month} {day:>2} {hour:02}:{minute:02}:{second:02} {year:04}")
}

/// The date in what follows the sender: month, day, time and year in any company; `None` where one is
/// missing, which means that the line is none of a mailbox.
pub(super) fn read(line: &str) -> Option<DateTime> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let at = words.iter().rposition(|word| MONTHS.iter().any(|month| word.eq_ignore_ascii_case(month)))?;
    let month = words.get(at).and_then(|word| MONTHS.iter().position(|month| word.eq_ignore_ascii_case(month)))?;
    let rest = words.get(at + 1..)?;
    let clock = rest.iter().find(|word| word.contains(':'))?;
    let mut clock = clock.split(':').map(|part| part.parse::<u8>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next().flatten().unwrap_or(0));
    let year = rest.iter().find_map(|word| word.parse::<u16>().ok().filter(|year| (1900..=9999).contains(year)))?;
    // `20 Nov 2026` as well as `Nov 20`.
    let day = |word: Option<&&str>| word.and_then(|word| word.parse::<u8>().ok()).filter(|day| (1..=31).contains(day));
    let day = day(rest.first()).or_else(|| day(words.get(at.checked_sub(1)?)))?;
    let zone = rest.iter().find_map(|word| zone(word)).unwrap_or(0);
    let month = u8::try_from(month + 1).ok()?;
    DateTime::new(Civil { year: year.into(), month, day, hour, minute, second }, zone)
}

/// `+0130`
fn zone(word: &str) -> Option<i16> {
    let sign = if word.strip_prefix('-').is_some() { -1 } else { 1 };
    let digits = word.strip_prefix(['+', '-']).filter(|digits| digits.len() == 4)?;
    let number: i16 = digits.parse().ok()?;
    Some(sign * (number / 100 * 60 + number % 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_programs_write_it() {
        let noon = UnixTime(1_795_176_000);
        assert_eq!(write(noon), "Fri Nov 20 12:00:00 2026");
        for line in [
            "ann@x.example Fri Nov 20 12:00:00 2026",
            "ann Fri Nov 20 12:00 2026",
            "\"ann may\"@x Fri Nov 20 13:30:00 2026 +0130",
            "ann Fri Nov 20 07:00:00 -0500 2026",
            "ann@x Fri Nov 20 12:00:00 UTC 2026",
            "ann Fri, 20 Nov 2026 12:00:00 +0000",
            "- Fri Nov 20 12:00:00 2026 remote from x",
        ] {
            assert_eq!(read(line).map(|date| date.time), Some(noon), "{line}");
        }
        for line in
            ["", "time to time", "the 20 Nov 2026", "May to Oct 12:00", "a Fri Nov 20 2026", "x Nov 40 12:00 2026"]
        {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
