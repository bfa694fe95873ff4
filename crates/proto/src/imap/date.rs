//! `date-time` and `date` of RFC 9051 §9.

use types::{Civil, DateTime};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE`
///
/// A year that four digits cannot show is shown as 0000 or 9999.
pub(super) fn write_date_time(out: &mut Vec<u8>, date: DateTime) {
    use std::io::Write;
    let Civil { year, month, day, hour, minute, second } = date.civil();
    let year = year.clamp(0, 9999);
    let month = MONTHS.get(usize::from(month.saturating_sub(1))).unwrap_or(&"Jan");
    let (sign, zone) = if date.zone < 0 { ('-', date.zone.unsigned_abs()) } else { ('+', date.zone.unsigned_abs()) };
    let (zone_hours, zone_minutes) = (zone / 60, zone % 60);
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "\"{day:2}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} {sign}{zone_hours:02}{zone_minutes:02}\""
    );
}
