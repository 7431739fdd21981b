//! Connection state recovery: the events a client missed, and the sessions that may come back.
//!
//! Every event of a namespace has a position. A client learns it as a last argument, and names the last one it saw
//! when it comes back ([the client's side](https://socket.io/docs/v4/connection-state-recovery)). A session is
//! recovered only if nothing it missed can have been lost; otherwise the client starts anew and knows it.

use std::{cell::OnceCell, collections::VecDeque, fmt, sync::Arc, time::Instant};

use ahash::HashMap;

use ferrio_engine::random_id;

use crate::{
    config::Recovery,
    key::SocketKey,
    packet::payload::Payload,
    rooms::{room::Room, selection::Selection, set::RoomSet},
};

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
    /// Kept only while there is a client that could miss them, or a session that does.
    events: VecDeque<Logged>,
    bytes: usize,
    /// The clients that may come back if they are lost, from the moment they want to join.
    n_clients: usize,
    /// What one client may get replayed.
    replay: ReplayLimit,
    sessions: HashMap<Arc<str>, (Instant, Session)>,
    /// What the sessions' rooms weigh.
    session_bytes: usize,
    /// Sessions by the time of their disconnect. It may name some that were recovered meanwhile.
    by_age: VecDeque<(Instant, Arc<str>)>,
    /// Whether somebody will look when the time of the oldest event or session is up.
    is_watched: bool,
}

/// How much may be replayed to a client. More would fill its outbox, and close it again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplayLimit {
    /// Bytes of frames.
    pub(crate) max_bytes: usize,
    /// What each packet has besides its payload, an upper bound.
    pub(crate) packet_overhead: usize,
}

struct Logged {
    position: u64,
    at: Instant,
    payload: Payload,
    selection: Selection,
}

impl Logged {
    fn weight(&self) -> usize {
        let rooms = self.selection.rooms.iter().chain(&self.selection.except);
        self.payload.len() + rooms.map(Room::weight).sum::<usize>()
    }
}

