//! The way of a message in: WebSocket message or polling packet → engine packet → state machine → layer.

use std::{sync::Arc, time::Instant};

use ferrio_protocol::engine::{self as protocol, Packet, PacketType, Protocol, TransportKind};

use crate::{
    layer::{Layer, Turn, Wait},
    session::{
        Session,
        events::{SessionEvent, Watch},
    },
};

/// A message of a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// What a layer may be told of when a heartbeat has come, or is answered.
const TOLD_OF_HEARTBEATS: Watch = Watch::from_bits(
    Watch::PACKET.bits()
        | Watch::HEARTBEAT.bits()
        | Watch::PACKET_CREATE.bits()
        | Watch::FLUSH.bits()
        | Watch::DRAIN.bits(),
);

impl Received<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(data) => data.len(),
        }
    }
}

impl<L: Layer> Session<L> {
    /// Takes a message of a WebSocket, unless it has to wait. It is then to be kept, and given once more when it `has_turn`.
    pub(crate) fn receive(
        self: &Arc<Self>,
        received: Received<'_>,
        has_turn: bool,
        now: Instant,
    ) -> Result<(), Wait> {
        let decoded = match received {
            Received::Text(text) => protocol::decode_text(self.protocol, text),
            Received::Binary(data) => protocol::decode_binary(self.protocol, data),
        };
        if !has_turn
            && let Ok(packet) = &decoded
            && let Some(wait) = self.backpressure(packet)
            // One that only probes has no messages to bring: the state machine says what becomes of it.
            && self.transport() == TransportKind::WebSocket
        {
            return Err(wait);
        }
        self.server.counters.bytes_in.add(received.len());
        self.receive_packet(TransportKind::WebSocket, decoded, now);
        Ok(())
    }

    /// Whether a packet has to wait for its turn. What ends a session does not, and what keeps it alive only if the layer
    /// is told of it: a client that sends nothing else must not bring more than the layer gets through.
    #[inline]
    pub(crate) fn backpressure(self: &Arc<Self>, packet: &Packet<'_>) -> Option<Wait> {
        match packet.kind {
            PacketType::Message => L::backpressure(self, Some(&packet.data)),
            PacketType::Close => None,
            _ if self.watches(TOLD_OF_HEARTBEATS) => L::backpressure(self, None),
            _ => None,
        }
    }

    /// Waits for a message's turn. Nothing is read from the peer meanwhile, so that its silence is not held against it.
    pub(crate) async fn wait(self: &Arc<Self>, wait: Wait) -> Turn {
        let _unread = Unread::new(self);
        wait.await
    }

    /// Takes an engine packet, and gives the message in it to the layer.
    pub(crate) fn receive_packet<E>(
        self: &Arc<Self>,
        from: TransportKind,
        packet: Result<Packet<'_>, E>,
        now: Instant,
    ) {
        let counters = &self.server.counters;
        let Ok(packet) = packet else {
            counters.peer_errors.add(1);
            return self.input(|machine| machine.decode_failed(from));
        };
        counters.packets_in.add(1);
        let is_heartbeat =
            self.watches(Watch::PACKET | Watch::HEARTBEAT) && self.tell_received(from, &packet);
        if let Some(message) = self.input(|machine| machine.receive(from, packet, now)) {
            L::message(self, message, now);
        }
        if is_heartbeat {
            self.tell(Watch::HEARTBEAT, || SessionEvent::Heartbeat);
        }
    }

    /// Tells of a packet, unless it came for a session that is over or on a WebSocket that is being probed. Returns whether
    /// it is a sign of life of its own, which is told when it has been answered.
    #[cold]
    fn tell_received(self: &Arc<Self>, from: TransportKind, packet: &Packet<'_>) -> bool {
        let io = self.io.lock();
        let is_of_session = io.machine.is_open() && io.machine.transport() == from;
        drop(io);
        if !is_of_session {
            return false;
        }
        self.tell(Watch::PACKET, || SessionEvent::Packet(packet.kind, &packet.data));
        let sign_of_life = match self.protocol {
            Protocol::V4 => PacketType::Pong,
            Protocol::V3 => PacketType::Ping,
        };
        packet.kind == sign_of_life
    }
}

/// A time in which a session is not read.
struct Unread<'a, L: Layer>(&'a Arc<Session<L>>);

impl<'a, L: Layer> Unread<'a, L> {
    fn new(session: &'a Arc<Session<L>>) -> Self {
        session.input(|machine| machine.reading_paused(Instant::now()));
        Self(session)
    }
}

impl<L: Layer> Drop for Unread<'_, L> {
    fn drop(&mut self) {
        self.0.input(|machine| machine.reading_resumed(Instant::now()));
    }
}
