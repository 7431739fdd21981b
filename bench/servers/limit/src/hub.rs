//! Keeps the sessions and rooms that messages are sent to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Where messages for one connection are put.
pub(crate) type Outbox = UnboundedSender<Utf8Bytes>;

/// One Engine.IO session.
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) outbox: Outbox,
    /// Read by the poll under way, and after an upgrade by the WebSocket connection.
    pub(crate) waiting: tokio::sync::Mutex<UnboundedReceiver<Utf8Bytes>>,
}

/// Everything the connections share. The locks are never held together.
#[derive(Default)]
pub(crate) struct Hub {
    next_id: AtomicU64,
    pub(crate) n_ticks: AtomicU64,
    sessions: Mutex<HashMap<u64, Arc<Session>>>,
    sockets: RwLock<HashMap<u64, Outbox>>,
    rooms: RwLock<HashMap<String, Vec<Outbox>>>,
}

impl Hub {
    /// Makes a session and, when polls will look for it, remembers it by its id.
    pub(crate) fn open(&self, is_polling: bool) -> Arc<Session> {
        #[expect(clippy::disallowed_methods, reason = "the load generator reads all that it asks for")]
        let (outbox, waiting) = unbounded_channel();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session { id, outbox, waiting: waiting.into() });
        if is_polling {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.insert(id, Arc::clone(&session));
        }
        session
    }

    /// Finds the session that polls by this id.
    pub(crate) fn session(&self, id: u64) -> Option<Arc<Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Forgets a session that has closed.
    pub(crate) fn close(&self, session: &Session) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&session.id);
        self.sockets.write().unwrap_or_else(PoisonError::into_inner).remove(&session.id);
    }

    /// Makes a session's socket a receiver of broadcasts.
    pub(crate) fn connect(&self, session: &Session) {
        let mut sockets = self.sockets.write().unwrap_or_else(PoisonError::into_inner);
        sockets.insert(session.id, session.outbox.clone());
    }

    /// Adds a session's socket to a room, which it never leaves: no workload needs that.
    pub(crate) fn join(&self, session: &Session, room: &str) {
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        rooms.entry(room.to_owned()).or_default().push(session.outbox.clone());
    }

    /// Sends a message to every socket.
    pub(crate) fn broadcast(&self, message: &Utf8Bytes) {
        for outbox in self.sockets.read().unwrap_or_else(PoisonError::into_inner).values() {
            let _ = outbox.send(message.clone());
        }
    }

    /// Sends a message to the sockets of a room.
    pub(crate) fn send_to_room(&self, room: &str, message: &Utf8Bytes) {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        for outbox in rooms.get(room).into_iter().flatten() {
            let _ = outbox.send(message.clone());
        }
    }
}
