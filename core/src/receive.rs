//! The way of a message in: message → engine packet → session → Socket.IO packet → socket → host queue.
//!
//! Read [`websocket`] from top to bottom; each stage is one call that returns here. A peer's mistake ends its own
//! connection and nothing else.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use ferrio_protocol::{
    engine::{self, CloseReason, Data, TransportKind},
    socket::{self as codec, BinaryPacket, Packet, PacketType},
};

use crate::{
    ack::Reply,
    backpressure::{Credit, Pass, Wants},
    connection::{Connection, Entry, Inbound},
    join,
    payload::Payload,
    queue::HostEvent,
    reason::DisconnectReason,
    socket::Socket,
    writes::Writes,
};

/// How a packet broke the rules of Socket.IO. In socket.io the first ends the sockets with `forced close`, the second
/// with `forced server close`.
#[derive(Debug)]
enum Violation {
    /// It cannot be decoded.
    Malformed,
    /// It is not allowed at this time: an event for a namespace that was not joined, a second CONNECT.
    OutOfPlace,
}

/// A message of a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// There is no room on the way to the host for what a message wants. The message is to be kept, and given once more when
/// it is the connection's turn ([`Connection::room`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom(pub(crate) Wants);

/// Takes a message of a WebSocket, unless it has to wait for its `turn`.
pub(crate) fn websocket(
    connection: &Arc<Connection>,
    received: Received<'_>,
    turn: Option<&Pass<'_>>,
    now: Instant,
) -> Result<(), NoRoom> {
    let decoded = decode(connection, received);
    if turn.is_none()
        && let Ok(packet) = &decoded
        && let Some(wants) = wants(connection, packet)
        && !connection.has_room(wants)
        // One that only probes has no messages to bring: the session says what becomes of it.
        && connection.transport() == TransportKind::WebSocket
    {
        return Err(NoRoom(wants));
    }
    let len = match received {
        Received::Text(text) => text.len(),
        Received::Binary(data) => data.len(),
    };
    connection.server().counters.bytes_in.add(len);
    match decoded {
        Ok(packet) => engine_packet(connection, TransportKind::WebSocket, packet, now),
        Err(_) => malformed(connection, TransportKind::WebSocket),
    }
    Ok(())
}

fn decode<'a>(
    connection: &Connection,
    received: Received<'a>,
) -> Result<engine::Packet<'a>, engine::DecodeError> {
    match received {
        Received::Text(text) => engine::decode_text(connection.protocol(), text),
        Received::Binary(data) => engine::decode_binary(connection.protocol(), data),
    }
}

/// The room that a packet wants on its way to the host. What keeps a session alive, or ends it, wants none, and neither
/// do attachments: the packet that they belong to had room, and their time is running.
pub(crate) fn wants(connection: &Connection, packet: &engine::Packet<'_>) -> Option<Wants> {
    if packet.kind != engine::PacketType::Message {
        return None;
    }
    match &packet.data {
        Data::Text(text) => match codec::packet_type(text) {
            Some(PacketType::Ack | PacketType::BinaryAck) => Some(Wants::Queue),
            Some(PacketType::Disconnect) => None,
            _ => Some(Wants::Share),
        },
        Data::Binary(_) => connection.server().is_msgpack().then_some(Wants::Share),
    }
}

/// Takes what is not an engine packet.
pub(crate) fn malformed(connection: &Arc<Connection>, from: TransportKind) {
    connection.server().counters.peer_errors.add(1);
    connection.input(|session| session.decode_failed(from));
}

/// Takes an engine packet, and passes on the message in it.
pub(crate) fn engine_packet(
    connection: &Arc<Connection>,
    from: TransportKind,
    packet: engine::Packet<'_>,
    now: Instant,
) {
    connection.server().counters.packets_in.add(1);
    let result = match connection.input(|session| session.receive(from, packet, now)) {
        None => Ok(()),
        Some(Data::Text(text)) => socket_text(connection, text, now),
        Some(Data::Binary(data)) => attachment(connection, Bytes::from(data.into_owned()), now),
    };
    if let Err(violation) = result {
        violated(connection, &violation);
    }
}

