//! Writes JSON in the spelling of Shopify's bulk exports.
//!
//! Shopify's encoder writes `/` as `\/`, and `&`, `<`, `>` as `\u0026`, `\u003c`, `\u003e`, so that the text can be
//! pasted into HTML. It escapes U+2028 and U+2029, which older JavaScript takes for line ends. Everything else beyond
//! ASCII is raw UTF-8.

/// Appends JSON to a line. It writes the commas: before each key or array element that does not follow an opening
/// bracket.
pub(crate) struct Json<'line> {
    out: &'line mut Vec<u8>,
}

impl<'line> Json<'line> {
    pub(crate) fn new(out: &'line mut Vec<u8>) -> Self {
        Self { out }
    }

    pub(crate) fn open(&mut self) -> &mut Self {
        self.out.push(b'{');
        self
    }

    pub(crate) fn close(&mut self) -> &mut Self {
        self.out.push(b'}');
        self
    }

    pub(crate) fn key(&mut self, key: &str) -> &mut Self {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self
    }

    /// Writes an array with these elements.
    pub(crate) fn array<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) {
        self.out.push(b'[');
        for item in items {
            self.comma();
            each(self, item);
        }
        self.out.push(b']');
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.out.push(b'"');
        escape(self.out, text);
        self.out.push(b'"');
        self
    }

    /// Writes a string that is made of several pieces.
    pub(crate) fn pieces(&mut self, pieces: &[&str]) -> &mut Self {
        self.out.push(b'"');
        for piece in pieces {
            escape(self.out, piece);
        }
        self.out.push(b'"');
        self
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.out.extend_from_slice(b"null");
        self
    }

    pub(crate) fn boolean(&mut self, value: bool) -> &mut Self {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    pub(crate) fn number(&mut self, number: i64) -> &mut Self {
        if number < 0 {
            self.out.push(b'-');
        }
        digits(self.out, number.unsigned_abs());
        self
    }

    /// Writes a global id: `gid://shopify/<kind>/<id>`.
    pub(crate) fn gid(&mut self, kind: &str, id: u64) -> &mut Self {
        self.out.extend_from_slice(b"\"gid:\\/\\/shopify\\/");
        self.out.extend_from_slice(kind.as_bytes());
        self.out.extend_from_slice(b"\\/");
        digits(self.out, id);
        self.out.push(b'"');
        self
    }

    /// Writes an amount of money as Shopify spells it in variants: `"24.90"`.
    pub(crate) fn price(&mut self, cents: u32) -> &mut Self {
        self.out.push(b'"');
        digits(self.out, u64::from(cents / 100));
        self.out.push(b'.');
        self.out.extend_from_slice(&[b'0' + (cents / 10 % 10) as u8, b'0' + (cents % 10) as u8]);
        self.out.push(b'"');
        self
    }

    /// Writes an amount of money as Shopify spells it in price ranges: `"24.9"`.
    pub(crate) fn amount(&mut self, cents: u32) -> &mut Self {
        self.price(cents);
        if cents.is_multiple_of(10) {
            self.out.truncate(self.out.len() - 2);
            self.out.push(b'"');
        }
        self
    }

    /// Writes a time, given in seconds since 1970, as `"2025-11-20T03:41:58Z"`.
    pub(crate) fn time(&mut self, seconds: i64) -> &mut Self {
        self.out.push(b'"');
        self.out.extend_from_slice(&rfc3339(seconds));
        self.out.push(b'"');
        self
    }

    pub(crate) fn end_line(&mut self) {
        self.out.push(b'\n');
    }

    fn comma(&mut self) {
        if !matches!(self.out.last(), Some(b'{' | b'[')) {
            self.out.push(b',');
        }
    }
}

/// Appends `text` as the inside of a JSON string.
pub(crate) fn escape(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if PLAIN[byte as usize] {
            continue;
        }
        let spelling: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'/' => b"\\/",
            b'&' => b"\\u0026",
            b'<' => b"\\u003c",
            b'>' => b"\\u003e",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            // The first byte of U+2028 and U+2029, but also of other characters.
            0xe2 if bytes[at..].starts_with("\u{2028}".as_bytes()) => b"\\u2028",
            0xe2 if bytes[at..].starts_with("\u{2029}".as_bytes()) => b"\\u2029",
            0xe2 => continue,
            other => {
                out.extend_from_slice(&bytes[copied..at]);
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(other >> 4)], HEX[usize::from(other & 15)]]);
                copied = at + 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(spelling);
        copied = at + if byte == 0xe2 { 3 } else { 1 };
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Appends a number in decimal.
pub(crate) fn digits(out: &mut Vec<u8>, mut number: u64) {
    let mut buffer = [0_u8; 20];
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&buffer[start..]);
}

/// A time, given in seconds since 1970, in UTC and whole seconds, as bulk exports write all times.
pub(crate) fn rfc3339(seconds: i64) -> [u8; 20] {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The algorithm `civil_from_days` by Howard Hinnant: <https://howardhinnant.github.io/date_algorithms.html>.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);

    let mut text = *b"0000-00-00T00:00:00Z";
    let parts = [
        (0, year / 100),
        (2, year % 100),
        (5, month),
        (8, day),
        (11, rest / 3_600),
        (14, rest / 60 % 60),
        (17, rest % 60),
    ];
    for (at, part) in parts {
        text[at] = b'0' + (part / 10) as u8;
        text[at + 1] = b'0' + (part % 10) as u8;
    }
    text
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Whether a byte is written as it is. The others are escaped, or may begin a character that is.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        plain[byte] = false;
        byte += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain[b'/' as usize] = false;
    plain[b'&' as usize] = false;
    plain[b'<' as usize] = false;
    plain[b'>' as usize] = false;
    plain[0xe2] = false;
    plain
};

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        escape(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_escaped_as_shopify_does() {
        assert_eq!(escaped("<p>M&M a/b</p>"), r"\u003cp\u003eM\u0026M a\/b\u003c\/p\u003e");
        assert_eq!(escaped("a\u{2028}b\u{2029}c\u{201c}d"), "a\\u2028b\\u2029c\u{201c}d");
        assert_eq!(escaped("\"\\\r\n\t\u{1}é日🙂"), "\\\"\\\\\\r\\n\\t\\u0001é日🙂");
    }

    #[test]
    fn money_has_two_spellings() {
        let mut out = Vec::new();
        Json::new(&mut out).price(2_490).amount(2_490).price(5).amount(5).amount(1_000);
        assert_eq!(String::from_utf8(out).unwrap(), r#""24.90""24.9""0.05""0.05""10.0""#);
    }

    #[test]
    fn moments_are_written_in_utc() {
        assert_eq!(&rfc3339(0), b"1970-01-01T00:00:00Z");
        assert_eq!(&rfc3339(1_709_251_199), b"2024-02-29T23:59:59Z");
        assert_eq!(&rfc3339(1_763_610_118), b"2025-11-20T03:41:58Z");
    }

    #[test]
    fn commas_are_written_between_members() {
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.open().key("a").number(-7).key("b").array([1, 2], |json, number| {
            json.number(number);
        });
        json.key("c").open().close().key("d").gid("Product", 3).close();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"a":-7,"b":[1,2],"c":{},"d":"gid:\/\/shopify\/Product\/3"}"#
        );
    }
}
