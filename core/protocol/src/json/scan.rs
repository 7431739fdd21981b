//! Walks once over JSON text, checking it on the way.
//!
//! [`scan`] accepts exactly what JavaScript's `JSON.parse` accepts: any size of number, duplicate keys, escapes of
//! lone surrogates. It runs once over the text, keeps one bit for each open bracket, and never recurses.

use std::fmt;

use crate::json::RawString;

/// Why a text is not acceptable JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JsonError {
    /// The text is not JSON.
    Malformed,
    /// Arrays and objects are nested deeper than allowed.
    TooDeep,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed json",
            Self::TooDeep => "json nested too deeply",
        })
    }
}

impl std::error::Error for JsonError {}

/// What a scan meets, in the order of the text. Nothing is collected that a visitor does not ask for.
pub trait Visitor<'a> {
    /// An object begins.
    fn begin_object(&mut self) {}
    /// The object that began last ends.
    fn end_object(&mut self) {}
    /// An array begins.
    fn begin_array(&mut self) {}
    /// The array that began last ends.
    fn end_array(&mut self) {}
    /// The key of an object's next member.
    fn key(&mut self, _key: RawString<'a>) {}
    /// A string.
    fn string(&mut self, _string: RawString<'a>) {}
    /// A number, as it is written.
    fn number(&mut self, _number: &'a str) {}
    /// `true`, `false` or `null`.
    fn literal(&mut self, _literal: Literal) {}
}

/// A visitor that only wants to know whether the text is JSON.
impl Visitor<'_> for () {}

/// `true`, `false` or `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literal {
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

/// Checks that `text` is one JSON value, with white space around it or not.
///
/// # Errors
/// `max_depth` is how many arrays and objects may be open at the same time.
#[inline]
pub fn scan<'a>(text: &'a str, max_depth: usize, visitor: &mut impl Visitor<'a>) -> Result<(), JsonError> {
    Scanner { text, bytes: text.as_bytes(), at: 0, open: Open::default(), max_depth }.scan(visitor)
}

/// Returns the string at the start of `text`, which must stand there with its quotes.
pub(crate) fn leading_string(text: &str) -> Result<RawString<'_>, JsonError> {
    if !text.starts_with('"') {
        return Err(JsonError::Malformed);
    }
    Scanner { text, bytes: text.as_bytes(), at: 1, open: Open::default(), max_depth: 0 }.string()
}

/// Removes the white space of JSON, which is less than that of Unicode.
pub(crate) fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    open: Open,
    max_depth: usize,
}

