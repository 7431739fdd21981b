//! Translates packets from JSON text with attachments into MessagePack.

use std::fmt;

use bytes::Bytes;

use crate::{
    json::{self, JsonError, Literal, RawString, Visitor},
    socket::{
        PacketType,
        placeholder::{Meaning, Placeholders},
    },
};

/// Why a packet cannot be encoded: always the caller's fault, and nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EncodeError {
    /// The data is not JSON.
    Json(JsonError),
    /// The data or an attachment has more than 4 GiB.
    TooLarge,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => error.fmt(f),
            Self::TooLarge => f.write_str("packet too large for msgpack"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Encodes one packet. `data` is JSON text in which placeholders stand for the attachments; bytes take their places.
///
/// A placeholder that points to no attachment, or to one that was used before, is an ordinary object.
///
/// # Errors
/// See [`EncodeError`].
pub fn encode(
    kind: PacketType,
    namespace: &str,
    id: Option<u64>,
    data: Option<&str>,
    attachments: &[Bytes],
) -> Result<Vec<u8>, EncodeError> {
    // Every length and count that is written below is at most one of these.
    let mut lengths = attachments.iter().map(Bytes::len).chain([namespace.len(), data.map_or(0, str::len)]);
    if lengths.any(|length| u32::try_from(length).is_err()) {
        return Err(EncodeError::TooLarge);
    }
    let capacity = 32 + namespace.len() + data.map_or(0, str::len);
    let mut out = Vec::with_capacity(capacity + attachments.iter().map(Bytes::len).sum::<usize>());
    let n_members = 2 + usize::from(id.is_some()) + usize::from(data.is_some());
    write_header(&mut out, &MAP, n_members);
    write_str(&mut out, "type");
    out.push(kind.without_attachments() as u8);
    write_str(&mut out, "nsp");
    write_str(&mut out, namespace);
    if let Some(id) = id {
        write_str(&mut out, "id");
        write_uint(&mut out, id);
    }
    if let Some(data) = data {
        write_str(&mut out, "data");
        write_json(&mut out, data, attachments).map_err(EncodeError::Json)?;
    }
    Ok(out)
}

/// Arrays and maps say how many members they have before the members come, so that a first pass counts them.
fn write_json(out: &mut Vec<u8>, text: &str, attachments: &[Bytes]) -> Result<(), JsonError> {
    let mut counter = Counter::default();
    json::scan(text, usize::MAX, &mut counter)?;
    let placeholders = Placeholders::new(attachments.len());
    let counts = counter.counts.into_iter();
    json::scan(text, usize::MAX, &mut Writer { out, attachments, counts, placeholders, open: Vec::new() })
}

/// Counts the members of each array and object, in the order in which these begin.
#[derive(Default)]
struct Counter {
    counts: Vec<usize>,
    open: Vec<(usize, Members)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Members {
    Elements,
    Keys,
}

impl Counter {
    fn begin(&mut self, members: Members) {
        self.count(Members::Elements);
        self.open.push((self.counts.len(), members));
        self.counts.push(0);
    }

    fn count(&mut self, members: Members) {
        if let Some(&(idx, counted)) = self.open.last()
            && counted == members
        {
            self.counts[idx] += 1;
        }
    }
}

impl<'a> Visitor<'a> for Counter {
    fn begin_object(&mut self) {
        self.begin(Members::Keys);
    }

    fn end_object(&mut self) {
        self.open.pop();
    }

    fn begin_array(&mut self) {
        self.begin(Members::Elements);
    }

    fn end_array(&mut self) {
        self.open.pop();
    }

    fn key(&mut self, _key: RawString<'a>) {
        self.count(Members::Keys);
    }

    fn string(&mut self, _string: RawString<'a>) {
        self.count(Members::Elements);
    }

    fn number(&mut self, _number: &'a str) {
        self.count(Members::Elements);
    }

    fn literal(&mut self, _literal: Literal) {
        self.count(Members::Elements);
    }
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    attachments: &'o [Bytes],
    counts: std::vec::IntoIter<usize>,
    placeholders: Placeholders,
    /// Where each open object begins in `out`: should it turn out to be a placeholder, it is taken back.
    open: Vec<usize>,
}

impl<'a> Visitor<'a> for Writer<'_> {
    fn begin_object(&mut self) {
        self.placeholders.begin_object();
        self.open.push(self.out.len());
        write_header(self.out, &MAP, self.counts.next().unwrap_or_default());
    }

    fn end_object(&mut self) {
        let start = self.open.pop().unwrap_or_default();
        if let Meaning::Attachment(number) = self.placeholders.end_object() {
            self.out.truncate(start);
            let attachment = &self.attachments[number];
            write_header(self.out, &BIN, attachment.len());
            self.out.extend_from_slice(attachment);
        }
    }

    fn begin_array(&mut self) {
        self.placeholders.other_value();
        write_header(self.out, &ARRAY, self.counts.next().unwrap_or_default());
    }

    fn key(&mut self, key: RawString<'a>) {
        self.placeholders.key(key);
        write_str(self.out, &key.unescape());
    }

    fn string(&mut self, string: RawString<'a>) {
        self.placeholders.other_value();
        write_str(self.out, &string.unescape());
    }

    fn number(&mut self, number: &'a str) {
        self.placeholders.number(number);
        write_number(self.out, number);
    }

    fn literal(&mut self, literal: Literal) {
        self.placeholders.literal(literal);
        self.out.push(match literal {
            Literal::Null => 0xc0,
            Literal::False => 0xc2,
            Literal::True => 0xc3,
        });
    }
}

/// The first bytes of a kind of value, by the width of the length that follows them.
struct Header {
    /// The length is part of the first byte, and below `.1`.
    fixed: Option<(u8, usize)>,
    one_byte: Option<u8>,
    two_bytes: u8,
    four_bytes: u8,
}

const STR: Header =
    Header { fixed: Some((0xa0, 0x20)), one_byte: Some(0xd9), two_bytes: 0xda, four_bytes: 0xdb };
const BIN: Header = Header { fixed: None, one_byte: Some(0xc4), two_bytes: 0xc5, four_bytes: 0xc6 };
const ARRAY: Header = Header { fixed: Some((0x90, 0x10)), one_byte: None, two_bytes: 0xdc, four_bytes: 0xdd };
const MAP: Header = Header { fixed: Some((0x80, 0x10)), one_byte: None, two_bytes: 0xde, four_bytes: 0xdf };

/// The width is that of the smallest form, as other encoders choose it, too.
#[expect(
    clippy::cast_possible_truncation,
    reason = "each cast follows a comparison, or the check in `encode`"
)]
fn write_header(out: &mut Vec<u8>, header: &Header, length: usize) {
    match (header.fixed, header.one_byte) {
        (Some((first, end)), _) if length < end => out.push(first | length as u8),
        (_, Some(first)) if length < 0x100 => out.extend_from_slice(&[first, length as u8]),
        _ if length < 0x1_0000 => {
            out.push(header.two_bytes);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(header.four_bytes);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

fn write_str(out: &mut Vec<u8>, text: &str) {
    write_header(out, &STR, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Writes a whole number as an integer, however it is spelled, because JavaScript knows no difference. Integers
/// beyond 64 bits become floats.
fn write_number(out: &mut Vec<u8>, number: &str) {
    if let Ok(number) = number.parse::<u64>() {
        return write_uint(out, number);
    }
    if let Ok(number) = number.parse::<i64>() {
        return write_int(out, number);
    }
    let number: f64 = number.parse().unwrap_or(f64::NAN);
    if number % 1.0 == 0.0 && number.abs() < MAX_EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within the range of i64")]
        return write_int(out, number as i64);
    }
    out.push(0xcb);
    out.extend_from_slice(&number.to_be_bytes());
}

fn write_int(out: &mut Vec<u8>, number: i64) {
    if let Ok(number) = u64::try_from(number) {
        return write_uint(out, number);
    }
    if let Ok(number) = i8::try_from(number) {
        if number < -0x20 {
            out.push(0xd0);
        }
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xd1);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(0xd2);
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn write_uint(out: &mut Vec<u8>, number: u64) {
    if let Ok(number) = u8::try_from(number) {
        if number >= 0x80 {
            out.push(0xcc);
        }
        out.push(number);
    } else if let Ok(number) = u16::try_from(number) {
        out.push(0xcd);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        out.push(0xce);
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// Below 2⁵³ every whole number is a float of its own.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &str, attachments: &[Bytes]) -> Result<Vec<u8>, EncodeError> {
        let packet = encode(PacketType::BinaryEvent, "/", None, Some(data), attachments)?;
        let start = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data";
        Ok(packet.strip_prefix(start).unwrap().to_vec())
    }

    #[test]
    fn bytes_take_the_places_of_their_placeholders() {
        let attachments = [Bytes::from_static(b"x"), Bytes::from_static(b"y")];
        let data = r#"[{"num":1,"_placeholder":true},{"a":{"_placeholder":true,"num":0}}]"#;
        assert_eq!(event(data, &attachments).unwrap(), b"\x92\xc4\x01y\x81\xa1a\xc4\x01x");
    }

    #[test]
    fn a_placeholder_for_nothing_stays_an_object() {
        let data =
            r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0},{"_placeholder":false,"num":0}]"#;
        let object = |is_true: u8| [&b"\x82\xac_placeholder"[..], &[is_true], b"\xa3num\x00"].concat();
        let expected = [&b"\x93\xc4\x01x"[..], &object(0xc3), &object(0xc2)].concat();
        assert_eq!(event(data, &[Bytes::from_static(b"x")]).unwrap(), expected);
    }

    #[test]
    fn numbers_take_their_shortest_form() {
        let numbers =
            "[1.0,-1e0,1e15,9007199254740993,-9223372036854775808,18446744073709551615,18446744073709551616]";
        let expected = [
            &b"\x97\x01\xff\xcf"[..],
            &1_000_000_000_000_000_u64.to_be_bytes(),
            b"\xcf",
            &9_007_199_254_740_993_u64.to_be_bytes(),
            b"\xd3",
            &i64::MIN.to_be_bytes(),
            b"\xcf",
            &u64::MAX.to_be_bytes(),
            b"\xcb",
            &18_446_744_073_709_551_616.0_f64.to_be_bytes(),
        ];
        assert_eq!(event(numbers, &[]).unwrap(), expected.concat());
    }

    #[test]
    fn data_that_is_no_json_is_refused() {
        assert_eq!(event("[", &[]), Err(EncodeError::Json(JsonError::Malformed)));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(event(&deep, &[]).is_ok(), "depth is no matter of the stack");
    }
}
