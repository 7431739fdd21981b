//! What the host is told and asked, and the handles in it.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::SystemTime,
};

use ferrio_engine::{Admitted, Handshake, Message, OriginDecision, PacketType, Refusal, RequestHead};
use http::HeaderMap;
use tokio::sync::oneshot;

use crate::{
    acks::AckOutcome,
    key::SocketKey,
    packet::payload::Payload,
    queue::{
        self, CONNECT_OVERHEAD, Queued,
        backpressure::{Credit, EVENT_OVERHEAD},
    },
    reason::DisconnectReason,
    rooms::{log::Restored, room::Room},
    socket::Socket,
    socket_io::Connection,
};

/// Something that happened, or that the host is asked.
///
/// For one socket the order is exact: its connect first, its events in the order of their arrival, its disconnect
/// last. No event follows when the host itself has put the socket out: what was queued of it is passed over.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostEvent {
    /// May this request open a session, and under which id? Only with
    /// [`ask_allow_request`](crate::Config::ask_allow_request).
    Request {
        /// The request.
        head: Arc<RequestHead>,
        /// Dropped without an answer, the request is refused.
        answer: Answer<Result<Admitted, Refusal>>,
    },
    /// Which headers are added to the answer to this request? Only while
    /// [`ask_for_headers`](ferrio_engine::Server::ask_for_headers) is on.
    Headers {
        /// The request.
        head: Arc<RequestHead>,
        /// Whether it opens the session.
        is_first: bool,
        /// Dropped without an answer, there are none.
        answer: Answer<HeaderMap>,
    },
    /// A request was refused. Only while [`tell_refusals`](crate::Server::tell_refusals) is on.
    Refused {
        /// The request.
        head: Arc<RequestHead>,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// Something happened on a connection that is watched for it; see [`Server::watch`](crate::Server::watch).
    Session {
        /// The connection.
        connection: Arc<Connection>,
        /// What happened.
        event: SessionEvent,
    },
    /// Which origin may read the answer to this request? Only with [`Origin::Ask`](crate::Origin::Ask).
    Origin {
        /// The request.
        head: Arc<RequestHead>,
        /// Dropped without an answer, no origin is allowed.
        answer: Answer<OriginDecision>,
    },
    /// Shall this namespace exist? Only with [`ask_namespace`](crate::Config::ask_namespace).
    Namespace {
        /// The namespace's name.
        name: Arc<str>,
        /// What the client sent along, an object or nothing.
        auth: Payload,
        /// The client's handshake.
        handshake: Arc<Handshake>,
        /// After `true` the namespace is made, unless it exists by then. Dropped without an answer, the client is refused.
        answer: Answer<bool>,
    },
    /// A client wants to connect to a namespace.
    Connect {
        /// The socket it will be.
        socket: Arc<Socket>,
        /// What the client sent along, an object or nothing.
        auth: Payload,
        /// Takes the decision.
        connect_request: ConnectRequest,
    },
    /// A client has gone before it was let in or refused: there is nothing to decide any more.
    ConnectAborted {
        /// The name of the namespace that it wanted to connect to.
        namespace: Arc<str>,
        /// The socket it would have been; `None` while the host is asked whether the namespace shall exist.
        socket: Option<Arc<Socket>>,
        /// Why it has gone.
        reason: DisconnectReason,
    },
    /// An event from a client.
    Event {
        /// The socket it came from.
        socket: Arc<Socket>,
        /// Its name and arguments.
        payload: Payload,
        /// Present when the client wants an ack.
        ack: Option<Ack>,
        /// The event's place among those of its connection that are under way, to be kept while it is dealt with.
        credit: Credit,
    },
    /// The outcome of an emit that wanted acks.
    Ack {
        /// The number the host gave with the emit.
        token: u64,
        /// What came back.
        outcome: AckOutcome,
    },
    /// A client has acknowledged what the core has not asked to be: the host has, by a packet of its own making. Only after
    /// [`tell_unexpected_acks`](crate::Server::tell_unexpected_acks).
    UnexpectedAck {
        /// The socket it came from.
        socket: Arc<Socket>,
        /// The ack's number.
        id: u64,
        /// Its arguments.
        payload: Payload,
        /// As of an event. Those of one client that would fill more than half of the queue are not told.
        credit: Credit,
    },
    /// A socket left its namespace.
    Disconnect(DisconnectedSocket),
    /// A session that could have been recovered will not be: what the host kept for the socket may go.
    Forget {
        /// The socket that had the session.
        key: SocketKey,
    },
}

impl Queued for HostEvent {
    fn weight(&self) -> usize {
        match self {
            Self::Event { payload, .. } | Self::UnexpectedAck { payload, .. } => payload.len(),
            Self::Connect { auth, socket, .. } => {
                CONNECT_OVERHEAD + auth.len() + socket.handshake().head.n_bytes()
            }
            Self::Namespace { name, auth, .. } => name.len() + auth.len(),
            Self::Ack { outcome, .. } => {
                outcome.answers.iter().map(|answer| EVENT_OVERHEAD + answer.len()).sum()
            }
            Self::Request { head, .. }
            | Self::Origin { head, .. }
            | Self::Headers { head, .. }
            | Self::Refused { head, .. } => head.n_bytes(),
            Self::Session { event, .. } => event.weight(),
            Self::Disconnect(_) | Self::ConnectAborted { .. } | Self::Forget { .. } => 0,
        }
    }

