//! The way of a message in: engine message → Socket.IO packet → socket → host queue.
//!
//! Read [`take`] from top to bottom; each stage is one call that returns there. A peer's mistake ends its own connection
//! and nothing else.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use ferrio_engine::{CloseReason, Data};
use ferrio_protocol::socket::{self as codec, AssemblyError, BinaryPacket, DecodeError, Packet, PacketType};
use parking_lot::MutexGuard;

use crate::{
    client::{Entry, Inbound, connect, disconnect},
    event::{Ack, HostEvent, Observed},
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
    /// It cannot be decoded, for this reason.
    Malformed(&'static str),
    /// It is not allowed at this time: an event for a namespace without a CONNECT, a second CONNECT.
    OutOfPlace,
}

/// In the words of socket.io, where it has any.
impl From<DecodeError> for Violation {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(match error {
            DecodeError::UnknownType => "unknown packet type",
            DecodeError::IllegalAttachments => "illegal attachments",
            DecodeError::TooManyAttachments => "too many attachments",
            DecodeError::NamespaceTooLong => "namespace too long",
            DecodeError::IllegalId => "illegal packet id",
            DecodeError::InvalidPayload | DecodeError::ReservedEvent => "invalid payload",
            DecodeError::TooDeep => "payload nested too deeply",
        })
    }
}

impl From<AssemblyError> for Violation {
    fn from(error: AssemblyError) -> Self {
        Self::Malformed(match error {
            AssemblyError::TextInsteadOfAttachment => "got plaintext data when reconstructing a packet",
            AssemblyError::UnexpectedAttachment => "got binary data when not reconstructing a packet",
            AssemblyError::TooLarge => "attachments too large",
        })
    }
}

/// Takes a message of the engine.
#[inline]
pub(crate) fn message(connection: &Arc<Connection>, message: Data<'_>, now: Instant) {
    if let Err(violation) = take(connection, message, now) {
        violated(connection, &violation);
    }
}

/// Takes a packet that the host has decoded by a parser of the application's.
pub(crate) fn packet(connection: &Arc<Connection>, packet: &impl Incoming) {
    let inbound = connection.state().inbound.lock();
    if inbound.is_open
        && let Err(violation) = dispatch(connection, inbound, packet)
    {
        violated(connection, &violation);
    }
}

/// Takes a message, under one lock of the receiving half.
fn take(connection: &Arc<Connection>, message: Data<'_>, now: Instant) -> Result<(), Violation> {
    let server = connection.layer();
    let decoded = decode(connection, message)?;
    let mut inbound = connection.state().inbound.lock();
    if !inbound.is_open {
        return Ok(());
    }
    match decoded {
        Decoded::Text(packet) if packet.kind.is_binary() && packet.attachments > 0 => {
            // Nothing is kept for a namespace the client is not in.
            socket(&mut inbound, packet.namespace)?;
            let begun = inbound.assembler.begin(&packet, &server.packet_limits);
            begun?;
            // They cannot be awaited for ever.
            inbound.due.attachments = Some(now + server.config.limits.attachments_timeout);
            if let Some(next) = inbound.due.next() {
                connection.wake_layer_at(next);
            }
            Ok(())
        }
        Decoded::Text(packet) => {
            inbound.assembler.text()?;
            dispatch(connection, inbound, &packet)
        }
        Decoded::Whole(packet) => dispatch(connection, inbound, &packet),
        Decoded::Attachment(data) => {
            let complete = inbound.assembler.push(data)?;
            let Some(packet) = complete else { return Ok(()) };
            inbound.due.attachments = None;
            dispatch(connection, inbound, &packet)
        }
    }
}

/// A message that was read as far as that can be done without what came before it.
enum Decoded<'a> {
    Text(Packet<'a>),
    Whole(BinaryPacket),
    Attachment(Bytes),
}

fn decode<'a>(connection: &Connection, message: Data<'a>) -> Result<Decoded<'a>, Violation> {
    let server = connection.layer();
    match message {
        Data::Text(_) if server.is_msgpack() => Err(Violation::Malformed("invalid packet")),
        Data::Text(text) => {
            let encoder = Encoder { parser: server.config.parser, protocol: connection.protocol() };
            let packet = codec::decode(encoder.revision(), text, &server.packet_limits);
            Ok(Decoded::Text(packet?))
        }
        Data::Binary(data) if server.is_msgpack() => {
            let packet = codec::msgpack::decode(&Bytes::from(data.into_owned()), &server.packet_limits);
            packet.map(Decoded::Whole).map_err(|_| Violation::Malformed("invalid packet"))
        }
        Data::Binary(data) => Ok(Decoded::Attachment(Bytes::from(data.into_owned()))),
    }
}

