//! Several engine packets in the body of one long-polling request or answer.
//!
//! Three forms exist. Revision 4 separates packets by `0x1e` and writes binary ones in base64. Revision 3 puts
//! the length of each packet before it, counted in UTF-16 code units, or, when a binary packet is among them and
//! the client can read it, uses a binary form that counts bytes.
//! See <https://socket.io/docs/v4/engine-io-protocol/#http-long-polling-1>.

use std::{fmt, ops::Range};

use crate::engine::{
    DecodeError, Packet, Protocol, decode_binary, decode_text, encode_base64, packet::base64_len,
};

/// Why a body is not a payload: always the peer's fault, and the session ends with "parse error".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadError {
    /// The body holds no packet at all.
    Empty,
    /// The body is not UTF-8.
    Utf8,
    /// The client sent the binary form, which its revision does not have.
    BinaryForm,
    /// A length is missing, is no number, or goes past the end.
    Length,
    /// One of the packets is malformed.
    Packet(DecodeError),
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty payload"),
            Self::Utf8 => f.write_str("payload is not utf-8"),
            Self::BinaryForm => f.write_str("binary payload in engine.io 4"),
            Self::Length => f.write_str("invalid packet length in payload"),
            Self::Packet(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PayloadError {}

impl From<DecodeError> for PayloadError {
    fn from(error: DecodeError) -> Self {
        Self::Packet(error)
    }
}

/// The packets of a body, in order. After an error there are no more.
///
/// Nothing is allocated for the packets but the bytes that come out of base64, so that the number of packets
/// needs no bound besides that of the body.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    protocol: Protocol,
    rest: Rest<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Rest<'a> {
    /// Text of revision 4; there is a packet even in an empty rest.
    Separated(&'a str),
    /// Text of revision 3.
    Prefixed(&'a str),
    /// The binary form of revision 3.
    Binary(&'a [u8]),
    Failed(PayloadError),
    Done,
}

/// Reads the body of a request. `is_binary` says that its content type was `application/octet-stream`.
///
/// Packets before a malformed one are returned, as the official server handles them, too.
pub fn decode(protocol: Protocol, body: &[u8], is_binary: bool) -> Packets<'_> {
    let rest = match (protocol, is_binary) {
        _ if body.is_empty() => Rest::Failed(PayloadError::Empty),
        (Protocol::V4, true) => Rest::Failed(PayloadError::BinaryForm),
        (Protocol::V3, true) => Rest::Binary(body),
        (_, false) => match (std::str::from_utf8(body), protocol) {
            (Err(_), _) => Rest::Failed(PayloadError::Utf8),
            (Ok(text), Protocol::V4) => Rest::Separated(text),
            (Ok(text), Protocol::V3) => Rest::Prefixed(text),
        },
    };
    Packets { protocol, rest }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = match self.rest {
            Rest::Separated(text) => Some(self.next_separated(text)),
            Rest::Prefixed(text) => self.next_prefixed(text).transpose(),
            Rest::Binary(bytes) => self.next_binary(bytes).transpose(),
            Rest::Failed(error) => Some(Err(error)),
            Rest::Done => None,
        };
        if !matches!(step, Some(Ok(_))) {
            self.rest = Rest::Done;
        }
        step
    }
}

impl<'a> Packets<'a> {
    fn next_separated(&mut self, text: &'a str) -> Result<Packet<'a>, PayloadError> {
        let (packet, rest) = match text.split_once(SEPARATOR) {
            Some((packet, rest)) => (packet, Rest::Separated(rest)),
            None => (text, Rest::Done),
        };
        self.rest = rest;
        Ok(decode_text(self.protocol, packet)?)
    }

    fn next_prefixed(&mut self, mut text: &'a str) -> Result<Option<Packet<'a>>, PayloadError> {
        while !text.is_empty() {
            let (digits, rest) = text.split_once(':').ok_or(PayloadError::Length)?;
            let n_units = parse_length(digits.bytes())?;
            let end = utf16_boundary(rest, n_units).ok_or(PayloadError::Length)?;
            let (packet, rest) = rest.split_at(end);
            text = rest;
            // An empty packet is skipped: old clients send `0:` when they have nothing to send.
            if !packet.is_empty() {
                self.rest = Rest::Prefixed(rest);
                return Ok(Some(decode_text(self.protocol, packet)?));
            }
        }
        Ok(None)
    }

    fn next_binary(&mut self, bytes: &'a [u8]) -> Result<Option<Packet<'a>>, PayloadError> {
        let Some((&marker, rest)) = bytes.split_first() else { return Ok(None) };
        let n_digits = rest.iter().take(MAX_LENGTH_DIGITS + 1).position(|&byte| byte == END_OF_LENGTH);
        let n_digits = n_digits.ok_or(PayloadError::Length)?;
        let digits = rest[..n_digits].iter().map(|digit| digit.saturating_add(b'0'));
        let n_bytes = parse_length(digits)?;
        let (packet, rest) = rest[n_digits + 1..].split_at_checked(n_bytes).ok_or(PayloadError::Length)?;
        self.rest = Rest::Binary(rest);
        match marker {
            TEXT_MARKER => {
                let text = std::str::from_utf8(packet).map_err(|_| PayloadError::Utf8)?;
                Ok(Some(decode_text(self.protocol, text)?))
            }
            BINARY_MARKER => Ok(Some(decode_binary(self.protocol, packet)?)),
            _ => Err(PayloadError::Length),
        }
    }
}

fn parse_length(digits: impl Iterator<Item = u8>) -> Result<usize, PayloadError> {
    let mut length = None;
    for (idx, digit) in digits.enumerate() {
        if !digit.is_ascii_digit() || idx == MAX_LENGTH_DIGITS {
            return Err(PayloadError::Length);
        }
        length = Some(length.unwrap_or(0) * 10 + usize::from(digit - b'0'));
    }
    length.ok_or(PayloadError::Length)
}

/// Returns the byte position after `n_units` UTF-16 code units, or `None` when there are not so many or the
/// position would cut a character.
fn utf16_boundary(text: &str, n_units: usize) -> Option<usize> {
    // No text has more code units than bytes.
    if text.as_bytes().get(..n_units)?.is_ascii() {
        return Some(n_units);
    }
    let mut n_left = n_units;
    for (idx, char) in text.char_indices() {
        if n_left == 0 {
            return Some(idx);
        }
        n_left = n_left.checked_sub(char.len_utf16())?;
    }
    (n_left == 0).then_some(text.len())
}

/// Builds the body of one answer, packet by packet.
///
/// ```
/// use ferrio_protocol::engine::{Protocol, payload::PayloadEncoder};
///
/// let mut encoder = PayloadEncoder::new(Protocol::V4, true);
/// encoder.push_text("2");
/// encoder.push_binary(&[1, 2, 3]);
/// assert_eq!(encoder.finish(), (b"2\x1ebAQID".to_vec(), false));
/// ```
#[derive(Debug)]
pub struct PayloadEncoder {
    protocol: Protocol,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// The packets in `body`; where each one's text stands is kept only if the form may still change.
    Text {
        body: String,
        packets: Option<Vec<Range<usize>>>,
    },
    Binary(Vec<u8>),
}

impl PayloadEncoder {
    /// Starts an empty body. `supports_binary` says that the client did not ask for base64 with `b64=1`; it
    /// matters only in revision 3.
    pub fn new(protocol: Protocol, supports_binary: bool) -> Self {
        let may_change = protocol == Protocol::V3 && supports_binary;
        let packets = may_change.then(Vec::new);
        Self { protocol, form: Form::Text { body: String::new(), packets } }
    }

    /// Appends a packet that is already text, its type digit included.
    pub fn push_text(&mut self, packet: &str) {
        match &mut self.form {
            Form::Text { body, packets } => {
                let range = push_to_text(self.protocol, body, packet);
                if let Some(packets) = packets {
                    packets.push(range);
                }
            }
            Form::Binary(body) => push_to_binary(body, TEXT_MARKER, &[], packet.as_bytes()),
        }
    }

    /// Appends a binary message.
    pub fn push_binary(&mut self, message: &[u8]) {
        match &mut self.form {
            Form::Text { packets: Some(_), .. } => {
                self.change_to_binary();
                self.push_binary(message);
            }
            Form::Text { body, packets: None } => {
                start_text(self.protocol, body, base64_len(self.protocol, message.len()));
                encode_base64(self.protocol, message, body);
            }
            Form::Binary(body) => push_to_binary(body, BINARY_MARKER, &[MESSAGE_NUMBER], message),
        }
    }

    /// Returns how many bytes the body has so far.
    ///
    /// In revision 3 the first binary message may change this by a few bytes for each packet before it.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Text { body, .. } => body.len(),
            Form::Binary(body) => body.len(),
        }
    }

    /// Tells whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the body, and whether its content type is `application/octet-stream`.
    pub fn finish(self) -> (Vec<u8>, bool) {
        match self.form {
            Form::Text { body, .. } => (body.into_bytes(), false),
            Form::Binary(body) => (body, true),
        }
    }

    /// One body has one form, so that the first binary message rewrites the packets before it.
    fn change_to_binary(&mut self) {
        let Form::Text { body, packets: Some(packets) } = &self.form else { return };
        let mut binary = Vec::with_capacity(body.len() + packets.len() * 8);
        for range in packets {
            push_to_binary(&mut binary, TEXT_MARKER, &[], body[range.clone()].as_bytes());
        }
        self.form = Form::Binary(binary);
    }
}

/// Returns where the packet's own text stands.
fn push_to_text(protocol: Protocol, body: &mut String, packet: &str) -> Range<usize> {
    let n_units = match protocol {
        Protocol::V4 => 0,
        Protocol::V3 => packet.chars().map(char::len_utf16).sum(),
    };
    start_text(protocol, body, n_units);
    let start = body.len();
    body.push_str(packet);
    start..body.len()
}

fn start_text(protocol: Protocol, body: &mut String, n_units: usize) {
    match protocol {
        Protocol::V4 if body.is_empty() => {}
        Protocol::V4 => body.push(SEPARATOR),
        Protocol::V3 => {
            body.push_str(itoa::Buffer::new().format(n_units));
            body.push(':');
        }
    }
}

fn push_to_binary(body: &mut Vec<u8>, marker: u8, kind: &[u8], packet: &[u8]) {
    body.push(marker);
    let mut buffer = itoa::Buffer::new();
    body.extend(buffer.format(kind.len() + packet.len()).bytes().map(|digit| digit - b'0'));
    body.push(END_OF_LENGTH);
    body.extend_from_slice(kind);
    body.extend_from_slice(packet);
}

const SEPARATOR: char = '\x1e';
const END_OF_LENGTH: u8 = 255;
const TEXT_MARKER: u8 = 0;
const BINARY_MARKER: u8 = 1;
const MESSAGE_NUMBER: u8 = 4;
/// Nine digits cannot overflow `usize` on any target, and no body is that long.
const MAX_LENGTH_DIGITS: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Data, PacketType};

    fn all(packets: Packets<'_>) -> Vec<Result<Packet<'_>, PayloadError>> {
        packets.collect()
    }

    fn message(text: &str) -> Packet<'_> {
        Packet { kind: PacketType::Message, data: Data::Text(text) }
    }

    fn binary(bytes: &[u8]) -> Packet<'_> {
        Packet { kind: PacketType::Message, data: Data::Binary(bytes.into()) }
    }

    #[test]
    fn packets_before_a_malformed_one_are_returned_and_none_after_it() {
        let error = PayloadError::Packet(DecodeError::UnknownType);
        assert_eq!(all(decode(Protocol::V4, b"4a\x1ex\x1e4b", false)), [Ok(message("a")), Err(error)]);
        assert_eq!(all(decode(Protocol::V3, b"2:4a1:x2:4b", false)), [Ok(message("a")), Err(error)]);
        assert_eq!(
            all(decode(Protocol::V3, b"2:4a3:4b", false)),
            [Ok(message("a")), Err(PayloadError::Length)]
        );
    }

    #[test]
    fn lengths_of_revision_3_count_utf_16_units() {
        // Two for the letter é in bytes but one in units, four for the face in bytes but two in units.
        let body = "5:4é🦀x2:4y".as_bytes();
        assert_eq!(all(decode(Protocol::V3, body, false)), [Ok(message("é🦀x")), Ok(message("y"))]);
        let cut = "3:4🦀".as_bytes();
        assert_eq!(all(decode(Protocol::V3, cut, false)), [Ok(message("🦀"))]);
        let in_the_middle = "2:4🦀".as_bytes();
        assert_eq!(all(decode(Protocol::V3, in_the_middle, false)), [Err(PayloadError::Length)]);
    }

    #[test]
    fn lengths_that_are_no_lengths_are_refused() {
        for body in ["4a", ":4a", "-1:4a", "1e1:4a", "9999999999:4a", "0000000002:4a", " 2:4a", "3"] {
            assert_eq!(
                all(decode(Protocol::V3, body.as_bytes(), false)),
                [Err(PayloadError::Length)],
                "{body}"
            );
        }
        for body in [&[0, 255][..], &[0, 2], &[0, 10, 255, b'4'], &[2, 1, 255, b'4'], &[0, 2, 255, b'4']] {
            assert_eq!(all(decode(Protocol::V3, body, true)), [Err(PayloadError::Length)], "{body:?}");
        }
        let endless = [1; 4096];
        assert_eq!(all(decode(Protocol::V3, &endless, true)), [Err(PayloadError::Length)]);
    }

    #[test]
    fn bodies_that_are_no_text_are_refused() {
        assert_eq!(all(decode(Protocol::V4, b"4\xff", false)), [Err(PayloadError::Utf8)]);
        assert_eq!(all(decode(Protocol::V3, b"2:4\xff", false)), [Err(PayloadError::Utf8)]);
        assert_eq!(all(decode(Protocol::V3, &[0, 2, 255, b'4', 0xff], true)), [Err(PayloadError::Utf8)]);
        assert_eq!(all(decode(Protocol::V4, b"4a", true)), [Err(PayloadError::BinaryForm)]);
        assert_eq!(all(decode(Protocol::V4, b"", false)), [Err(PayloadError::Empty)]);
    }

    #[test]
    fn a_binary_message_turns_the_whole_body_into_the_binary_form() {
        let mut encoder = PayloadEncoder::new(Protocol::V3, true);
        encoder.push_text("4é");
        encoder.push_binary(&[1, 2]);
        encoder.push_text("6");
        let n_bytes = encoder.len();
        let (body, is_binary) = encoder.finish();
        assert_eq!(body, [0, 3, 255, b'4', 0xc3, 0xa9, 1, 3, 255, 4, 1, 2, 0, 1, 255, b'6']);
        assert!(is_binary && n_bytes == body.len());
        let noop = Ok(Packet { kind: PacketType::Noop, data: Data::Text("") });
        assert_eq!(all(decode(Protocol::V3, &body, true)), [Ok(message("é")), Ok(binary(&[1, 2])), noop]);
    }

    #[test]
    fn clients_without_binary_support_get_base64() {
        let mut encoder = PayloadEncoder::new(Protocol::V3, false);
        encoder.push_text("4é");
        encoder.push_binary(&[1, 2]);
        assert_eq!(encoder.finish(), ("2:4é6:b4AQI=".as_bytes().to_vec(), false));
        let mut encoder = PayloadEncoder::new(Protocol::V4, true);
        encoder.push_text("4é");
        encoder.push_binary(&[1, 2]);
        assert_eq!(encoder.finish(), ("4é\x1ebAQI=".as_bytes().to_vec(), false));
    }
}
