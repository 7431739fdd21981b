//! Engine.IO packets, one to a WebSocket frame.
//!
//! See <https://socket.io/docs/v4/engine-io-protocol/#packet-encoding>.

use std::{borrow::Cow, fmt};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// A revision of Engine.IO, pinned for the whole life of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Spoken by `socket.io-client` 1 and 2: the client sends the pings.
    V3,
    /// Spoken by `socket.io-client` 3 and 4: the server sends the pings.
    V4,
}

/// How the bytes of a session travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// HTTP long-polling.
    Polling,
    /// One WebSocket connection.
    WebSocket,
}

impl TransportKind {
    /// Returns the name used in the `transport` query parameter and in the list of upgrades.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// What an engine packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketType {
    /// The server announces the session.
    Open,
    /// The sender ends the session.
    Close,
    /// A heartbeat, or the probe of an upgrade.
    Ping,
    /// The answer to a ping.
    Pong,
    /// A message for the layer above.
    Message,
    /// The client moves over to the probed transport.
    Upgrade,
    /// Nothing: it ends a poll.
    Noop,
}

impl PacketType {
    /// Returns the digit that stands first in a packet's text.
    pub const fn digit(self) -> u8 {
        b'0' + self as u8
    }

    const fn from_digit(digit: u8) -> Option<Self> {
        Some(match digit {
            b'0' => Self::Open,
            b'1' => Self::Close,
            b'2' => Self::Ping,
            b'3' => Self::Pong,
            b'4' => Self::Message,
            b'5' => Self::Upgrade,
            b'6' => Self::Noop,
            _ => return None,
        })
    }
}

/// The body of an engine packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// Text, empty when the packet has no body.
    Text(&'a str),
    /// Bytes: borrowed from the frame, or owned when they had to be decoded from base64.
    Binary(Cow<'a, [u8]>),
}

/// One decoded engine packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What the packet is for.
    pub kind: PacketType,
    /// What it carries.
    pub data: Data<'a>,
}

/// Why a frame is not an engine packet: always the peer's fault, and the session ends with "parse error".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecodeError {
    /// The frame is empty.
    Empty,
    /// The first character is no packet type.
    UnknownType,
    /// The text after `b` is not base64.
    Base64,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty engine packet",
            Self::UnknownType => "unknown engine packet type",
            Self::Base64 => "invalid base64 in engine packet",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Decodes the text of one packet: a WebSocket text frame, or one packet of a text payload.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_text(protocol: Protocol, text: &str) -> Result<Packet<'_>, DecodeError> {
    let digit = *text.as_bytes().first().ok_or(DecodeError::Empty)?;
    if let Some(kind) = PacketType::from_digit(digit) {
        return Ok(Packet { kind, data: Data::Text(&text[1..]) });
    }
    if digit == b'b' { decode_base64(protocol, &text[1..]) } else { Err(DecodeError::UnknownType) }
}

/// Decodes a WebSocket binary frame.
///
/// In revision 4 the frame is the message itself; in revision 3 its first byte is the packet type.
///
/// # Errors
/// In revision 3 a frame may be empty or of an unknown type.
pub fn decode_binary(protocol: Protocol, frame: &[u8]) -> Result<Packet<'_>, DecodeError> {
    match protocol {
        Protocol::V4 => Ok(Packet { kind: PacketType::Message, data: Data::Binary(Cow::Borrowed(frame)) }),
        Protocol::V3 => {
            let (&number, body) = frame.split_first().ok_or(DecodeError::Empty)?;
            // Unlike in text, the type is the number itself and not its digit.
            let digit = number.checked_add(b'0').ok_or(DecodeError::UnknownType)?;
            let kind = PacketType::from_digit(digit).ok_or(DecodeError::UnknownType)?;
            Ok(Packet { kind, data: Data::Binary(Cow::Borrowed(body)) })
        }
    }
}

/// Appends a binary message as the bytes of a WebSocket binary frame.
pub fn encode_binary(protocol: Protocol, message: &[u8], out: &mut Vec<u8>) {
    out.reserve(message.len() + 1);
    if protocol == Protocol::V3 {
        out.push(PacketType::Message as u8);
    }
    out.extend_from_slice(message);
}

