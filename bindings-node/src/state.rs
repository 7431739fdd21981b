//! What is held for JavaScript, which names it by numbers.

use std::{collections::hash_map::Entry, sync::Arc};

use ahash::HashMap;
use ferrio::{
    Admitted, ConnectRequest, Connection, DisconnectReason, DisconnectedSocket, Namespace, NumberedRooms,
    OriginDecision, Refusal, SessionEvent, Socket, Writes,
};
use ferrio_host::{Questions, admin::Admin};
use http::HeaderMap;

use crate::crossing::Crossing;

/// What JavaScript names by numbers, none of which is ever used twice: a number whose thing has gone names nothing.
#[derive(Default)]
pub(crate) struct State {
    /// By their keys.
    pub(crate) sockets: HashMap<u64, Held>,
    pub(crate) namespaces: HashMap<u64, Arc<Namespace>>,
    pub(crate) rooms: NumberedRooms,
    pub(crate) requests: Questions<std::result::Result<Admitted, Refusal>>,
    pub(crate) origins: Questions<OriginDecision>,
    pub(crate) asked_namespaces: Questions<bool>,
    pub(crate) asked_headers: Questions<HeaderMap>,
    /// Whether the server was closed. Nothing is asked then.
    pub(crate) is_closed: bool,
    pub(crate) crossing: Crossing,
    pub(crate) admin: Option<Admin>,
    /// With a parser of the application's: sessions whose messages JavaScript reads, until it has come to their end.
    pub(crate) parsed: Option<HashMap<Arc<str>, ParsedSession>>,
}

/// A session whose messages JavaScript reads.
pub(crate) struct ParsedSession {
    /// It may be over, while JavaScript still reads what it sent.
    pub(crate) connection: Arc<Connection>,
    /// Why it is over, if it is.
    pub(crate) ending: Option<DisconnectReason>,
}

/// How far JavaScript is with a socket. What is held for it goes when JavaScript says [`depart`](State::depart).
pub(crate) enum Held {
    /// It is to be let in or refused. In a box, which keeps the many that were let in small.
    Pending(Box<ConnectRequest>),
    /// It was let in.
    Joined(Arc<Socket>),
    /// It has left, and JavaScript has not told its listeners yet.
    Leaving(DisconnectedSocket),
    /// Its client left before it was let in.
    ConnectAborted(Arc<Socket>),
}

impl Held {
    pub(crate) fn socket(&self) -> &Arc<Socket> {
        match self {
            Self::Pending(connect_request) => connect_request.socket(),
            Self::Joined(socket) | Self::ConnectAborted(socket) => socket,
            Self::Leaving(disconnected) => disconnected.socket(),
        }
    }
}

impl State {
    /// A socket wants to join.
    pub(crate) fn expect(&mut self, connect_request: ConnectRequest) {
        self.sockets.insert(connect_request.socket().key().0, Held::Pending(Box::new(connect_request)));
    }

    /// JavaScript is about to be told of an event of a session.
    pub(crate) fn note(&mut self, connection: &Arc<Connection>, event: &SessionEvent) {
        let Some(parsed) = &mut self.parsed else { return };
        let ending = match event {
            _ if self.is_closed => return,
            SessionEvent::Message(..) => None,
            SessionEvent::Ending(reason) => Some(*reason),
            _ => return,
        };
        let session = parsed
            .entry(connection.id().clone())
            .or_insert_with(|| ParsedSession { connection: connection.clone(), ending: None });
        session.ending = ending;
    }

    /// A socket has left.
    pub(crate) fn leave(&mut self, disconnected: DisconnectedSocket) {
        self.sockets.insert(disconnected.socket().key().0, Held::Leaving(disconnected));
    }

    /// A client has gone before its socket was let in.
    pub(crate) fn withdraw(&mut self, socket: Arc<Socket>) {
        // What was decided meanwhile is over; JavaScript knows.
        let Some(held) = self.sockets.get_mut(&socket.key().0) else { return };
        if let Held::Pending(connect_request) = std::mem::replace(held, Held::ConnectAborted(socket)) {
            // Its client may come back for the session that it wanted to continue, so this is no refusal.
            let _ = connect_request.accept(&mut Writes::new());
        }
    }

    /// Ends what JavaScript has finished telling of. One that it has not heard of yet stays.
    pub(crate) fn depart(&mut self, socket: u64) {
        if let Entry::Occupied(entry) = self.sockets.entry(socket)
            && let Held::Leaving(_) | Held::ConnectAborted(_) = entry.get()
        {
            entry.remove();
        }
    }
}
