//! The sending half of a session, behind one lock: the session machine, the outbox, and the transports.

use std::time::{Duration, Instant};

use ferrio_protocol::engine::{self as protocol, CloseReason, TransportKind};

use crate::{
    deadlines::DeadlineKey,
    packet::{frame::Frame, outbox::Outbox},
    session::{
        poll::PendingPoll,
        timers::{Timer, Timers},
        writer::{WebSocket, Writer},
    },
};

/// How long a WebSocket that the server closed may take to write what it still has, its close frame last.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// The sending half: the session machine, the outbox, and the transports.
pub(super) struct Io {
    pub(super) machine: protocol::Session,
    pub(super) outbox: Outbox,
    pub(super) poll: Option<PendingPoll>,
    /// The WebSocket, with what is sent before it is the session's transport.
    pub(super) websocket: Option<(WebSocket, Outbox)>,
    pub(super) next_websocket_id: u32,
    /// As what the metrics count the session while it is open.
    pub(super) counted_as: TransportKind,
    /// The one entry among the server's deadlines.
    pub(super) deadline: Option<DeadlineKey>,
    /// What else is due, besides what the state machine knows.
    pub(super) timers: Timers,
    /// Whether the poll that waits came during an upgrade.
    pub(super) is_poll_late: bool,
    /// What is kept back while nothing may follow a packet that left alone.
    pub(super) kept_back: Option<Box<Outbox>>,
    /// Whether the session is in some [`Writes`](crate::Writes) already.
    pub(super) flush_is_due: bool,
    /// In which turn of the host something was last sent; see [`Writes::in_turn`](crate::Writes::in_turn).
    pub(super) last_turn: u32,
    /// Whether a POST is being read.
    pub(super) is_posting: bool,
    /// What was wrong when the transport failed.
    pub(super) fault: Option<&'static str>,
    pub(super) announcement: Announcement,
}

/// What the layer has yet to be told of the session's beginning.
pub(super) enum Announcement {
    /// That it has opened.
    Opening,
    /// That it has opened, and then that it ended, for this reason and counted as one on this transport.
    OpeningAndEnd(CloseReason, TransportKind),
    /// Nothing.
    Made,
}

impl Io {
    pub(super) fn new(machine: protocol::Session) -> Self {
        Self {
            counted_as: machine.transport(),
            machine,
            outbox: Outbox::default(),
            poll: None,
            websocket: None,
            next_websocket_id: 0,
            deadline: None,
            timers: Timers::default(),
            is_poll_late: false,
            kept_back: None,
            flush_is_due: false,
            last_turn: 0,
            is_posting: false,
            fault: None,
            announcement: Announcement::Opening,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.machine.poll_timeout().into_iter().chain(self.timers.next()).min()
    }

    /// Ends the pause behind a packet that left alone: what was kept back waits to be written now.
    pub(super) fn end_pause(&mut self) {
        if let Some(mut kept_back) = self.kept_back.take() {
            self.outbox.append(&mut kept_back);
            self.timers.clear(Timer::Pause);
        }
    }

    /// Whether a packet would leave at once, which is what a volatile event needs.
    pub(super) fn is_writable(&self) -> bool {
        self.outbox.is_empty() && self.is_transport_ready()
    }

    /// Whether the transport takes something at once.
    pub(super) fn is_transport_ready(&self) -> bool {
        match self.machine.transport() {
            TransportKind::Polling => self.poll.is_some(),
            TransportKind::WebSocket => {
                self.websocket.as_ref().is_some_and(|(websocket, _)| !websocket.is_blocked)
            }
        }
    }

    /// Whether the messages of a WebSocket are passed in and out by the host.
    pub(super) fn is_carried_by_host(&self) -> bool {
        matches!(&self.websocket, Some((WebSocket { writer: Writer::Messages, .. }, _)))
    }

    /// Whether writing is no call of the system.
    pub(super) fn is_light(&self) -> bool {
        self.machine.transport() == TransportKind::Polling
            || matches!(&self.websocket, Some((WebSocket { writer: Writer::Channel(_), .. }, _)))
    }

    /// Whether nothing was sent yet in this turn of the host. Without a number it has none.
    pub(super) fn is_new_turn(&self, turn: u32) -> bool {
        turn == 0 || turn != self.last_turn
    }

    /// The WebSocket, and the outbox that it empties at the moment.
    pub(super) fn websocket_mut(&mut self) -> Option<(&mut WebSocket, &mut Outbox)> {
        let is_transport = self.machine.transport() == TransportKind::WebSocket;
        let (websocket, of_probe) = self.websocket.as_mut()?;
        Some((websocket, if is_transport { &mut self.outbox } else { of_probe }))
    }

    pub(super) fn outbox_of(&mut self, transport: TransportKind) -> &mut Outbox {
        match &mut self.websocket {
            Some((_, of_probe)) if transport != self.machine.transport() => of_probe,
            _ => &mut self.outbox,
        }
    }

    pub(super) fn new_websocket_id(&mut self) -> u32 {
        let id = self.next_websocket_id;
        self.next_websocket_id = id.wrapping_add(1);
        id
    }

    pub(super) fn attach(&mut self, writer: Writer, compress_from: Option<usize>) -> u32 {
        let id = self.new_websocket_id();
        let websocket = WebSocket { id, writer, is_blocked: false, is_closing: false, close_code: None };
        self.websocket = Some((websocket, Outbox::default()));
        self.timers.clear(Timer::CloseLimit);
        if let Some(threshold) = compress_from
            && let Some((_, outbox)) = self.websocket_mut()
        {
            outbox.compress_from(threshold);
        }
        let is_wanted = self.machine.transport() == TransportKind::WebSocket || self.machine.is_upgrading();
        if !self.machine.is_open() || !is_wanted {
            // The session ended, or gave up waiting, while the handshake was under way.
            self.close_websocket();
        }
        id
    }

    /// Queues the WebSocket's close frame.
    pub(super) fn close_websocket(&mut self) {
        let Some((websocket, outbox)) = self.websocket_mut() else { return };
        if std::mem::replace(&mut websocket.is_closing, true) {
            return;
        }
        outbox.push_control(Frame::close(websocket.close_code));
        // Whoever drives the WebSocket writes it, and then knows that this was the last.
        websocket.is_blocked = true;
        self.timers.set(Timer::CloseLimit, Instant::now() + CLOSE_LIMIT);
    }

    /// Drops the WebSocket. Its task then finds that it drives none any more.
    pub(super) fn drop_websocket(&mut self) -> Option<WebSocket> {
        self.timers.clear(Timer::CloseLimit);
        self.websocket.take().map(|(websocket, _)| websocket)
    }
}
