//! What a Socket.IO packet is.
//!
//! See <https://socket.io/docs/v4/socket-io-protocol/#packet-encoding>.

use std::{borrow::Cow, fmt};

use crate::json::{JsonError, RawString};

/// A revision of the Socket.IO protocol, which follows from that of Engine.IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revision {
    /// Spoken over Engine.IO 3: the main namespace is joined without a packet, a namespace may carry a query,
    /// CONNECT carries nothing, and packet 4 is an ERROR with any data.
    V4,
    /// Spoken over Engine.IO 4.
    V5,
}

/// What a packet is for; the number is that on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketType {
    /// Joins a namespace, or says that it is joined.
    Connect = 0,
    /// Leaves a namespace.
    Disconnect = 1,
    /// An event.
    Event = 2,
    /// The answer to an event with an id.
    Ack = 3,
    /// Refuses to let the client into a namespace. Called ERROR in the older revision.
    ConnectError = 4,
    /// An event with attachments.
    BinaryEvent = 5,
    /// An answer with attachments.
    BinaryAck = 6,
}

impl PacketType {
    /// Tells whether attachments follow the packet.
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::BinaryEvent | Self::BinaryAck)
    }

    /// Returns the type that has the same meaning without attachments.
    pub const fn without_attachments(self) -> Self {
        match self {
            Self::BinaryEvent => Self::Event,
            Self::BinaryAck => Self::Ack,
            other => other,
        }
    }

    pub(super) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Connect,
            1 => Self::Disconnect,
            2 => Self::Event,
            3 => Self::Ack,
            4 => Self::ConnectError,
            5 => Self::BinaryEvent,
            6 => Self::BinaryAck,
            _ => return None,
        })
    }
}

/// One decoded packet, whose arguments are still encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What the packet is for.
    pub kind: PacketType,
    /// The namespace, `/` when none is named.
    pub namespace: &'a str,
    /// What stood after the namespace's `?`. Only in the older revision.
    pub query: Option<&'a str>,
    /// The number under which an answer is expected, or which this answers. At most 2⁵³ − 1.
    pub id: Option<u64>,
    /// How many attachments follow.
    pub attachments: usize,
    /// The JSON text: well-formed, and an array, object or string as the type demands.
    pub data: Option<&'a str>,
    pub(super) name: Option<EventName<'a>>,
}

impl<'a> Packet<'a> {
    /// Returns the name of an event. A name that is a number is returned as JavaScript would print it.
    #[inline]
    pub fn event(&self) -> Option<Cow<'a, str>> {
        self.name.map(EventName::text)
    }
}

/// The first element of an event's array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventName<'a> {
    Text(RawString<'a>),
    Number(&'a str),
}

impl<'a> EventName<'a> {
    #[inline]
    pub(super) fn text(self) -> Cow<'a, str> {
        match self {
            Self::Text(string) => string.unescape(),
            Self::Number(number) => number_name(number),
        }
    }
}

/// In JavaScript `1.0` and `1e0` name the same event as `1`.
fn number_name(number: &str) -> Cow<'_, str> {
    let is_plain = number.len() <= 15 && number.bytes().all(|byte| byte.is_ascii_digit());
    match number.parse::<f64>() {
        Ok(value) if !is_plain && value.is_finite() => Cow::Owned((value + 0.0).to_string()),
        _ => Cow::Borrowed(number),
    }
}

/// Bounds on what a peer may send in one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many attachments a packet may announce. Default: 10, as in the official parser.
    pub max_attachments: usize,
    /// How many bytes the attachments of one packet may have together. Default: 10 MB, which is ten times what
    /// one message may have.
    pub max_attachment_bytes: usize,
    /// How many arrays and objects may be open at the same time. Default: 512. Raising it lets a peer make the
    /// host's own, perhaps recursive, decoder go as deep.
    pub max_depth: usize,
    /// How many bytes a namespace may have, its query included. Default: 8 KiB, because clients of the older
    /// revision put tokens there.
    pub max_namespace: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_attachments: 10, max_attachment_bytes: 10_000_000, max_depth: 512, max_namespace: 8192 }
    }
}

/// Names that an event may not have, because applications see local events under them.
pub const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Why a text is not a packet: always the peer's fault, and the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecodeError {
    /// The text is empty, or does not begin with a packet type.
    UnknownType,
    /// The number of attachments is missing or zero.
    IllegalAttachments,
    /// A placeholder points to none of the attachments.
    IllegalPlaceholder,
    /// More attachments are announced than allowed.
    TooManyAttachments,
    /// The namespace is longer than allowed.
    NamespaceTooLong,
    /// The id is greater than 2⁵³ − 1.
    IllegalId,
    /// The data is not JSON, or not of the kind that the packet's type demands.
    InvalidPayload,
    /// Arrays and objects are nested deeper than allowed.
    TooDeep,
    /// The event has one of the [`RESERVED_EVENTS`] as its name.
    ReservedEvent,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownType => "unknown packet type",
            Self::IllegalAttachments => "illegal attachments",
            Self::IllegalPlaceholder => "illegal placeholder",
            Self::TooManyAttachments => "too many attachments",
            Self::NamespaceTooLong => "namespace too long",
            Self::IllegalId => "illegal packet id",
            Self::InvalidPayload => "invalid payload",
            Self::TooDeep => "payload nested too deeply",
            Self::ReservedEvent => "reserved event name",
        })
    }
}

impl std::error::Error for DecodeError {}

impl From<JsonError> for DecodeError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Malformed => Self::InvalidPayload,
            JsonError::TooDeep => Self::TooDeep,
        }
    }
}

/// The greatest integer that a client in JavaScript can count to.
pub(super) const MAX_ID: u64 = (1 << 53) - 1;