/// Appends a binary message as text, for long-polling and for clients that asked for it with `b64`.
pub fn encode_base64(protocol: Protocol, message: &[u8], out: &mut String) {
    out.push_str(base64_prefix(protocol));
    BASE64.encode_string(message, out);
}

/// Returns how many bytes [`encode_base64`] appends for a message of `n_bytes`.
pub(super) const fn base64_len(protocol: Protocol, n_bytes: usize) -> usize {
    base64_prefix(protocol).len() + n_bytes.div_ceil(3) * 4
}

const fn base64_prefix(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::V3 => "b4",
        Protocol::V4 => "b",
    }
}

fn decode_base64(protocol: Protocol, text: &str) -> Result<Packet<'_>, DecodeError> {
    let (kind, encoded) = match protocol {
        Protocol::V4 => (PacketType::Message, text),
        Protocol::V3 => {
            let digit = *text.as_bytes().first().ok_or(DecodeError::UnknownType)?;
            (PacketType::from_digit(digit).ok_or(DecodeError::UnknownType)?, &text[1..])
        }
    };
    let bytes = BASE64.decode(encoded).map_err(|_| DecodeError::Base64)?;
    Ok(Packet { kind, data: Data::Binary(Cow::Owned(bytes)) })
}

/// Some clients leave out the padding, so it is not asked for.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_frames_borrow_their_body() {
        let packet = decode_text(Protocol::V4, "4hello").unwrap();
        assert_eq!(packet, Packet { kind: PacketType::Message, data: Data::Text("hello") });
        let packet = decode_text(Protocol::V3, "2probe").unwrap();
        assert_eq!(packet, Packet { kind: PacketType::Ping, data: Data::Text("probe") });
    }

    #[test]
    fn text_that_is_no_packet_is_refused() {
        assert_eq!(decode_text(Protocol::V4, ""), Err(DecodeError::Empty));
        assert_eq!(decode_text(Protocol::V4, "7"), Err(DecodeError::UnknownType));
        assert_eq!(decode_text(Protocol::V4, "é"), Err(DecodeError::UnknownType));
        assert_eq!(decode_text(Protocol::V3, "b"), Err(DecodeError::UnknownType));
        assert_eq!(decode_text(Protocol::V3, "b9AQ=="), Err(DecodeError::UnknownType));
        assert_eq!(decode_text(Protocol::V4, "b!"), Err(DecodeError::Base64));
    }

    #[test]
    fn base64_is_read_with_and_without_padding() {
        for text in ["bAQIDBA==", "bAQIDBA"] {
            let packet = decode_text(Protocol::V4, text).unwrap();
            assert_eq!(packet.data, Data::Binary(Cow::Borrowed(&[1, 2, 3, 4])));
        }
    }

    #[test]
    fn a_binary_frame_of_revision_3_starts_with_its_type() {
        let packet = decode_binary(Protocol::V3, &[4, 1, 2]).unwrap();
        assert_eq!(packet, Packet { kind: PacketType::Message, data: Data::Binary(Cow::Borrowed(&[1, 2])) });
        assert_eq!(decode_binary(Protocol::V3, &[]), Err(DecodeError::Empty));
        assert_eq!(decode_binary(Protocol::V3, &[255]), Err(DecodeError::UnknownType));
        assert_eq!(decode_binary(Protocol::V4, &[]).unwrap().data, Data::Binary(Cow::Borrowed(&[])));
    }

    #[test]
    fn encoded_binary_messages_decode_to_themselves() {
        for protocol in [Protocol::V3, Protocol::V4] {
            let mut frame = Vec::new();
            encode_binary(protocol, &[9, 8, 7], &mut frame);
            assert_eq!(
                decode_binary(protocol, &frame).unwrap().data,
                Data::Binary(Cow::Borrowed(&[9, 8, 7]))
            );
            let mut text = String::new();
            encode_base64(protocol, &[9, 8, 7], &mut text);
            assert_eq!(text.len(), base64_len(protocol, 3));
            assert_eq!(decode_text(protocol, &text).unwrap().data, Data::Binary(Cow::Borrowed(&[9, 8, 7])));
        }
    }
}
