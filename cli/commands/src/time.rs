//! Times as people write and read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `90s`, `30m`, `12h`, `7d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let error = || "write a time like 90s, 30m, 12h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(error)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(error()),
    };
    let number: u64 = text.get(..text.len() - 1).and_then(|digits| digits.parse().ok()).ok_or_else(error)?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(error)
}

/// As long as the daemon holds a call.
const MAX_HOLD: Duration = Duration::from_secs(120);

/// A time as above up to two minutes, or `0`.
pub(crate) fn parse_hold(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") {
        return Ok(Duration::ZERO);
    }
    match parse_duration(text)? {
        hold if hold > MAX_HOLD => Err(format!("a call waits {} s at most", MAX_HOLD.as_secs())),
        hold => Ok(hold),
    }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// `3 min ago`.
pub(crate) fn ago(then_ms: u64) -> String {
    match now_ms().saturating_sub(then_ms) / 1000 {
        0..=1 => "just now".to_owned(),
        seconds @ 2..=119 => format!("{seconds} s ago"),
        seconds @ 120..=7199 => format!("{} min ago", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

/// `in 3 h 20 min`.
pub(crate) fn left(until_ms: u64) -> String {
    let minutes = until_ms.saturating_sub(now_ms()) / 60_000;
    match (minutes / 60, minutes % 60) {
        (0, 0) => "under a minute".to_owned(),
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// `1 min 48 s`.
pub(crate) fn span(ms: u64) -> String {
    match (ms / 60_000, ms / 1000 % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// `2026-11-24 22:31:07`, in UTC.
pub(crate) fn stamp(ms: u64) -> String {
    let (days, seconds) = (ms / 86_400_000, ms / 1000 % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The date so many days after 1970-01-01, by the usual shift of the year's beginning to March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("12h"), Ok(Duration::from_secs(43_200)));
        for bad in ["", "h", "12", "0s", "-1s", "1x", "99999999999999999999h", "9999999999999999h", "1é"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn holds() {
        assert_eq!(parse_hold("0"), Ok(Duration::ZERO));
        assert_eq!(parse_hold("55s"), Ok(Duration::from_secs(55)));
        assert_eq!(parse_hold("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "121s", "3m", "-1", "1"] {
            assert!(parse_hold(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans() {
        assert_eq!([span(900), span(48_000), span(60_000), span(108_999)], ["0 s", "48 s", "1 min", "1 min 48 s"]);
    }

    #[test]
    fn stamps() {
        assert_eq!(stamp(0), "1970-01-01 00:00:00");
        assert_eq!(stamp(951_782_399_000), "2000-02-28 23:59:59");
        assert_eq!(stamp(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(stamp(1_795_559_467_000), "2026-11-24 22:31:07");
    }
}
