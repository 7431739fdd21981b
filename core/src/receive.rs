//! The way of a message in: engine message → Socket.IO packet → socket → host queue.
//!
//! Read [`take`] from top to bottom; each stage is one call that returns there. A peer's mistake ends its own connection
//! and nothing else.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use ferrio_engine::{CloseReason, Data};
use ferrio_protocol::socket::{self as codec, BinaryPacket, Packet, PacketType};

use crate::{
    Writes,
    client::{Entry, Inbound, connect, disconnect},
    event::{HostEvent, Reply},
    packet::{encode::Encoder, payload::Payload},
    queue::backpressure::Credit,
    reason::DisconnectReason,
    socket::Socket,
    socket_io::Connection,
};

/// How a packet broke the rules of Socket.IO. In socket.io the first ends the sockets with `forced close`, the second
/// with `forced server close`.
#[derive(Debug)]
enum Violation {
    /// It cannot be decoded.
    Malformed,
    /// It is not allowed at this time: an event for a namespace without a CONNECT, a second CONNECT.
    OutOfPlace,
}

/// Takes a message of the engine.
#[inline]
pub(crate) fn message(connection: &Arc<Connection>, message: Data<'_>, now: Instant) {
    let taken = decode(connection, message).and_then(|decoded| take(connection, decoded, now));
    if let Err(violation) = taken {
        violated(connection, &violation);
    }
}

/// Takes a packet that the host has decoded by a parser of the application's.
pub(crate) fn packet(
    connection: &Arc<Connection>,
    kind: PacketType,
    namespace: &str,
    id: Option<u64>,
    payload: Payload,
) {
    let decoded = Decoded::ByHost(Incoming::ByHost { kind, namespace, id, payload });
    if let Err(violation) = take(connection, decoded, Instant::now()) {
        violated(connection, &violation);
    }
}

/// Whatever the host hears is queued under the connection's lock, so that its order is that of arrival, and nothing comes
/// after a disconnect.
fn take(connection: &Arc<Connection>, decoded: Decoded<'_>, now: Instant) -> Result<(), Violation> {
    // Before the lock, so that it is flushed after the lock is released.
    let mut writes = Writes::new();
    let mut inbound = connection.state().inbound.lock();
    if !inbound.is_open {
        return Ok(());
    }
    let Some(packet) = assemble(connection, &mut inbound, decoded, now)? else { return Ok(()) };
    match packet.kind() {
        PacketType::Connect if inbound.entry(packet.namespace()).is_some() => {
            return Err(Violation::OutOfPlace);
        }
        PacketType::Connect => {
            let query = packet.query();
            connect::requested(connection, inbound, packet.namespace(), query, packet.payload(), &mut writes);
        }
        PacketType::Event => {
            let socket = socket(&mut inbound, packet.namespace())?;
            event(connection, socket, &packet);
        }
        PacketType::Ack => {
            let socket = socket(&mut inbound, packet.namespace())?;
            match packet.id() {
                Some(id) => socket.acked(id, packet.payload()),
                None => connection.layer().counters.acks_unexpected.add(1),
            }
        }
        PacketType::Disconnect => {
            let socket = socket(&mut inbound, packet.namespace())?;
            inbound.remove(packet.namespace());
            disconnect::by_client(&socket);
        }
        _ => return Err(Violation::OutOfPlace),
    }
    Ok(())
}

/// A message that was read as far as that can be done without what came before it.
enum Decoded<'a> {
    Text(Packet<'a>),
    Whole(BinaryPacket),
    Attachment(Bytes),
    ByHost(Incoming<'a>),
}

fn decode<'a>(connection: &Connection, message: Data<'a>) -> Result<Decoded<'a>, Violation> {
    let server = connection.layer();
    match message {
        Data::Text(_) if server.is_msgpack() => Err(Violation::Malformed),
        Data::Text(text) => {
            let encoder = Encoder { parser: server.config.parser, protocol: connection.protocol() };
            let packet = codec::decode(encoder.revision(), text, &server.packet_limits);
            packet.map(Decoded::Text).map_err(|_| Violation::Malformed)
        }
        Data::Binary(data) if server.is_msgpack() => {
            let packet = codec::msgpack::decode(&Bytes::from(data.into_owned()), &server.packet_limits);
            packet.map(Decoded::Whole).map_err(|_| Violation::Malformed)
        }
        Data::Binary(data) => Ok(Decoded::Attachment(Bytes::from(data.into_owned()))),
    }
}