fn socket_text(connection: &Arc<Connection>, text: &str, now: Instant) -> Result<(), Violation> {
    let server = connection.server();
    if server.is_msgpack() {
        return Err(Violation::Malformed);
    }
    let packet = codec::decode(connection.encoder().revision(), text, &server.packet_limits)
        .map_err(|_| Violation::Malformed)?;
    if packet.kind.is_binary() && packet.attachments > 0 {
        let mut inbound = connection.inbound.lock();
        // Nothing is kept for a namespace the client is not in.
        inbound.joined_socket(packet.namespace)?;
        inbound.assembler.begin(&packet, &server.packet_limits).map_err(|_| Violation::Malformed)?;
        drop(inbound);
        connection.expect_attachments(true, now);
        return Ok(());
    }
    connection.inbound.lock().assembler.text().map_err(|_| Violation::Malformed)?;
    dispatch(connection, &Incoming::from_text(&packet))
}

fn attachment(connection: &Arc<Connection>, data: Bytes, now: Instant) -> Result<(), Violation> {
    let server = connection.server();
    if server.is_msgpack() {
        let packet =
            codec::msgpack::decode(&data, &server.packet_limits).map_err(|_| Violation::Malformed)?;
        return dispatch(connection, &Incoming::from_binary(&packet));
    }
    let complete = connection.inbound.lock().assembler.push(data).map_err(|_| Violation::Malformed)?;
    match complete {
        None => Ok(()),
        Some(packet) => {
            connection.expect_attachments(false, now);
            dispatch(connection, &Incoming::from_binary(&packet))
        }
    }
}

/// A packet on its way to its socket, whichever way it was encoded.
struct Incoming<'a> {
    kind: PacketType,
    namespace: &'a str,
    query: Option<&'a str>,
    id: Option<u64>,
    data: &'a str,
    attachments: &'a [Bytes],
}

impl<'a> Incoming<'a> {
    fn from_text(packet: &Packet<'a>) -> Self {
        Self {
            kind: packet.kind.without_attachments(),
            namespace: packet.namespace,
            query: packet.query,
            id: packet.id,
            data: packet.data.unwrap_or_default(),
            attachments: &[],
        }
    }

    fn from_binary(packet: &'a BinaryPacket) -> Self {
        Self {
            kind: packet.kind,
            namespace: &packet.namespace,
            query: None,
            id: packet.id,
            data: packet.data.as_deref().unwrap_or_default(),
            attachments: &packet.attachments,
        }
    }

    fn payload(&self) -> Payload {
        Payload::new(self.data, self.attachments.to_vec())
    }
}

/// Gives a packet to its socket. Whatever the host hears is queued under the connection's lock, so that its order is
/// that of arrival, and nothing comes after a disconnect.
fn dispatch(connection: &Arc<Connection>, packet: &Incoming<'_>) -> Result<(), Violation> {
    // Declared first, so that it is flushed after the lock is released.
    let mut writes = Writes::new();
    let mut inbound = connection.inbound.lock();
    if !inbound.is_open {
        return Ok(());
    }
    if packet.kind == PacketType::Connect {
        if inbound.entry(packet.namespace).is_some() {
            return Err(Violation::OutOfPlace);
        }
        join::requested(connection, inbound, packet.namespace, packet.query, packet.payload(), &mut writes);
        return Ok(());
    }
    let socket = inbound.joined_socket(packet.namespace)?;
    match packet.kind {
        PacketType::Event => {
            let reply = packet.id.map(|id| Reply { socket: Arc::downgrade(&socket), id });
            let payload = packet.payload();
            let credit = Credit::new(connection, payload.len());
            connection.server().queue.push(HostEvent::Event { socket, payload, reply, credit });
        }
        PacketType::Ack => match packet.id {
            Some(id) => socket.acked(id, packet.payload()),
            None => connection.server().counters.acks_unexpected.add(1),
        },
        PacketType::Disconnect => {
            inbound.remove(packet.namespace);
            if socket.left() {
                let departure = socket.depart(DisconnectReason::ClientNamespaceDisconnect);
                connection.server().queue.push(HostEvent::Disconnect(departure));
            }
        }
        _ => return Err(Violation::OutOfPlace),
    }
    Ok(())
}

impl Inbound {
    fn joined_socket(&mut self, namespace: &str) -> Result<Arc<Socket>, Violation> {
        match self.entry(namespace) {
            Some(Entry::Joined(socket)) => Ok(socket.clone()),
            _ => Err(Violation::OutOfPlace),
        }
    }
}

fn violated(connection: &Arc<Connection>, violation: &Violation) {
    connection.server().counters.peer_errors.add(1);
    tracing::debug!(remote = ?connection.handshake().head.remote, ?violation, "closing a peer that broke the protocol");
    if matches!(violation, Violation::OutOfPlace) {
        connection.end(DisconnectReason::ForcedServerClose);
    }
    connection.close(CloseReason::ForcedClose);
}