    /// An event or ack of a socket that the host has put out meanwhile.
    fn is_void(&self) -> bool {
        matches!(self, Self::Event { socket, .. } | Self::UnexpectedAck { socket, .. } if socket.is_dropped_by_host())
    }
}

/// Takes the host's decision, from any thread, at any later time.
pub struct Answer<T>(oneshot::Sender<T>);

impl<T> Answer<T> {
    pub(crate) fn new() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Gives the decision. Nothing happens when the client has gone meanwhile.
    pub fn send(self, decision: T) {
        let _ = self.0.send(decision);
    }

    /// Whether nobody waits for the decision any more: the client has gone, or was refused because it took too long.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// Takes the decision about one client, at once or later, from any thread.
///
/// Dropped without a decision, the client is refused with the message `Connection refused by server`: nobody is left
/// waiting.
pub struct ConnectRequest {
    pub(crate) socket: Arc<Socket>,
    /// In a box, because few clients have any, and every event in the queue has the size of the largest.
    pub(crate) restored: Option<Box<Restored>>,
    pub(crate) is_decided: bool,
}

/// A socket on its way out.
///
/// Its connection to the namespace is over, but it is still in its rooms, so that the host's `disconnecting`
/// handlers see them. [`finish`](Self::finish), or dropping it, takes it out of them.
pub struct DisconnectedSocket {
    pub(crate) socket: Arc<Socket>,
    pub(crate) reason: DisconnectReason,
    /// Whether the client cannot come back.
    pub(crate) is_final: bool,
}

/// The ack that a client waits for. It is given at most once; dropped, the client never gets one.
#[derive(Debug)]
pub struct Ack {
    /// One that is never given must not keep a client that has gone.
    pub(crate) socket: Weak<Socket>,
    pub(crate) id: u64,
}

/// Something that happened on an engine's session, in engine.io's words.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// `connection`: the session is open. Only with [`watch_new_sessions`](ferrio_engine::Server::watch_new_sessions).
    Opened,
    /// `message`, `data`: a message has come.
    Message(Message, Credit),
    /// `packet`: a packet has come.
    Packet(PacketType, Message),
    /// `packetCreate`: a packet was queued for the client, which may be compressed or not.
    PacketCreate(PacketType, Message, bool),
    /// `heartbeat`: the client has given a sign of life.
    Heartbeat,
    /// `flush`: what waited is given to the transport.
    Flush,
    /// `drain`: everything has left.
    Drain,
    /// `upgrading`: the probe of an upgrade was answered.
    Upgrading,
    /// `upgrade`: the WebSocket is the transport from here on.
    Upgrade,
    /// A WebSocket that came for an upgrade is given up.
    UpgradeFailed,
    /// The client of a session that had ended between two polls knows it now, or never will.
    Told,
    /// The core itself has refused a client: the namespace, and the data of the `CONNECT_ERROR` packet as JSON text. Only with
    /// [`Parser::Application`](crate::Parser), where the host sends that packet.
    Refused(Arc<str>, Arc<str>),
    /// Nothing more will come, and the sockets have to leave for this reason. Only with
    /// [`Parser::Application`](crate::Parser), once for each session: the host first hands over what was in the messages before,
    /// and then calls [`Server::end`](crate::Server::end).
    Ending(DisconnectReason),
    /// The last of all, after [`Ending`](Self::Ending) and what followed from it.
    Ended,
    /// `close`: the session is over, and all its sockets have left.
    Closed(DisconnectReason),
}

impl SessionEvent {
    fn weight(&self) -> usize {
        match self {
            Self::Opened => CONNECT_OVERHEAD,
            Self::Message(message, _) | Self::Packet(_, message) | Self::PacketCreate(_, message, _) => {
                message.len()
            }
            _ => 0,
        }
    }
}

/// Something that an [`Observer`](crate::Observer) is shown, and when it happened.
#[derive(Debug)]
pub struct Observation {
    /// When it happened.
    pub at: SystemTime,
    /// What happened.
    pub what: Observed,
}

impl Observation {
    pub(crate) fn now(what: Observed) -> Self {
        Self { at: SystemTime::now(), what }
    }
}

/// What an [`Observer`](crate::Observer) is shown.
#[derive(Debug)]
#[non_exhaustive]
pub enum Observed {
    /// A client was let into a namespace, and these are its rooms. It was shown to join them just before.
    Connected(Arc<Socket>, Vec<Room>),
    /// A client has left a namespace.
    Disconnected(Arc<Socket>, DisconnectReason),
    /// A socket has joined a room.
    Joined(RoomChange),
    /// A socket has left a room.
    Left(RoomChange),
    /// An event has come from a client.
    Received(Arc<Socket>, Payload),
    /// An event was sent to a client.
    Sent(Arc<Socket>, Payload),
}

/// Who has joined or left which room.
#[derive(Debug)]
pub struct RoomChange {
    /// The socket's namespace.
    pub namespace: Arc<str>,
    /// The socket's id.
    pub socket: Arc<str>,
    /// The room.
    pub room: Room,
}

/// The host's side of the queue of its events. There is one to a server.
pub type Events = queue::Events<HostEvent>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_small() {
        // It is moved a few times on its way to the host, and a hundred thousand may wait.
        assert!(size_of::<HostEvent>() <= 96, "{}", size_of::<HostEvent>());
    }
}
