//! Moments: seconds since 1970 and, where a client gave one, its time zone.

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds; may be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UnixTime(pub i64);

/// A moment with the zone in which it was written: INTERNALDATE keeps the zone that APPEND gave.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DateTime {
    /// When.
    pub time: UnixTime,
    /// Minutes east of UTC, `-1439..=1439`.
    pub zone: i16,
}

/// A day and a time of day as written on a clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Civil {
    /// Gregorian; may be negative.
    pub year: i32,
    /// 1..=12
    pub month: u8,
    /// 1..=31
    pub day: u8,
    /// 0..=23
    pub hour: u8,
    /// 0..=59
    pub minute: u8,
    /// 0..=60
    pub second: u8,
}

impl DateTime {
    /// `None` where the fields name no moment (31 June, hour 24) or the zone is a day or more.
    /// Second 60 is taken as the second after 59 (RFC 5322 §3.3 allows leap seconds).
    pub fn new(civil: Civil, zone: i16) -> Option<Self> {
        let Civil { year, month, day, hour, minute, second } = civil;
        let valid = (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60
            && zone.unsigned_abs() < 24 * 60
            && (-9999..=9999).contains(&year);
        let local = days_from_civil(year, month, day) * 86_400
            + i64::from(hour) * 3600
            + i64::from(minute) * 60
            + i64::from(second);
        valid.then_some(Self { time: UnixTime(local - i64::from(zone) * 60), zone })
    }

    /// The moment in UTC.
    pub fn utc(time: UnixTime) -> Self {
        Self { time, zone: 0 }
    }

    /// What a clock in this zone shows.
    pub fn civil(self) -> Civil {
        let local = self.time.0.saturating_add(i64::from(self.zone) * 60);
        let (days, rest) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        // `rest` is below 86,400, so each of these fits.
        Civil { year, month, day, hour: (rest / 3600) as u8, minute: (rest / 60 % 60) as u8, second: (rest % 60) as u8 }
    }

    /// The day number that a clock in this zone shows, counted from 1970-01-01: SEARCH compares days
    /// "disregarding time and timezone" (RFC 9051 §6.4.4).
    pub fn day_number(self) -> i64 {
        self.time.0.saturating_add(i64::from(self.zone) * 60).div_euclid(86_400)
    }
}

impl Civil {
    /// The number of this day, counted from 1970-01-01.
    pub fn day_number(self) -> i64 {
        days_from_civil(self.year, self.month, self.day)
    }
}

fn days_in_month(year: i32, month: u8) -> u8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar; the year is taken to begin in March,
/// so that the leap day is its last.
fn days_from_civil(year: i32, month: u8, day: u8) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i32, u8, u8) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // Clamped: a time beyond the year 2^31 shows as the last year there is.
    (year.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32, month as u8, day as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_hundred_years_there_and_back() {
        for day in -200_000..100_000 {
            let (year, month, dom) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, dom), day);
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(civil_from_days(11_016), (2000, 2, 29));
    }

    #[test]
    fn zones_and_nonsense() {
        let civil = Civil { year: 1996, month: 7, day: 17, hour: 2, minute: 44, second: 25 };
        let date = DateTime::new(civil, -7 * 60).unwrap();
        assert_eq!(date.time, UnixTime(837_596_665));
        assert_eq!(date.civil(), civil);
        assert_eq!(DateTime::new(Civil { month: 6, day: 31, ..civil }, 0), None);
        assert_eq!(DateTime::new(Civil { hour: 24, ..civil }, 0), None);
        assert_eq!(DateTime::new(civil, 1440), None);
        let _ = DateTime { time: UnixTime(i64::MAX), zone: 1439 }.civil();
        let _ = DateTime { time: UnixTime(i64::MIN), zone: -1439 }.civil();
    }
}
