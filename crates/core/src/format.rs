//! Formats durations, sizes and counts for people.

use std::time::Duration;

/// Formats a duration, rounded to one unit: `12 s` (below 90 s), `3 min` (below 90 min), `2 h`.
pub fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..90 => format!("{seconds} s"),
        seconds @ 90..5400 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{} h", (seconds + 1800) / 3600),
    }
}

/// Formats a size in bytes with decimal units: `512 B`, `1.5 MB`.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// Formats a count with thousands separators: `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}

/// Formats a count with its noun, whose plural ends with an s: `1 line`, `12,345 lines`.
pub fn pluralize(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_nouns_and_separators() {
        assert_eq!(
            (count(0), count(999), count(1_000), count(1_234_567)),
            ("0".into(), "999".into(), "1,000".into(), "1,234,567".into())
        );
        assert_eq!(
            (bytes(999), bytes(1_500_000), bytes(2_000_000_000)),
            ("999 B".into(), "1.5 MB".into(), "2.00 GB".into())
        );
        assert_eq!(
            [0, 1, 1_000].map(|number| pluralize(number, "line")),
            ["0 lines", "1 line", "1,000 lines"]
        );
        assert_eq!(
            (
                duration(Duration::from_secs(89)),
                duration(Duration::from_secs(120)),
                duration(Duration::from_secs(7200))
            ),
            ("89 s".into(), "2 min".into(), "2 h".into())
        );
    }
}
