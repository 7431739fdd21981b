//! Connection state recovery: the events a client missed, and the sessions that may come back.
//!
//! Every event of a namespace has a position. A client learns it as a last argument, and names the last one it saw
//! when it comes back ([the client's side](https://socket.io/docs/v4/connection-state-recovery)). A session is
//! recovered only if nothing it missed can have been lost; otherwise the client starts anew and knows it.

use std::{cell::OnceCell, collections::VecDeque, fmt, sync::Arc, time::Instant};

use ahash::HashMap;

use crate::{config::Recovery, ids::random_id, payload::Payload, selection::Selection, socket::SocketKey};

/// The recent events of one namespace, and its sessions that are disconnected.
pub(crate) struct Log {
    config: Recovery,
    /// Distinguishes this log from that of another process, whose positions mean nothing here. Drawn with the first event,
    /// so that the logs of a namespace that was made before a fork differ.
    epoch: OnceCell<String>,
    /// The position of the latest event; the first has 1.
    position: u64,
    /// Every event up to here is no longer kept.
    forgotten: u64,
    events: VecDeque<Logged>,
    bytes: usize,
    sessions: HashMap<Arc<str>, (Instant, Session)>,
    /// Sessions by the time of their disconnect. It may name some that were recovered meanwhile.
    by_age: VecDeque<(Instant, Arc<str>)>,
}

struct Logged {
    position: u64,
    at: Instant,
    payload: Payload,
    selection: Selection,
}

/// What is kept of a disconnected socket.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) key: SocketKey,
    pub(crate) id: Arc<str>,
    pub(crate) private_id: Arc<str>,
    pub(crate) rooms: Vec<Arc<str>>,
    /// The position of the latest event when the socket connected: where a client that saw none starts from.
    pub(crate) connected_at: u64,
    /// The position of the last event that was sent to the socket.
    pub(crate) last_addressed: u64,
    /// The position of the latest event when the socket was disconnected.
    pub(crate) disconnected_at: u64,
}

/// A session that came back, and the position from which it misses events.
#[derive(Debug, Clone)]
pub(crate) struct Restored {
    pub(crate) session: Session,
    pub(crate) seen: u64,
}

impl Log {
    pub(crate) fn new(config: Recovery) -> Self {
        Self {
            config,
            epoch: OnceCell::new(),
            position: 0,
            forgotten: 0,
            events: VecDeque::new(),
            bytes: 0,
            sessions: HashMap::default(),
            by_age: VecDeque::new(),
        }
    }

    /// The latest position.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Gives the next event its position.
    ///
    /// A volatile event gets one, too: its last argument must not be taken for an offset when it is a string.
    pub(crate) fn advance(&mut self) -> u64 {
        self.position += 1;
        self.position
    }

    /// Keeps the event at the latest position for replay.
    pub(crate) fn keep(&mut self, payload: &Payload, selection: &Selection, now: Instant) {
        self.bytes += payload.len();
        let selection = selection.clone();
        self.events.push_back(Logged {
            position: self.position,
            at: now,
            payload: payload.clone(),
            selection,
        });
        self.prune(now);
    }

    fn prune(&mut self, now: Instant) {
        while let Some(oldest) = self.events.front() {
            let is_old = now.saturating_duration_since(oldest.at) > self.config.max_disconnection_duration;
            let is_too_much =
                self.events.len() > self.config.max_packets || self.bytes > self.config.max_bytes;
            if !is_old && !is_too_much {
                return;
            }
            self.forgotten = oldest.position;
            self.bytes -= oldest.payload.len();
            self.events.pop_front();
        }
    }

    /// The payload of an event with its offset as the last argument.
    pub(crate) fn with_offset(&self, payload: &Payload, position: u64) -> Payload {
        let text = payload.text();
        let open = text.strip_suffix(']').unwrap_or(text);
        let epoch = self.epoch.get_or_init(|| random_id(6));
        let text = format!("{open},\"{epoch}-{position:x}\"]");
        Payload::new(text, payload.attachments().to_vec())
    }

    /// Keeps a disconnected session. Returns the sockets of sessions that have to make room for it and, if it is the
    /// only one, when its time will be up.
    pub(crate) fn keep_session(
        &mut self,
        session: Session,
        now: Instant,
    ) -> (Vec<SocketKey>, Option<Instant>) {
        let is_first = self.by_age.is_empty();
        if self.by_age.len() > 2 * self.sessions.len() + 64 {
            self.by_age
                .retain(|(at, private_id)| self.sessions.get(private_id).is_some_and(|kept| kept.0 == *at));
        }
        self.by_age.push_back((now, session.private_id.clone()));
        self.sessions.insert(session.private_id.clone(), (now, session));
        let mut forgotten = Vec::new();
        while self.sessions.len() > self.config.max_sessions {
            forgotten.extend(self.forget_oldest());
        }
        (forgotten, is_first.then(|| now + self.config.max_disconnection_duration))
    }