/// What is kept of a disconnected socket.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) key: SocketKey,
    pub(crate) id: Arc<str>,
    pub(crate) private_id: Arc<str>,
    pub(crate) rooms: RoomSet,
    /// What the rooms weigh. Their number and names may be the client's choice.
    pub(crate) weight: usize,
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
    pub(crate) fn new(config: Recovery, replay: ReplayLimit) -> Self {
        Self {
            config,
            epoch: OnceCell::new(),
            position: 0,
            forgotten: 0,
            events: VecDeque::new(),
            bytes: 0,
            n_clients: 0,
            replay,
            sessions: HashMap::default(),
            session_bytes: 0,
            by_age: VecDeque::new(),
            is_watched: false,
        }
    }

    /// The latest position.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The sockets whose sessions are kept.
    pub(crate) fn session_keys(&self) -> impl Iterator<Item = SocketKey> {
        self.sessions.values().map(|(_, session)| session.key)
    }

    /// Gives the next event its position.
    ///
    /// A volatile event gets one, too: its last argument must not be taken for an offset when it is a string.
    pub(crate) fn advance(&mut self) -> u64 {
        self.position += 1;
        self.position
    }

    /// Notes a client that may come back if it is lost. Each is followed by one [`client_disconnected`](Self::client_disconnected).
    pub(crate) fn client_connected(&mut self) {
        self.n_clients += 1;
    }

    /// Notes that a client was not let in, or has left; its session, if it has one, is kept before.
    pub(crate) fn client_disconnected(&mut self) {
        self.n_clients -= 1;
        self.drop_unneeded();
    }

    fn is_needed(&self) -> bool {
        self.n_clients > 0 || !self.sessions.is_empty()
    }

    /// Drops the events when nobody is left who could want them.
    fn drop_unneeded(&mut self) {
        if !self.is_needed() {
            self.forgotten = self.position;
            self.events = VecDeque::new();
            self.bytes = 0;
        }
    }

    /// Keeps the event at the latest position for replay, if anybody could miss it.
    pub(crate) fn keep(&mut self, payload: &Payload, selection: &Selection, now: Instant) {
        if !self.is_needed() {
            self.forgotten = self.position;
            return;
        }
        let event = Logged {
            position: self.position,
            at: now,
            payload: payload.clone(),
            selection: selection.clone(),
        };
        self.bytes += event.weight();
        self.events.push_back(event);
        self.prune(now);
    }

    /// When somebody has to look what has become too old; `None` if that is seen to, or nothing is kept.
    pub(crate) fn watch(&mut self, now: Instant) -> Option<Instant> {
        if self.is_watched || (self.events.is_empty() && self.by_age.is_empty()) {
            return None;
        }
        self.is_watched = true;
        Some(now + self.config.max_disconnection_duration)
    }

    fn prune(&mut self, now: Instant) {
        while let Some(oldest) = self.events.front() {
            let is_old = now.saturating_duration_since(oldest.at) >= self.config.max_disconnection_duration;
            let is_too_much =
                self.events.len() > self.config.max_packets || self.bytes > self.config.max_bytes;
            if !is_old && !is_too_much {
                return;
            }
            self.forgotten = oldest.position;
            self.bytes -= oldest.weight();
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

    /// Keeps a disconnected session. Returns the sockets of sessions that have to make room for it, or nothing if it is
    /// itself too large.
    pub(crate) fn keep_session(&mut self, session: Session, now: Instant) -> Option<Vec<SocketKey>> {
        if session.weight > self.config.max_bytes {
            return None;
        }
        if self.by_age.len() > 2 * self.sessions.len() + 64 {
            self.by_age
                .retain(|(at, private_id)| self.sessions.get(private_id).is_some_and(|kept| kept.0 == *at));
        }
        self.by_age.push_back((now, session.private_id.clone()));
        self.session_bytes += session.weight;
        if let Some((_, former)) = self.sessions.insert(session.private_id.clone(), (now, session)) {
            self.session_bytes -= former.weight;
        }
        let mut forgotten = Vec::new();
        while self.sessions.len() > self.config.max_sessions || self.session_bytes > self.config.max_bytes {
            forgotten.extend(self.forget_oldest());
        }
        Some(forgotten)
    }

    /// Notes that a socket left a room while its disconnect was on its way to the host.
    pub(crate) fn remove_room(&mut self, private_id: &str, key: SocketKey, room: &Room) {
        if let Some((_, session)) = self.sessions.get_mut(private_id).filter(|kept| kept.1.key == key)
            && session.rooms.remove(room)
        {
            session.weight -= room.weight();
            self.session_bytes -= room.weight();
        }
    }

    /// Notes rooms that a socket joined while its disconnect was on its way to the host.
    pub(crate) fn add_rooms(&mut self, private_id: &str, key: SocketKey, rooms: &[Room]) {
        if let Some((_, session)) = self.sessions.get_mut(private_id).filter(|kept| kept.1.key == key) {
            for room in rooms {
                if session.rooms.insert(room.clone()) {
                    session.weight += room.weight();
                    self.session_bytes += room.weight();
                }
            }
        }
    }

    /// Drops the events and sessions whose time is up. Returns the sockets of these sessions, and when to look again.
    pub(crate) fn expire(&mut self, now: Instant) -> (Vec<SocketKey>, Option<Instant>) {
        self.prune(now);
        let mut forgotten = Vec::new();
        while let Some((since, _)) = self.by_age.front() {
            if now.saturating_duration_since(*since) < self.config.max_disconnection_duration {
                break;
            }
            forgotten.extend(self.forget_oldest());
        }
        self.drop_unneeded();
        let oldest = self.events.front().map(|event| event.at);
        let oldest = oldest.into_iter().chain(self.by_age.front().map(|(since, _)| *since)).min();
        // Not at the time of each event on its own: there may be thousands in a second.
        let soonest = now + self.config.max_disconnection_duration / 16;
        let next = oldest.map(|since| soonest.max(since + self.config.max_disconnection_duration));
        self.is_watched = next.is_some();
        (forgotten, next)
    }

    fn forget_oldest(&mut self) -> Option<SocketKey> {
        let (at, private_id) = self.by_age.pop_front()?;
        // The session may have been recovered, and lost once more, since then.
        self.sessions.get(&private_id).filter(|kept| kept.0 == at)?;
        self.take_session(&private_id).map(|(_, session)| session.key)
    }

    fn take_session(&mut self, private_id: &str) -> Option<(Instant, Session)> {
        let taken = self.sessions.remove(private_id)?;
        self.session_bytes -= taken.1.weight;
        Some(taken)
    }

    /// Gives a session back to a client that names it, once. The client then [came](Self::client_connected).
    ///
    /// `Err` holds the socket of a session that existed but cannot be recovered without loss.
    pub(crate) fn restore(
        &mut self,
        private_id: &str,
        offset: Option<&str>,
        now: Instant,
    ) -> Result<Restored, Option<SocketKey>> {
        self.prune(now);
        let (at, session) = self.take_session(private_id).ok_or(None)?;
        if now.saturating_duration_since(at) > self.config.max_disconnection_duration {
            return Err(Some(session.key));
        }
        let seen = match offset {
            None => Some(session.connected_at),
            Some(offset) => self.parse(offset).filter(|position| *position <= self.position),
        };
        let Some(seen) = seen.filter(|seen| self.is_complete(&session, *seen)) else {
            return Err(Some(session.key));
        };
        let restored = Restored { session, seen };
        if self.missed_bytes(&restored) > self.replay.max_bytes {
            return Err(Some(restored.session.key));
        }
        self.client_connected();
        Ok(restored)
    }

    /// What the frames that a session missed will take, at most.
    fn missed_bytes(&self, restored: &Restored) -> usize {
        let per_packet = self.replay.packet_overhead;
        let bytes = |payload: &Payload| payload.len() + per_packet * (1 + payload.attachments().len());
        self.missed(restored).map(|(_, payload)| bytes(payload)).sum()
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
            .filter(|event| event.selection.means(|room| restored.session.rooms.contains(room)))
            .map(|event| (event.position, &event.payload))
    }
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
        let replay = ReplayLimit { max_bytes: 1000, packet_overhead: 100 };
        let mut log = Log::new(Recovery::default(), replay);
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
