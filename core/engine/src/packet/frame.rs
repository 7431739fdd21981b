//! Packets encoded once, ready for every receiver.

use bytes::Bytes;
use ferrio_protocol::engine::{ControlPacket, Data, PacketType, Protocol, decode_text, encode_binary};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data as Opcode, OpCode},
};

/// One WebSocket frame, header included.
///
/// A server's frames are not masked, so the same bytes serve every receiver; a poller's form is cut out of them.
#[derive(Debug, Clone)]
pub struct Frame {
    wire: Bytes,
    header_len: u8,
    kind: FrameKind,
    /// Whether all its receivers share one compressed form.
    is_for_many: bool,
}

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// An engine packet as text, its type digit included.
    Text,
    /// A binary message.
    Binary,
    /// A control frame of WebSocket itself, which only a WebSocket carries.
    Control,
}

/// A message and those that follow it as its attachments: they are queued, dropped and counted together.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The packet itself.
    pub head: Frame,
    /// What follows it.
    pub attachments: Vec<Frame>,
}

/// Room for the longest unmasked frame header.
const MAX_HEADER: usize = 10;

impl Frame {
    /// Makes a text frame of an engine packet that `write` appends.
    pub fn text(capacity: usize, write: impl FnOnce(&mut String)) -> Self {
        let mut text = String::with_capacity(MAX_HEADER + capacity);
        // The header's length depends on the packet's, so its place is kept free in front.
        text.push_str("\0\0\0\0\0\0\0\0\0\0");
        write(&mut text);
        Self::finish(text.into_bytes(), OpCode::Data(Opcode::Text), FrameKind::Text)
    }

    /// Makes a text frame of a message.
    pub fn message_text(message: &str) -> Self {
        Self::text(1 + message.len(), |out| {
            out.push(char::from(PacketType::Message.digit()));
            out.push_str(message);
        })
    }

    /// Makes a text frame of a packet that the session machine wants to send.
    pub fn control(packet: ControlPacket) -> Self {
        let text = packet.as_text();
        Self::text(text.len(), |out| out.push_str(text))
    }

    /// Makes a binary frame of a message.
    pub fn binary(protocol: Protocol, message: &[u8]) -> Self {
        let mut buffer = Vec::with_capacity(MAX_HEADER + message.len() + 1);
        buffer.extend_from_slice(&[0; MAX_HEADER]);
        encode_binary(protocol, message, &mut buffer);
        Self::finish(buffer, OpCode::Data(Opcode::Binary), FrameKind::Binary)
    }

    /// Answers a WebSocket ping.
    pub fn pong(data: &[u8]) -> Self {
        let mut buffer = vec![0; MAX_HEADER];
        buffer.extend_from_slice(data);
        Self::finish(buffer, OpCode::Control(Control::Pong), FrameKind::Control)
    }

    /// Closes a WebSocket, with a status code or without.
    pub fn close(code: Option<u16>) -> Self {
        match code {
            Some(code) => Self::close_with(&code.to_be_bytes()),
            None => Self::close_with(&[]),
        }
    }

    /// Closes a WebSocket, with the body of a close frame.
    pub fn close_with(body: &[u8]) -> Self {
        let mut buffer = vec![0; MAX_HEADER];
        buffer.extend_from_slice(body);
        Self::finish(buffer, OpCode::Control(Control::Close), FrameKind::Control)
    }

    /// The frame of the same message with this body, which is what it is compressed to. Only the WebSocket on which that was
    /// agreed takes it.
    pub(crate) fn with_compressed(&self, compressed: &[u8]) -> Self {
        let mut buffer = Vec::with_capacity(MAX_HEADER + compressed.len());
        buffer.extend_from_slice(&[0; MAX_HEADER]);
        buffer.extend_from_slice(compressed);
        let opcode = if self.kind == FrameKind::Text { Opcode::Text } else { Opcode::Binary };
        // The first reserved bit says so.
        let header = FrameHeader { rsv1: true, opcode: OpCode::Data(opcode), ..FrameHeader::default() };
        Self::with_header(buffer, &header, self.kind)
    }

    fn finish(buffer: Vec<u8>, opcode: OpCode, kind: FrameKind) -> Self {
        Self::with_header(buffer, &FrameHeader { opcode, ..FrameHeader::default() }, kind)
    }

