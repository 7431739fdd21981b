//! Connection state recovery: what a namespace keeps for clients that come back.

use std::{sync::Arc, time::Instant};

use ferrio_engine::{DeadlineKey, Due, Expire};

use crate::{
    event::HostEvent,
    key::SocketKey,
    namespace::Namespace,
    reason::DisconnectReason,
    rooms::log::{Log, Restored, Session},
    socket::Socket,
};

impl Namespace {
    /// Keeps a socket's session when its client may come back, and returns whether it does.
    pub(crate) fn keep_session(self: &Arc<Self>, socket: &Arc<Socket>, reason: DisconnectReason) -> bool {
        if socket.private_id().is_none() {
            return false;
        }
        let mut rooms = self.rooms.lock();
        let joined = if reason.is_recoverable() { rooms.rooms_of(socket.key()) } else { Vec::new() };
        let Some(log) = &mut rooms.log else { return false };
        let session = reason.is_recoverable().then(|| socket.session(joined, log.position())).flatten();
        let is_kept = session.is_some_and(|session| self.keep(log, session, Instant::now()));
        log.client_disconnected();
        is_kept
    }

    /// Keeps a session, and sees to it that somebody looks when its time is up. Returns whether it is kept.
    pub(crate) fn keep(self: &Arc<Self>, log: &mut Log, session: Session, now: Instant) -> bool {
        let Some(evicted) = log.keep_session(session, now) else { return false };
        self.forget_sessions(evicted);
        self.watch(log, now);
        true
    }

    /// Sees to it that somebody looks when the time of what is kept is up.
    pub(crate) fn watch(self: &Arc<Self>, log: &mut Log, now: Instant) {
        if let Some(at) = log.watch(now) {
            self.server.deadlines.add(at, self.recovery_due());
        }
    }

    /// Notes that a client which might have come back was not let in.
    pub(crate) fn client_refused(&self, socket: &Socket) {
        if socket.private_id().is_some()
            && let Some(log) = &mut self.rooms.lock().log
        {
            log.client_disconnected();
        }
    }

    /// Gives a session back to a client that names it.
    pub(crate) fn restore_session(&self, private_id: &str, offset: Option<&str>) -> Option<Restored> {
        let restored = self.rooms.lock().log.as_mut()?.restore(private_id, offset, Instant::now());
        match restored {
            Ok(restored) => Some(restored),
            Err(forgotten) => {
                self.forget_sessions(forgotten);
                None
            }
        }
    }

    /// Drops the events and sessions whose time is up, and looks again when the next one's will be.
    pub(crate) fn expire_sessions(self: &Arc<Self>, now: Instant) {
        let expired = self.rooms.lock().log.as_mut().map(|log| log.expire(now));
        let (expired, next) = expired.unwrap_or_default();
        self.forget_sessions(expired);
        if let Some(next) = next {
            self.server.deadlines.add(next, self.recovery_due());
        }
    }

    /// Tells the host that sessions will not come back.
    pub(crate) fn forget_sessions(&self, keys: impl IntoIterator<Item = SocketKey>) {
        for key in keys {
            self.server.queue.push(HostEvent::Forget { key });
        }
    }

    fn recovery_due(self: &Arc<Self>) -> Due {
        let namespace: Arc<dyn Expire> = self.clone();
        Due::Weak(Arc::downgrade(&namespace), 0)
    }
}

impl Expire for Namespace {
    fn expired(self: Arc<Self>, _: u64, _: DeadlineKey, now: Instant) {
        self.expire_sessions(now);
    }
}
