//! Times as Marqo writes them in JSON.

use std::time::{SystemTime, UNIX_EPOCH};

/// A time in ISO 8601, such as `2026-01-05T10:00:00.100000Z`.
pub(crate) fn iso(time: SystemTime) -> String {
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since_1970.as_secs() / 86_400, since_1970.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z",
        since_1970.subsec_micros()
    )
}

/// Year, month and day of the date so many days after 1970-01-01. In the calculation years begin in March, so that a
/// leap day is the last day of its year, and an era is 400 years, after which the calendar repeats.
fn date(days: u64) -> (u64, u64, u64) {
    // Days from 0000-03-01 on; 719,468 of them are before 1970-01-01. An era has 146,097 days.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_written_as_dates() {
        let at = |seconds: u64, micros: u32| iso(UNIX_EPOCH + Duration::new(seconds, micros * 1_000));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(1_767_607_200, 100_000), "2026-01-05T10:00:00.100000Z");
        assert_eq!(at(1_709_164_799, 999_999), "2024-02-28T23:59:59.999999Z");
        assert_eq!(at(1_709_164_800, 0), "2024-02-29T00:00:00.000000Z");
    }
}
