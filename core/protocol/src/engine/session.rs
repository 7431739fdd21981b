//! The life of one Engine.IO session: heartbeat, upgrade, close.
//!
//! See <https://socket.io/docs/v4/engine-io-protocol/#protocol> and, for what the document leaves open, the
//! notes at each rule below.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::engine::{
    Action, CloseReason, ControlPacket, Data, Packet, PacketType, Protocol, TransportKind, UpgradeRefused,
};

/// The state machine of one session.
///
/// It is open from the start and does no I/O. The contract with its owner:
/// - Every input (`receive`, `decode_failed`, `upgrade_requested`, `transport_lost`, `close`, `handle_timeout`)
///   is followed by [`poll_action`](Self::poll_action) until that returns `None`; the actions are carried out
///   in that order.
/// - [`poll_timeout`](Self::poll_timeout) is asked after every input; when that moment has come,
///   [`handle_timeout`](Self::handle_timeout) is called.
/// - `now` never goes back.
/// - Each `upgrade_requested` that succeeds is answered by exactly one [`Action::Upgraded`] or
///   [`Action::UpgradeFailed`].
/// - [`Action::Closed`] comes exactly once, and after it every input is ignored. Only the answer to an upgrade may
///   follow: a client whose probe was answered has stopped polling, so when the server ends the session it hears of
///   that on the WebSocket, where its upgrade is still taken.
/// - Messages are not sent through the session: they go by [`transport`](Self::transport), which is the old one
///   until the action `Upgraded`.
///
/// ```
/// use std::time::Instant;
/// use ferrio_protocol::engine::{
///     Action, CloseReason, Data, Protocol, Session, SessionConfig, TransportKind::WebSocket, decode_text,
/// };
///
/// let mut now = Instant::now();
/// let mut session = Session::new(SessionConfig::default(), Protocol::V4, WebSocket, now);
/// let packet = decode_text(Protocol::V4, "4hello")?;
/// assert_eq!(session.receive(WebSocket, packet, now), Some(Data::Text("hello")));
///
/// // The client falls silent: it is sent a ping, does not answer, and is given up.
/// let mut actions = Vec::new();
/// while let Some(due) = session.poll_timeout() {
///     now = due;
///     session.handle_timeout(now);
///     actions.extend(std::iter::from_fn(|| session.poll_action()));
/// }
/// assert!(matches!(actions[..], [Action::Send { .. }, Action::Closed(CloseReason::PingTimeout)]));
/// # Ok::<(), ferrio_protocol::engine::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Session {
    protocol: Protocol,
    transport: TransportKind,
    is_open: bool,
    heartbeat: Heartbeat,
    upgrade: Upgrade,
    /// Set while the owner does not read what the peer sends: since when, and for how many reasons.
    unread: Option<(Instant, usize)>,
    config: SessionConfig,
    was_closed_by_packet: bool,
    /// Without an allocation while nothing was ever due, which is so for a client that has just connected.
    actions: VecDeque<Action>,
}

/// The times and permissions of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// How long after a heartbeat the next ping is due. Default: 25 s.
    pub ping_interval: Duration,
    /// How long a peer may take to answer a ping. Default: 20 s.
    pub ping_timeout: Duration,
    /// How long a probed transport may take to become the transport. Default: 10 s.
    pub upgrade_timeout: Duration,
    /// Whether a polling session may move to WebSocket. Default: yes.
    pub allow_upgrades: bool,
}

impl Default for SessionConfig {
    /// The defaults of the official server.
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            allow_upgrades: true,
        }
    }
}

impl SessionConfig {
    /// How long a client of revision 3 may take from one ping to the next.
    const fn longest_silence(&self) -> Duration {
        self.ping_interval.saturating_add(self.ping_timeout)
    }
}

#[derive(Clone, Copy, Debug)]
enum Heartbeat {
    /// Revision 4: the next ping is due then.
    Quiet(Instant),
    /// Revision 4: a ping is out. Another packet may put the deadline off, but only once: a peer that floods
    /// while it never answers pings must still time out.
    AwaitingPong { deadline: Instant, is_put_off: bool },
    /// Revision 3: the client has to ping until then.
    AwaitingPing(Instant),
}

#[derive(Clone, Copy, Debug)]
enum Upgrade {
    Idle,
    Running { deadline: Instant, is_probed: bool },
}

impl Session {
    /// Starts an open session. Sending the [`handshake`](crate::engine::handshake()) is up to the owner.
    pub fn new(config: SessionConfig, protocol: Protocol, transport: TransportKind, now: Instant) -> Self {
        let heartbeat = match protocol {
            Protocol::V4 => Heartbeat::Quiet(later(now, config.ping_interval)),
            Protocol::V3 => Heartbeat::AwaitingPing(later(now, config.longest_silence())),
        };
        Self {
            protocol,
            transport,
            is_open: true,
            heartbeat,
            upgrade: Upgrade::Idle,
            unread: None,
            config,
            was_closed_by_packet: false,
            actions: VecDeque::new(),
        }
    }

