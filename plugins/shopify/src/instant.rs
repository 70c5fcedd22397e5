//! Points in time, for the one question this plug-in has: which of two copies of a record is newer.

use std::str::FromStr;

use jiff::Timestamp;

/// The instant of a timestamp with any offset; a text that names none is older than every instant.
pub(crate) fn instant(text: Option<&str>) -> Option<Timestamp> {
    Timestamp::from_str(text?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_compare_across_offsets_and_fractions() {
        let at = |text| instant(Some(text));
        assert!(at("2024-09-23T14:21:59+08:00") < at("2024-09-23T06:30:00Z"));
        assert!(at("2024-09-23T06:19:16.500Z") > at("2024-09-23T06:19:16Z"));
        assert_eq!(at("2024-09-23T06:19:16.000Z"), at("2024-09-23T06:19:16+00:00"));
        assert_eq!(at("2024-09-23t06:19:16z"), at("2024-09-23T14:19:16+0800"));
        assert!(at("2024-09-23T06:19:16") < at("0001-01-01T00:00:00Z"));
    }
}
