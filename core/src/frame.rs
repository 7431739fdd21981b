//! Packets encoded once, ready for every receiver.

use bytes::Bytes;
use ferrio_protocol::engine::{Protocol, encode_binary};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// One WebSocket frame, header included.
///
/// A server's frames are not masked, so the same bytes serve every receiver; a poller's form is cut out of them.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    wire: Bytes,
    header_len: u8,
    kind: FrameKind,
}

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// An engine packet as text, its type digit included.
    Text,
    /// A binary message.
    Binary,
    /// A control frame of WebSocket itself, which only a WebSocket carries.
    Control,
}

/// A Socket.IO packet with its attachments, in the order in which they are sent.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    pub(crate) head: Frame,
    pub(crate) attachments: Vec<Frame>,
}

/// Room for the longest unmasked frame header.
const MAX_HEADER: usize = 10;

impl Frame {
    /// Makes a text frame of an engine packet that `write` appends.
    pub(crate) fn text(capacity: usize, write: impl FnOnce(&mut String)) -> Self {
        let mut text = String::with_capacity(MAX_HEADER + capacity);
        // The header's length depends on the packet's, so its place is kept free in front.
        text.push_str("\0\0\0\0\0\0\0\0\0\0");
        write(&mut text);
        Self::finish(text.into_bytes(), OpCode::Data(Data::Text), FrameKind::Text)
    }

    /// Makes a binary frame of a message.
    pub(crate) fn binary(protocol: Protocol, message: &[u8]) -> Self {
        let mut buffer = Vec::with_capacity(MAX_HEADER + message.len() + 1);
        buffer.extend_from_slice(&[0; MAX_HEADER]);
        encode_binary(protocol, message, &mut buffer);
        Self::finish(buffer, OpCode::Data(Data::Binary), FrameKind::Binary)
    }

    /// Answers a WebSocket ping.
    pub(crate) fn pong(data: &[u8]) -> Self {
        let mut buffer = vec![0; MAX_HEADER];
        buffer.extend_from_slice(data);
        Self::finish(buffer, OpCode::Control(Control::Pong), FrameKind::Control)
    }

    /// Closes a WebSocket, with a status code or without.
    pub(crate) fn close(code: Option<u16>) -> Self {
        match code {
            Some(code) => Self::close_with(&code.to_be_bytes()),
            None => Self::close_with(&[]),
        }
    }

    /// Closes a WebSocket, with the body of a close frame.
    pub(crate) fn close_with(body: &[u8]) -> Self {
        let mut buffer = vec![0; MAX_HEADER];
        buffer.extend_from_slice(body);
        Self::finish(buffer, OpCode::Control(Control::Close), FrameKind::Control)
    }

    fn finish(mut buffer: Vec<u8>, opcode: OpCode, kind: FrameKind) -> Self {
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let body_len = (buffer.len() - MAX_HEADER) as u64;
        let header_len = header.len(body_len);
        let start = MAX_HEADER - header_len;
        header
            .format(body_len, &mut &mut buffer[start..MAX_HEADER])
            .expect("the header's length was asked for");
        let header_len = u8::try_from(header_len).expect("an unmasked header has at most ten bytes");
        Self { wire: Bytes::from(buffer).slice(start..), header_len, kind }
    }

    /// The whole frame.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The frame without its header.
    pub(crate) fn body(&self) -> Bytes {
        self.wire.slice(usize::from(self.header_len)..)
    }

    /// The engine packet of a text frame.
    pub(crate) fn packet(&self) -> &str {
        std::str::from_utf8(&self.wire[usize::from(self.header_len)..]).unwrap_or_default()
    }

    /// The message of a binary frame. In the older protocol the frame has its packet type in front.
    pub(crate) fn message(&self, protocol: Protocol) -> &[u8] {
        let n_before = usize::from(self.header_len) + usize::from(protocol == Protocol::V3);
        self.wire.get(n_before..).unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> FrameKind {
        self.kind
    }

    pub(crate) fn len(&self) -> usize {
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
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.attachments.iter().map(Frame::len).sum::<usize>()
    }

    /// Whether any of its frames is binary: those differ between the revisions.
    pub(crate) fn has_binary(&self) -> bool {
        self.head.kind == FrameKind::Binary || !self.attachments.is_empty()
    }

    /// How many engine packets it is.
    pub(crate) fn n_frames(&self) -> usize {
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
