//! Strings of JSON: what they mean, and how they are written.

use std::borrow::Cow;

/// A string as it stands between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawString<'a> {
    /// The text between the quotes.
    pub raw: &'a str,
    /// Whether a backslash is in it.
    pub has_escape: bool,
}

impl<'a> RawString<'a> {
    /// Returns what the string means. A lone surrogate, which Rust's strings cannot hold, becomes U+FFFD.
    pub fn unescape(self) -> Cow<'a, str> {
        if self.has_escape { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

/// Appends a string in quotes.
pub fn write_string(out: &mut String, string: &str) {
    out.push('"');
    let mut copied = 0;
    for (idx, byte) in string.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&string[copied..idx]);
        copied = idx + 1;
        out.push('\\');
        match byte {
            b'"' | b'\\' => out.push(char::from(byte)),
            b'\n' => out.push('n'),
            b'\r' => out.push('r'),
            b'\t' => out.push('t'),
            _ => {
                out.push_str("u00");
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    out.push_str(&string[copied..]);
    out.push('"');
}

/// Resolves the escapes of a string that a scan has accepted.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        out.push_str(plain);
        rest = push_unescaped(&mut out, escaped);
    }
    out.push_str(rest);
    out
}

/// Appends what one escape means, and returns the text after it.
fn push_unescaped<'a>(out: &mut String, escaped: &'a str) -> &'a str {
    let mut chars = escaped.chars();
    match chars.next() {
        Some('b') => out.push('\x08'),
        Some('f') => out.push('\x0c'),
        Some('n') => out.push('\n'),
        Some('r') => out.push('\r'),
        Some('t') => out.push('\t'),
        Some('u') => return push_unicode(out, chars.as_str()),
        Some(char) => out.push(char),
        None => {}
    }
    chars.as_str()
}

/// Appends the character whose digits stand at the start of `text`, together with the second half of a
/// surrogate pair.
fn push_unicode<'a>(out: &mut String, text: &'a str) -> &'a str {
    let Some((unit, rest)) = take_unit(text) else { return text };
    let pair = rest.strip_prefix("\\u").and_then(take_unit);
    let (char, rest) = match (unit, pair) {
        (0xd800..0xdc00, Some((low @ 0xdc00..0xe000, after))) => {
            (char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)), after)
        }
        _ => (char::from_u32(unit), rest),
    };
    out.push(char.unwrap_or(char::REPLACEMENT_CHARACTER));
    rest
}

fn take_unit(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved() {
        for (raw, meaning) in [
            (r"\b\f\n\r\t\/\\x", "\x08\x0c\n\r\t/\\x"),
            (r"\u0041\u00e9\u20ac", "Aé€"),
            (r"a\ud83e\udd80b", "a🦀b"),
            (r"\ud83e", "\u{fffd}"),
            (r"\ud83ex", "\u{fffd}x"),
            (r"\ud83e\n", "\u{fffd}\n"),
            (r"\ud83e\ud83e\udd80", "\u{fffd}🦀"),
            (r"\udd80\ud83e", "\u{fffd}\u{fffd}"),
            (r"\\u0041", "\\u0041"),
        ] {
            assert_eq!(RawString { raw, has_escape: true }.unescape(), meaning, "{raw}");
        }
    }

    #[test]
    fn written_strings_are_escaped_as_far_as_needed() {
        let mut out = String::new();
        write_string(&mut out, "a\"b\\c\n\r\t\x08\x1f\x7fé🦀/");
        assert_eq!(out, "\"a\\\"b\\\\c\\n\\r\\t\\u0008\\u001f\x7fé🦀/\"");
        let parsed: String = serde_json::from_str(&out).unwrap();
        assert_eq!(parsed, "a\"b\\c\n\r\t\x08\x1f\x7fé🦀/");
    }
}