    /// Takes in a packet, and returns the data of a message for the layer above.
    pub fn receive<'a>(&mut self, from: TransportKind, packet: Packet<'a>, now: Instant) -> Option<Data<'a>> {
        if from != self.transport {
            self.receive_probe(from, &packet, now);
            return None;
        }
        if !self.is_open {
            return None;
        }
        if let Heartbeat::AwaitingPong { is_put_off: false, .. } = self.heartbeat {
            self.put_off_ping_timeout(packet.kind, now);
        }
        match packet.kind {
            PacketType::Message => return Some(packet.data),
            PacketType::Ping | PacketType::Pong => self.receive_heartbeat(packet.kind, now),
            PacketType::Close => {
                self.was_closed_by_packet = true;
                self.close(CloseReason::TransportClose);
            }
            // The official server ignores these three on an established transport.
            PacketType::Open | PacketType::Upgrade | PacketType::Noop => {}
        }
        None
    }

    /// Whether the peer ended the session by a close packet, not by the end of its transport.
    pub fn was_closed_by_packet(&self) -> bool {
        self.was_closed_by_packet
    }

    /// Takes note that something undecodable came: it ends the session, or the upgrade when the probe sent it.
    pub fn decode_failed(&mut self, from: TransportKind) {
        if from == self.transport {
            self.close(CloseReason::ParseError);
        } else {
            self.fail_upgrade();
        }
    }

    /// Takes note of a WebSocket that came for this session, and begins to wait for its probe.
    ///
    /// # Errors
    /// The session goes on as if the WebSocket had not come.
    pub fn upgrade_requested(&mut self, now: Instant) -> Result<(), UpgradeRefused> {
        if !self.is_open {
            return Err(UpgradeRefused::Closed);
        }
        if self.is_upgrading() {
            return Err(UpgradeRefused::AlreadyUpgrading);
        }
        if self.transport == TransportKind::WebSocket {
            return Err(UpgradeRefused::AlreadyUpgraded);
        }
        if !self.config.allow_upgrades {
            return Err(UpgradeRefused::NotAllowed);
        }
        self.upgrade =
            Upgrade::Running { deadline: later(now, self.config.upgrade_timeout), is_probed: false };
        Ok(())
    }

    /// Takes note that the owner does not read what the peer sends for a while: its silence means nothing then. Each
    /// call is followed by one of [`reading_resumed`](Self::reading_resumed).
    ///
    /// A ping timeout that comes up meanwhile is put off, and the peer is sent another packet, so that one that is gone
    /// can still be noticed by its owner, who cannot write to it any more.
    pub fn reading_paused(&mut self, now: Instant) {
        let (since, n_reasons) = self.unread.unwrap_or((now, 0));
        self.unread = Some((since, n_reasons + 1));
    }

    /// Takes note that the owner reads again. The peer gets back the time that it could not be heard.
    pub fn reading_resumed(&mut self, now: Instant) {
        let Some((since, n_reasons)) = self.unread else { return };
        if n_reasons > 1 {
            self.unread = Some((since, n_reasons - 1));
            return;
        }
        self.unread = None;
        let missed = now.saturating_duration_since(since);
        match &mut self.heartbeat {
            Heartbeat::Quiet(_) => {}
            Heartbeat::AwaitingPong { deadline, .. } | Heartbeat::AwaitingPing(deadline) => {
                *deadline = later(*deadline, missed);
            }
        }
    }

    /// Takes note that a transport is gone, in good order or by an error.
    ///
    /// Losing the probe only fails the upgrade; losing the transport ends the session.
    pub fn transport_lost(&mut self, which: TransportKind, is_error: bool) {
        if which == self.transport {
            self.close(if is_error { CloseReason::TransportError } else { CloseReason::TransportClose });
        } else {
            self.fail_upgrade();
        }
    }

    /// Ends the session. Ending it a second time does nothing.
    pub fn close(&mut self, reason: CloseReason) {
        if !self.is_open {
            return;
        }
        if !(self.releases_polls() && reason.is_by_server()) {
            self.fail_upgrade();
        }
        self.is_open = false;
        self.actions.push_back(Action::Closed(reason));
    }

    /// Returns the next thing to do.
    #[inline]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) has to be called; never, when nothing is left to wait for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let heartbeat = self.is_open.then(|| self.heartbeat.deadline());
        let upgrade = match self.upgrade {
            Upgrade::Running { deadline, .. } => Some(deadline),
            Upgrade::Idle => None,
        };
        heartbeat.into_iter().chain(upgrade).min()
    }

    /// Does what is due. Calling it early or late is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Upgrade::Running { deadline, .. } = self.upgrade
            && deadline <= now
        {
            self.fail_upgrade();
        }
        if !self.is_open || self.heartbeat.deadline() > now {
            return;
        }
        match self.heartbeat {
            Heartbeat::Quiet(due) => {
                self.send(self.transport, ControlPacket::Ping);
                // A timer that is a little late must not put off the timeout, too. The client still gets half the time.
                let timeout = self.config.ping_timeout;
                let deadline = later(due, timeout).max(later(now, timeout / 2));
                self.heartbeat = Heartbeat::AwaitingPong { deadline, is_put_off: false };
                self.count_unread_from(now);
            }
            Heartbeat::AwaitingPong { .. } if self.unread.is_some() => {
                self.send(self.transport, ControlPacket::Ping);
                let deadline = later(now, self.config.ping_timeout);
                self.heartbeat = Heartbeat::AwaitingPong { deadline, is_put_off: false };
                self.count_unread_from(now);
            }
            Heartbeat::AwaitingPing(_) if self.unread.is_some() => {
                // A client of revision 3 takes a pong at any time.
                self.send(self.transport, ControlPacket::Pong);
                self.heartbeat = Heartbeat::AwaitingPing(later(now, self.config.longest_silence()));
                self.count_unread_from(now);
            }
            Heartbeat::AwaitingPong { .. } | Heartbeat::AwaitingPing(_) => {
                self.close(CloseReason::PingTimeout);
            }
        }
    }

    /// The time before a deadline was set is not missing from it.
    fn count_unread_from(&mut self, now: Instant) {
        if let Some((since, _)) = &mut self.unread {
            *since = now;
        }
    }

    /// Returns the transport that messages go by.
    #[inline]
    pub const fn transport(&self) -> TransportKind {
        self.transport
    }

    /// Returns the revision that the session speaks.
    #[inline]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Tells whether the session is not over.
    #[inline]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Tells whether a WebSocket is being probed.
    #[inline]
    pub const fn is_upgrading(&self) -> bool {
        matches!(self.upgrade, Upgrade::Running { .. })
    }

    /// Tells whether a poll must be answered at once, with a noop if nothing else waits.
    #[inline]
    pub const fn releases_polls(&self) -> bool {
        matches!(self.upgrade, Upgrade::Running { is_probed: true, .. })
    }

    /// While a WebSocket is probed only a probe and the upgrade may come on it. Without an upgrade this is the
    /// rest of a transport that was given up, and means nothing.
    fn receive_probe(&mut self, from: TransportKind, packet: &Packet<'_>, now: Instant) {
        let Upgrade::Running { is_probed, .. } = &mut self.upgrade else { return };
        match (packet.kind, &packet.data) {
            (PacketType::Ping, Data::Text("probe")) => {
                *is_probed = true;
                self.send(from, ControlPacket::ProbePong);
                self.actions.push_back(Action::ReleasePoll);
            }
            (PacketType::Upgrade, _) => self.finish_upgrade(from, now),
            _ => self.fail_upgrade(),
        }
    }

    fn finish_upgrade(&mut self, to: TransportKind, now: Instant) {
        self.upgrade = Upgrade::Idle;
        self.transport = to;
        // What the client still had to answer by polling, it may answer by the new transport, so that the time
        // for it starts anew. (The official server forgets the deadline here, and then never times out.)
        match &mut self.heartbeat {
            Heartbeat::Quiet(_) => {}
            Heartbeat::AwaitingPong { deadline, .. } => *deadline = later(now, self.config.ping_timeout),
            Heartbeat::AwaitingPing(deadline) => {
                *deadline = later(now, self.config.longest_silence());
            }
        }
        self.actions.push_back(Action::Upgraded);
    }

    fn fail_upgrade(&mut self) {
        if self.is_upgrading() {
            self.upgrade = Upgrade::Idle;
            self.actions.push_back(Action::UpgradeFailed);
        }
    }

    fn receive_heartbeat(&mut self, kind: PacketType, now: Instant) {
        match (self.protocol, kind) {
            (Protocol::V3, PacketType::Ping) => {
                self.send(self.transport, ControlPacket::Pong);
                self.heartbeat = Heartbeat::AwaitingPing(later(now, self.config.longest_silence()));
            }
            // A pong that nobody asked for counts as a sign of life, too: it moves the next ping.
            (Protocol::V4, PacketType::Pong) => {
                self.heartbeat = Heartbeat::Quiet(later(now, self.config.ping_interval));
            }
            // A heartbeat in the wrong direction.
            _ => self.close(CloseReason::TransportError),
        }
    }

    #[cold]
    fn put_off_ping_timeout(&mut self, kind: PacketType, now: Instant) {
        if kind != PacketType::Pong {
            self.heartbeat =
                Heartbeat::AwaitingPong { deadline: later(now, self.config.ping_timeout), is_put_off: true };
        }
    }

    fn send(&mut self, on: TransportKind, packet: ControlPacket) {
        self.actions.push_back(Action::Send { on, packet });
    }
}

impl Heartbeat {
    const fn deadline(&self) -> Instant {
        match *self {
            Self::Quiet(deadline) | Self::AwaitingPong { deadline, .. } | Self::AwaitingPing(deadline) => {
                deadline
            }
        }
    }
}

/// Adds without overflow: for a session, a century is for ever.
fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).unwrap_or_else(|| now + CENTURY)
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[cfg(test)]
mod tests;