/// Gives a packet to its socket. Whatever the host hears is queued under the lock, so that its order is that of arrival,
/// and nothing comes after a disconnect.
#[inline]
fn dispatch(
    connection: &Arc<Connection>,
    mut inbound: MutexGuard<'_, Inbound>,
    packet: &impl Incoming,
) -> Result<(), Violation> {
    let namespace = packet.namespace();
    match packet.kind() {
        PacketType::Connect if inbound.entry(namespace).is_some() => return Err(Violation::OutOfPlace),
        PacketType::Connect => {
            connect::requested(connection, inbound, namespace, packet.query(), packet.payload());
        }
        PacketType::Event => {
            let socket = socket(&mut inbound, namespace)?;
            event(connection, socket, packet);
        }
        PacketType::Ack => {
            let socket = socket(&mut inbound, namespace)?;
            match packet.id() {
                Some(id) => socket.acked(id, packet.payload()),
                None => connection.layer().counters.acks_unexpected.add(1),
            }
        }
        PacketType::Disconnect => {
            let socket = socket(&mut inbound, namespace)?;
            inbound.remove(namespace);
            disconnect::by_client(&socket);
        }
        _ => return Err(Violation::OutOfPlace),
    }
    Ok(())
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
fn event(connection: &Connection, socket: Arc<Socket>, packet: &impl Incoming) {
    let queue = &connection.layer().queue;
    let ack = packet.id().map(|id| Ack { socket: Arc::downgrade(&socket), id });
    let payload = packet.payload();
    if socket.namespace().shows_events() {
        socket.namespace().observe_event(&socket, &payload, Observed::Received);
    }
    let credit = Credit::new(&connection.state().share, &queue.budget, payload.len());
    queue.push(HostEvent::Event { socket, payload, ack, credit });
}

fn violated(connection: &Arc<Connection>, violation: &Violation) {
    connection.count_peer_error();
    tracing::debug!(remote = ?connection.handshake().head.remote, ?violation, "closing a peer that broke the protocol");
    match violation {
        Violation::OutOfPlace => disconnect::end(connection, DisconnectReason::ForcedServerClose),
        Violation::Malformed(fault) => connection.state().inbound.lock().fault = Some(fault),
    }
    connection.close(CloseReason::ForcedClose);
}

/// A packet on its way to its socket, whichever way it was encoded.
pub(crate) trait Incoming {
    fn kind(&self) -> PacketType;
    fn namespace(&self) -> &str;
    fn id(&self) -> Option<u64>;
    fn payload(&self) -> Payload;

    /// What a client of the older protocol sends in place of authentication data.
    fn query(&self) -> Option<&str> {
        None
    }
}

impl Incoming for Packet<'_> {
    fn kind(&self) -> PacketType {
        self.kind.without_attachments()
    }

    fn namespace(&self) -> &str {
        self.namespace
    }

    fn id(&self) -> Option<u64> {
        self.id
    }

    fn payload(&self) -> Payload {
        Payload::new(self.data.unwrap_or_default(), Vec::new())
    }

    fn query(&self) -> Option<&str> {
        self.query
    }
}

impl Incoming for BinaryPacket {
    fn kind(&self) -> PacketType {
        self.kind
    }

    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn id(&self) -> Option<u64> {
        self.id
    }

    fn payload(&self) -> Payload {
        Payload::new(self.data.as_deref().unwrap_or_default(), self.attachments.clone())
    }
}

/// A packet that the host has decoded.
pub(crate) struct ByHost<'a> {
    pub(crate) kind: PacketType,
    pub(crate) namespace: &'a str,
    pub(crate) id: Option<u64>,
    pub(crate) payload: Payload,
}

impl Incoming for ByHost<'_> {
    fn kind(&self) -> PacketType {
        self.kind
    }

    fn namespace(&self) -> &str {
        self.namespace
    }

    fn id(&self) -> Option<u64> {
        self.id
    }

    fn payload(&self) -> Payload {
        self.payload.clone()
    }
}