/// Joins a packet with its attachments; `None` while some are on their way.
fn assemble<'a>(
    connection: &Arc<Connection>,
    inbound: &mut Inbound,
    decoded: Decoded<'a>,
    now: Instant,
) -> Result<Option<Incoming<'a>>, Violation> {
    let server = connection.layer();
    match decoded {
        Decoded::Text(packet) if packet.kind.is_binary() && packet.attachments > 0 => {
            // Nothing is kept for a namespace the client is not in.
            socket(inbound, packet.namespace)?;
            let begun = inbound.assembler.begin(&packet, &server.packet_limits);
            begun.map_err(|_| Violation::Malformed)?;
            // They cannot be awaited for ever.
            inbound.due.attachments = Some(now + server.config.limits.attachments_timeout);
            if let Some(next) = inbound.due.next() {
                connection.wake_layer_at(next);
            }
            Ok(None)
        }
        Decoded::Text(packet) => {
            inbound.assembler.text().map_err(|_| Violation::Malformed)?;
            Ok(Some(Incoming::Text(packet)))
        }
        Decoded::Whole(packet) => Ok(Some(Incoming::Binary(packet))),
        Decoded::ByHost(packet) => Ok(Some(packet)),
        Decoded::Attachment(data) => {
            let complete = inbound.assembler.push(data).map_err(|_| Violation::Malformed)?;
            if complete.is_some() {
                inbound.due.attachments = None;
            }
            Ok(complete.map(Incoming::Binary))
        }
    }
}

/// The socket of a namespace to which the client is connected.
fn socket(inbound: &mut Inbound, namespace: &str) -> Result<Arc<Socket>, Violation> {
    match inbound.entry(namespace) {
        Some(Entry::Connected(socket)) => Ok(socket.clone()),
        _ => Err(Violation::OutOfPlace),
    }
}

/// Tells the host of an event.
#[inline]
fn event(connection: &Connection, socket: Arc<Socket>, packet: &Incoming<'_>) {
    let queue = &connection.layer().queue;
    let reply = packet.id().map(|id| Reply { socket: Arc::downgrade(&socket), id });
    let payload = packet.payload();
    let credit = Credit::new(&connection.state().share, &queue.budget, payload.len());
    queue.push(HostEvent::Event { socket, payload, reply, credit });
}

fn violated(connection: &Arc<Connection>, violation: &Violation) {
    connection.count_peer_error();
    tracing::debug!(remote = ?connection.handshake().head.remote, ?violation, "closing a peer that broke the protocol");
    if matches!(violation, Violation::OutOfPlace) {
        disconnect::end(connection, DisconnectReason::ForcedServerClose);
    }
    connection.close(CloseReason::ForcedClose);
}

/// A packet on its way to its socket, whichever way it was encoded.
enum Incoming<'a> {
    Text(Packet<'a>),
    Binary(BinaryPacket),
    ByHost { kind: PacketType, namespace: &'a str, id: Option<u64>, payload: Payload },
}

impl Incoming<'_> {
    fn kind(&self) -> PacketType {
        match self {
            Self::Text(packet) => packet.kind.without_attachments(),
            Self::Binary(packet) => packet.kind,
            Self::ByHost { kind, .. } => *kind,
        }
    }

    fn namespace(&self) -> &str {
        match self {
            Self::Text(packet) => packet.namespace,
            Self::Binary(packet) => &packet.namespace,
            Self::ByHost { namespace, .. } => namespace,
        }
    }

    fn query(&self) -> Option<&str> {
        match self {
            Self::Text(packet) => packet.query,
            Self::Binary(_) | Self::ByHost { .. } => None,
        }
    }

    fn id(&self) -> Option<u64> {
        match self {
            Self::Text(packet) => packet.id,
            Self::Binary(packet) => packet.id,
            Self::ByHost { id, .. } => *id,
        }
    }

    fn payload(&self) -> Payload {
        match self {
            Self::Text(packet) => Payload::new(packet.data.unwrap_or_default(), Vec::new()),
            Self::Binary(packet) => {
                Payload::new(packet.data.as_deref().unwrap_or_default(), packet.attachments.clone())
            }
            Self::ByHost { payload, .. } => payload.clone(),
        }
    }
}