    fn with_header(mut buffer: Vec<u8>, header: &FrameHeader, kind: FrameKind) -> Self {
        let body_len = (buffer.len() - MAX_HEADER) as u64;
        let header_len = header.len(body_len);
        let start = MAX_HEADER - header_len;
        header
            .format(body_len, &mut &mut buffer[start..MAX_HEADER])
            .expect("the header's length was asked for");
        let header_len = u8::try_from(header_len).expect("an unmasked header has at most ten bytes");
        Self { wire: Bytes::from(buffer).slice(start..), header_len, kind, is_for_many: false }
    }

    /// Whether all its receivers share one compressed form.
    pub(crate) fn is_for_many(&self) -> bool {
        self.is_for_many
    }

    /// Whether nobody else has a handle of it.
    pub(crate) fn is_last(&self) -> bool {
        self.wire.is_unique()
    }

    /// Whether it is another handle of the same frame.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.wire.as_ptr() == other.wire.as_ptr() && self.wire.len() == other.wire.len()
    }

    /// The whole frame.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The frame without its header.
    pub fn body(&self) -> Bytes {
        self.wire.slice(usize::from(self.header_len)..)
    }

    /// Bytes without the header.
    pub(crate) fn body_len(&self) -> usize {
        self.wire.len() - usize::from(self.header_len)
    }

    /// The engine packet of a text frame.
    pub fn packet(&self) -> &str {
        std::str::from_utf8(&self.wire[usize::from(self.header_len)..]).unwrap_or_default()
    }

    /// The message of a binary frame. In the older protocol the frame has its packet type in front.
    pub fn message(&self, protocol: Protocol) -> &[u8] {
        let n_before = usize::from(self.header_len) + usize::from(protocol == Protocol::V3);
        self.wire.get(n_before..).unwrap_or_default()
    }

    /// The packet in it: its type and what it carries.
    pub(crate) fn parts(&self, protocol: Protocol) -> (PacketType, Data<'_>) {
        match self.kind {
            FrameKind::Text => match decode_text(protocol, self.packet()) {
                Ok(packet) => (packet.kind, packet.data),
                Err(_) => (PacketType::Noop, Data::Text("")),
            },
            FrameKind::Binary | FrameKind::Control => {
                (PacketType::Message, Data::Binary(self.message(protocol).into()))
            }
        }
    }

    /// What it carries.
    pub fn kind(&self) -> FrameKind {
        self.kind
    }

    /// Bytes on the wire.
    #[expect(clippy::len_without_is_empty, reason = "a frame has a header at least")]
    pub fn len(&self) -> usize {
        self.wire.len()
    }
}

impl From<Frame> for Encoded {
    fn from(head: Frame) -> Self {
        Self { head, attachments: Vec::new() }
    }
}

impl Encoded {
    /// Bytes on the wire.
    #[expect(clippy::len_without_is_empty, reason = "a packet has a frame at least")]
    pub fn len(&self) -> usize {
        self.head.len() + self.attachments.iter().map(Frame::len).sum::<usize>()
    }

    /// Has it compressed once for all who get it, and not for each by itself with what that one was sent before. For a
    /// packet to many, on a server that [compresses](crate::Config::per_message_deflate).
    #[cold]
    pub fn set_for_many(&mut self) {
        for frame in std::iter::once(&mut self.head).chain(&mut self.attachments) {
            frame.is_for_many = true;
        }
    }

    /// Whether any of its frames is binary: those differ between the revisions.
    pub fn has_binary(&self) -> bool {
        self.head.kind == FrameKind::Binary || !self.attachments.is_empty()
    }

    /// How many engine packets it is.
    pub fn n_frames(&self) -> usize {
        1 + self.attachments.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_frame_has_its_header_and_its_packet() {
        let frame = Frame::text(8, |text| text.push_str("42[\"a\"]"));
        assert_eq!(frame.wire(), b"\x81\x0742[\"a\"]");
        assert_eq!(frame.packet(), "42[\"a\"]");
    }

    #[test]
    fn longer_frames_have_longer_headers() {
        let body = vec![7; 70_000];
        assert_eq!(&Frame::binary(Protocol::V4, &body).wire()[..10], b"\x82\x7f\0\0\0\0\0\x01\x11\x70");
        assert_eq!(&Frame::binary(Protocol::V4, &body[..200]).wire()[..5], b"\x82\x7e\0\xc8\x07");
    }

    #[test]
    fn an_engine_io_3_message_has_its_type_in_front() {
        assert_eq!(Frame::binary(Protocol::V3, b"ab").wire(), b"\x82\x03\x04ab");
    }

    #[test]
    fn a_close_frame_carries_its_code() {
        assert_eq!(Frame::close(Some(1009)).wire(), b"\x88\x02\x03\xf1");
        assert_eq!(Frame::close(None).wire(), b"\x88\x00");
    }
}
