//! A poll that waits, and the body with which it is answered.

use ferrio_protocol::engine::{ControlPacket, Protocol, payload::PayloadEncoder};
use tokio::sync::oneshot;

use crate::packet::{frame::FrameKind, outbox::Outbox};

/// A GET that waits.
pub(crate) struct PendingPoll {
    pub(crate) sender: oneshot::Sender<PollAnswer>,
    /// Whether the client takes a binary body. Only in the older protocol.
    pub(crate) supports_binary: bool,
}

/// The body that a GET gets.
pub(crate) struct PollAnswer {
    pub(crate) body: Vec<u8>,
    pub(crate) is_binary: bool,
    pub(crate) compress: bool,
}

impl PendingPoll {
    /// Answers. A client that has gone meanwhile is noticed where the GET waits.
    pub(crate) fn answer(self, answer: PollAnswer) {
        let _ = self.sender.send(answer);
    }
}

impl PollAnswer {
    /// Takes packets from an outbox. At most `max_packets`, because the official Python client takes no more.
    pub(crate) fn take(
        protocol: Protocol,
        outbox: &mut Outbox,
        supports_binary: bool,
        max_packets: usize,
    ) -> Self {
        let mut encoder = PayloadEncoder::new(protocol, supports_binary);
        let mut compress = false;
        for _ in 0..max_packets {
            let Some((frame, may_compress)) = outbox.pop() else { break };
            compress |= may_compress;
            match frame.kind() {
                FrameKind::Text => encoder.push_text(frame.packet()),
                FrameKind::Binary => encoder.push_binary(frame.message(protocol)),
                FrameKind::Control => {}
            }
        }
        let (body, is_binary) = encoder.finish();
        Self { body, is_binary, compress }
    }

    /// A body that says nothing.
    pub(crate) fn noop(protocol: Protocol) -> Self {
        Self::of(protocol, &[ControlPacket::Noop])
    }

    /// The body that tells a client of the end of its session.
    pub(crate) fn end(protocol: Protocol) -> Self {
        Self::of(protocol, &[ControlPacket::Noop, ControlPacket::Close])
    }

    fn of(protocol: Protocol, packets: &[ControlPacket]) -> Self {
        let mut encoder = PayloadEncoder::new(protocol, false);
        for packet in packets {
            encoder.push_text(packet.as_text());
        }
        let (body, is_binary) = encoder.finish();
        Self { body, is_binary, compress: true }
    }
}
