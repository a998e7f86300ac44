//! Moments as people read them.

use mooseng_core::time::WallTime;

/// As `2026-01-31T23:59:59.123Z` (Howard Hinnant's `civil_from_days`).
pub fn utc(time: WallTime) -> String {
    let (seconds, millis) = (time.0.div_euclid(1_000_000_000), time.0.rem_euclid(1_000_000_000) / 1_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years begin in March here, so that a leap day is the last day of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_people_read_them() {
        let seconds = |seconds: i64, millis: i64| utc(WallTime(seconds * 1_000_000_000 + millis * 1_000_000));
        assert_eq!(seconds(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(seconds(-1, 1), "1969-12-31T23:59:59.001Z");
        assert_eq!(seconds(951_782_399, 7), "2000-02-28T23:59:59.007Z");
        assert_eq!(seconds(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(seconds(1_709_251_200, 999), "2024-03-01T00:00:00.999Z");
        assert_eq!(seconds(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }
}