impl<'a> Scanner<'a> {
    fn scan(mut self, visitor: &mut impl Visitor<'a>) -> Result<(), JsonError> {
        loop {
            let is_value_done = self.value(visitor)?;
            if is_value_done && !self.next_member(visitor)? {
                break;
            }
        }
        self.skip_white_space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(JsonError::Malformed) }
    }

    /// Takes a value, or the beginning of an array or object up to where its first value stands. Returns whether
    /// the value is complete.
    #[inline]
    fn value(&mut self, visitor: &mut impl Visitor<'a>) -> Result<bool, JsonError> {
        match self.take_token()? {
            b'"' => visitor.string(self.string()?),
            b'[' => return self.begin_array(visitor),
            b'{' => return self.begin_object(visitor),
            b't' => visitor.literal(self.literal(b"rue", Literal::True)?),
            b'f' => visitor.literal(self.literal(b"alse", Literal::False)?),
            b'n' => visitor.literal(self.literal(b"ull", Literal::Null)?),
            first => visitor.number(self.number(first)?),
        }
        Ok(true)
    }

    fn begin_array(&mut self, visitor: &mut impl Visitor<'a>) -> Result<bool, JsonError> {
        self.open.push(Container::Array, self.max_depth)?;
        visitor.begin_array();
        self.skip_white_space();
        if self.peek() != Some(b']') {
            return Ok(false);
        }
        self.at += 1;
        self.open.pop();
        visitor.end_array();
        Ok(true)
    }

    fn begin_object(&mut self, visitor: &mut impl Visitor<'a>) -> Result<bool, JsonError> {
        self.open.push(Container::Object, self.max_depth)?;
        visitor.begin_object();
        self.skip_white_space();
        if self.peek() != Some(b'}') {
            self.key(visitor)?;
            return Ok(false);
        }
        self.at += 1;
        self.open.pop();
        visitor.end_object();
        Ok(true)
    }

    /// Goes on after a complete value. Returns whether another value follows.
    fn next_member(&mut self, visitor: &mut impl Visitor<'a>) -> Result<bool, JsonError> {
        while let Some(container) = self.open.last() {
            match (self.take_token()?, container) {
                (b',', Container::Array) => return Ok(true),
                (b',', Container::Object) => {
                    self.key(visitor)?;
                    return Ok(true);
                }
                (b']', Container::Array) => visitor.end_array(),
                (b'}', Container::Object) => visitor.end_object(),
                _ => return Err(JsonError::Malformed),
            }
            self.open.pop();
        }
        Ok(false)
    }

    /// Takes a key and the colon after it.
    fn key(&mut self, visitor: &mut impl Visitor<'a>) -> Result<(), JsonError> {
        if self.take_token()? != b'"' {
            return Err(JsonError::Malformed);
        }
        visitor.key(self.string()?);
        if self.take_token()? == b':' { Ok(()) } else { Err(JsonError::Malformed) }
    }

    /// Takes a string whose opening quote is taken already.
    fn string(&mut self) -> Result<RawString<'a>, JsonError> {
        let start = self.at;
        let mut has_escape = false;
        loop {
            self.at += plain_len(&self.bytes[self.at..]);
            match self.take()? {
                b'"' => return Ok(RawString { raw: &self.text[start..self.at - 1], has_escape }),
                b'\\' => {
                    has_escape = true;
                    self.escape()?;
                }
                _ => return Err(JsonError::Malformed),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.take()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                let digits = self.bytes.get(self.at..self.at + 4).ok_or(JsonError::Malformed)?;
                self.at += 4;
                if digits.iter().all(u8::is_ascii_hexdigit) { Ok(()) } else { Err(JsonError::Malformed) }
            }
            _ => Err(JsonError::Malformed),
        }
    }

    fn number(&mut self, first: u8) -> Result<&'a str, JsonError> {
        let start = self.at - 1;
        let leading = if first == b'-' { self.take()? } else { first };
        match leading {
            b'0' => {}
            b'1'..=b'9' => self.skip_digits(),
            _ => return Err(JsonError::Malformed),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        if !self.take()?.is_ascii_digit() {
            return Err(JsonError::Malformed);
        }
        self.skip_digits();
        Ok(())
    }

    fn skip_digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn literal(&mut self, rest: &[u8], literal: Literal) -> Result<Literal, JsonError> {
        let is_there = self.bytes[self.at..].starts_with(rest);
        self.at += rest.len();
        if is_there { Ok(literal) } else { Err(JsonError::Malformed) }
    }

    /// Takes the next byte that is not white space.
    #[inline]
    fn take_token(&mut self) -> Result<u8, JsonError> {
        self.skip_white_space();
        self.take()
    }

    #[inline]
    fn take(&mut self) -> Result<u8, JsonError> {
        let byte = self.peek().ok_or(JsonError::Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Object,
}

/// The open brackets, one bit each. The innermost 64 are in a register, which suffices for ordinary events; what
/// is further out is spilled.
#[derive(Default)]
struct Open {
    depth: usize,
    inner: u64,
    spilled: Vec<u64>,
}

impl Open {
    #[inline]
    fn push(&mut self, container: Container, max_depth: usize) -> Result<(), JsonError> {
        if self.depth >= max_depth {
            return Err(JsonError::TooDeep);
        }
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.spilled.push(self.inner);
        }
        self.inner = self.inner << 1 | u64::from(container == Container::Object);
        self.depth += 1;
        Ok(())
    }

    #[inline]
    fn pop(&mut self) {
        self.depth -= 1;
        self.inner >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.inner = self.spilled.pop().unwrap_or_default();
        }
    }

    #[inline]
    fn last(&self) -> Option<Container> {
        match (self.depth, self.inner & 1) {
            (0, _) => None,
            (_, 0) => Some(Container::Array),
            _ => Some(Container::Object),
        }
    }
}

/// Returns how many bytes at the start of a string need no attention: all but quotes, backslashes and control
/// characters. Eight are looked at together, which for a string of 100 bytes takes a third of the time.
#[inline]
fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let mut at = 0;
    for &chunk in bytes.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(chunk);
        // The high bit of a byte is set where the byte is below the subtracted one. A borrow may set it in a
        // byte above such a one, too, never below, so that the lowest is right.
        let is_control = word.wrapping_sub(ONES * 0x20) & !word;
        let quotes = word ^ (ONES * u64::from(b'"'));
        let is_quote = quotes.wrapping_sub(ONES) & !quotes;
        let backslashes = word ^ (ONES * u64::from(b'\\'));
        let is_backslash = backslashes.wrapping_sub(ONES) & !backslashes;
        let special = (is_control | is_quote | is_backslash) & HIGHS;
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + bytes[at..].iter().take_while(|&&byte| byte >= b' ' && byte != b'"' && byte != b'\\').count()
}

#[cfg(test)]
mod tests;