    /// Notes rooms that a socket joined while its departure was on its way to the host.
    pub(crate) fn add_rooms(&mut self, private_id: &str, key: SocketKey, rooms: &[Arc<str>]) {
        if let Some((_, session)) = self.sessions.get_mut(private_id).filter(|kept| kept.1.key == key) {
            session.rooms.extend_from_slice(rooms);
        }
    }

    /// Drops the sessions whose time is up. Returns their sockets, and when the next one's will be.
    pub(crate) fn expire(&mut self, now: Instant) -> (Vec<SocketKey>, Option<Instant>) {
        self.prune(now);
        let mut forgotten = Vec::new();
        while let Some((since, _)) = self.by_age.front() {
            let until = *since + self.config.max_disconnection_duration;
            if until > now {
                return (forgotten, Some(until));
            }
            forgotten.extend(self.forget_oldest());
        }
        (forgotten, None)
    }

    fn forget_oldest(&mut self) -> Option<SocketKey> {
        let (at, private_id) = self.by_age.pop_front()?;
        // The session may have been recovered, and lost once more, since then.
        self.sessions.get(&private_id).filter(|kept| kept.0 == at)?;
        self.sessions.remove(&private_id).map(|(_, session)| session.key)
    }

    /// Gives a session back to a client that names it, once.
    ///
    /// `Err` holds the socket of a session that existed but cannot be recovered without loss.
    pub(crate) fn restore(
        &mut self,
        private_id: &str,
        offset: Option<&str>,
        now: Instant,
    ) -> Result<Restored, Option<SocketKey>> {
        self.prune(now);
        let (at, session) = self.sessions.remove(private_id).ok_or(None)?;
        if now.saturating_duration_since(at) > self.config.max_disconnection_duration {
            return Err(Some(session.key));
        }
        let seen = match offset {
            None => Some(session.connected_at),
            Some(offset) => self.parse(offset).filter(|position| *position <= self.position),
        };
        match seen {
            Some(seen) if self.is_complete(&session, seen) => Ok(Restored { session, seen }),
            _ => Err(Some(session.key)),
        }
    }

    /// Whether everything after `seen` that was meant for the session is still there.
    fn is_complete(&self, session: &Session, seen: u64) -> bool {
        let nothing_forgotten_since = self.forgotten <= seen;
        // A client that was idle for long has an old offset, though nothing came for it until it left.
        let had_seen_all = session.last_addressed <= seen && self.forgotten <= session.disconnected_at;
        nothing_forgotten_since || had_seen_all
    }

    fn parse(&self, offset: &str) -> Option<u64> {
        // The epoch may have hyphens, too.
        let (epoch, position) = offset.rsplit_once('-')?;
        if self.epoch.get().is_none_or(|own| own != epoch) || position.len() > 16 {
            return None;
        }
        u64::from_str_radix(position, 16).ok()
    }

    /// The events that a restored session missed, in order, each with its position.
    pub(crate) fn missed<'a>(&'a self, restored: &'a Restored) -> impl Iterator<Item = (u64, &'a Payload)> {
        let first = self.events.partition_point(|event| event.position <= restored.seen);
        self.events
            .range(first..)
            .filter(|event| is_meant(&event.selection, &restored.session.rooms))
            .map(|event| (event.position, &event.payload))
    }
}

fn is_meant(selection: &Selection, rooms: &[Arc<str>]) -> bool {
    let is_in = |room: &Arc<str>| rooms.contains(room);
    (selection.rooms.is_empty() || selection.rooms.iter().any(is_in)) && !selection.except.iter().any(is_in)
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("position", &self.position)
            .field("n_sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_read_back_whatever_the_epoch_is() {
        let mut log = Log::new(Recovery::default());
        log.epoch = OnceCell::from("-a-b-".to_owned());
        let position = log.advance();
        let payload = log.with_offset(&Payload::event("news", []), position);
        let values = payload.values().expect("a JSON array");
        let offset = values[1].as_str().expect("a string at the end");
        assert_eq!(log.parse(offset), Some(1));
        assert_eq!(log.parse("other-1"), None);
        assert_eq!(log.parse("1"), None);
    }
}
