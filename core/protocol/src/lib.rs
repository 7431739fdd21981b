//! The Engine.IO and Socket.IO protocols without any I/O: bytes become packets, packets become bytes.
//!
//! Nothing here opens a socket, reads a clock, starts a task or takes a lock. Time comes in as `now`, and what
//! has to be done comes out of [`engine::Session::poll_action`]. Modules in reading order:
//!
//! | module | job |
//! |---|---|
//! | [`engine`] | Engine.IO packets of a WebSocket frame, and the handshake |
//! | [`engine::payload`] | several engine packets in the body of one long-polling request or answer |
//! | [`engine::Session`] | the life of one session: heartbeat, upgrade, close |
//! | [`json`] | checks JSON text without building values |
//! | [`socket`] | Socket.IO packets as text |
//! | [`socket::Assembler`] | joins a binary packet with the attachments that follow it |
//! | [`socket::msgpack`] | Socket.IO packets in MessagePack, translated from and to JSON text |
//!
//! What holds everywhere:
//! - No input can panic, recurse, or make memory grow beyond a small multiple of its own size.
//! - The arguments of an event stay encoded. They are checked to be well-formed JSON, so that whoever decodes
//!   them later cannot fail, and are then carried as text plus attachments.
//! - Two versions are spoken: Engine.IO 4 with Socket.IO 5, and Engine.IO 3 with the older Socket.IO.
#![forbid(unsafe_code)]

/// Engine.IO: packets, payloads of long-polling, and the session machine.
///
/// The protocol is described in <https://socket.io/docs/v4/engine-io-protocol/>.
pub mod engine {
    mod action;
    mod handshake;
    mod packet;
    pub mod payload;
    mod session;

    pub use action::{Action, CloseReason, ControlPacket, UpgradeRefused};
    pub use handshake::{Handshake, handshake};
    pub use packet::{
        Data, DecodeError, Packet, PacketType, Protocol, TransportKind, decode_binary, decode_text,
        encode_base64, encode_binary,
    };
    pub use session::{Session, SessionConfig};
}

/// Checks JSON text without building values, and writes strings.
pub mod json {
    mod scan;
    mod string;

    pub use scan::{JsonError, Literal, Visitor, scan};
    pub(crate) use scan::{leading_string, trim_start};
    pub use string::{RawString, write_string};
}

/// Socket.IO: packets, their attachments, and the MessagePack form.
///
/// The protocol is described in <https://socket.io/docs/v4/socket-io-protocol/>.
pub mod socket {
    mod assembler;
    mod decode;
    mod encode;
    mod packet;
    mod placeholder;

    /// Packets of the parser `socket.io-msgpack-parser`: one MessagePack map in one binary message.
    ///
    /// They are translated, so that the layers above know JSON text with attachments only. What JSON cannot carry is
    /// changed on the way in: `undefined`, NaN and the infinities become `null`, a `Date` becomes its ISO 8601
    /// string, as `JSON.stringify` has it, and keys become strings. Other extension types are refused.
    pub mod msgpack {
        mod date;
        mod decode;
        mod encode;
        mod reader;

        pub use date::write_date;
        pub use decode::{DecodeError, decode};
        pub use encode::{EncodeError, encode};
    }

    pub use assembler::{Assembler, AssemblyError, BinaryPacket};
    pub use decode::{decode, packet_type};
    pub use encode::{encode_ack, encode_connect, encode_connect_error, encode_disconnect, encode_event};
    pub use packet::{DecodeError, Limits, Packet, PacketType, RESERVED_EVENTS, Revision};
}
