//! Log lines on stderr: time, level, what happened. Rare events only; nothing on the path of a produce or a fetch
//! writes here.

use std::fmt::Arguments;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

pub fn info(text: Arguments<'_>) {
    line("INFO", text);
}

pub fn warn(text: Arguments<'_>) {
    line("WARN", text);
}

pub fn error(text: Arguments<'_>) {
    line("ERROR", text);
}

fn line(level: &str, text: Arguments<'_>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // One write, so that lines of several shards do not mix; a closed stderr must not stop the broker.
    let text = format!("{} {level} {text}\n", utc(now.as_millis() as u64));
    _ = std::io::stderr().write_all(text.as_bytes());
}

/// ISO 8601 in UTC with milliseconds; civil date from days as in Howard Hinnant's `civil_from_days`.
fn utc(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let z = days as i64 + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1000)
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_right() {
        assert_eq!(super::utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(super::utc(1_709_164_799_999), "2024-02-28T23:59:59.999Z");
        assert_eq!(super::utc(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
        assert_eq!(super::utc(4_102_444_800_001), "2100-01-01T00:00:00.001Z");
    }
}
