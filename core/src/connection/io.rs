//! The sending half of a connection, behind one lock: the session machine, the outbox, and the transports.

use std::time::{Duration, Instant};

use ferrio_protocol::engine::{Session, TransportKind};

use crate::{
    deadlines::DeadlineKey,
    frame::Frame,
    outbox::Outbox,
    polling::PendingPoll,
    wire::{Wire, Writer},
};

/// How long a WebSocket that the server closed may take to write what it still has, its close frame last.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// The sending half: the session machine, the outbox, and the transports.
pub(super) struct Io {
    pub(super) session: Session,
    pub(super) outbox: Outbox,
    pub(super) poll: Option<PendingPoll>,
    /// The WebSocket, with what is sent before it is the session's transport.
    pub(super) wire: Option<(Wire, Outbox)>,
    pub(super) next_wire_id: u32,
    /// As what the metrics count the session while it is open.
    pub(super) counted_as: TransportKind,
    /// The one entry among the server's deadlines.
    pub(super) deadline: Option<DeadlineKey>,
    /// Until when a namespace has to be joined.
    pub(super) join_by: Option<Instant>,
    /// Until when the attachments of a packet have to be complete.
    pub(super) attachments_by: Option<Instant>,
    /// Whether the poll that waits came during an upgrade.
    pub(super) is_poll_late: bool,
    /// Until when a closed WebSocket may take to write what it still has.
    pub(super) drop_wire_at: Option<Instant>,
    /// Until when nothing follows a CONNECT packet, and what would. Only where the operator wants that.
    pub(super) pause: Option<Box<(Instant, Outbox)>>,
    /// Whether the connection is in some [`Writes`](crate::Writes) already.
    pub(super) flush_is_due: bool,
    /// In which turn of the host something was last sent; see [`Writes::in_turn`](crate::Writes::in_turn).
    pub(super) last_turn: u32,
    /// Whether a POST is being read.
    pub(super) is_posting: bool,
}

impl Io {
    pub(super) fn new(session: Session, join_by: Instant) -> Self {
        Self {
            counted_as: session.transport(),
            session,
            outbox: Outbox::default(),
            poll: None,
            wire: None,
            next_wire_id: 0,
            deadline: None,
            join_by: Some(join_by),
            attachments_by: None,
            is_poll_late: false,
            drop_wire_at: None,
            pause: None,
            flush_is_due: false,
            last_turn: 0,
            is_posting: false,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let pause = self.pause.as_ref().map(|pause| pause.0);
        [self.session.poll_timeout(), self.join_by, self.attachments_by, self.drop_wire_at, pause]
            .into_iter()
            .flatten()
            .min()
    }

    /// Ends the pause after a CONNECT packet: what was kept back waits to be written now.
    pub(super) fn end_pause(&mut self) {
        if let Some(mut pause) = self.pause.take() {
            self.outbox.append(&mut pause.1);
        }
    }

    /// Whether a packet would leave at once, which is what a volatile event needs.
    pub(super) fn is_writable(&self) -> bool {
        self.outbox.is_empty()
            && match self.session.transport() {
                TransportKind::Polling => self.poll.is_some(),
                TransportKind::WebSocket => self.wire.as_ref().is_some_and(|(wire, _)| !wire.is_blocked),
            }
    }

    /// Whether writing is no call of the system.
    pub(super) fn is_light(&self) -> bool {
        self.session.transport() == TransportKind::Polling
            || matches!(&self.wire, Some((Wire { writer: Writer::Carried(_), .. }, _)))
    }

    /// Whether nothing was sent yet in this turn of the host. Without a number it has none.
    pub(super) fn is_new_turn(&self, turn: u32) -> bool {
        turn == 0 || turn != self.last_turn
    }

    /// The WebSocket, and the outbox that it empties at the moment.
    pub(super) fn wire_mut(&mut self) -> Option<(&mut Wire, &mut Outbox)> {
        let is_transport = self.session.transport() == TransportKind::WebSocket;
        let (wire, of_probe) = self.wire.as_mut()?;
        Some((wire, if is_transport { &mut self.outbox } else { of_probe }))
    }

    pub(super) fn outbox_of(&mut self, transport: TransportKind) -> &mut Outbox {
        match &mut self.wire {
            Some((_, of_probe)) if transport != self.session.transport() => of_probe,
            _ => &mut self.outbox,
        }
    }

    pub(super) fn new_wire_id(&mut self) -> u32 {
        let id = self.next_wire_id;
        self.next_wire_id = id.wrapping_add(1);
        id
    }

    pub(super) fn attach(&mut self, writer: Writer) -> u32 {
        let id = self.new_wire_id();
        let wire = Wire { id, writer, is_blocked: false, is_closing: false, close_code: None };
        self.wire = Some((wire, Outbox::default()));
        self.drop_wire_at = None;
        let is_wanted = self.session.transport() == TransportKind::WebSocket || self.session.is_upgrading();
        if !self.session.is_open() || !is_wanted {
            // The session ended, or gave up waiting, while the handshake was under way.
            self.close_wire();
        }
        id
    }

    /// Queues the WebSocket's close frame.
    pub(super) fn close_wire(&mut self) {
        let Some((wire, outbox)) = self.wire_mut() else { return };
        if std::mem::replace(&mut wire.is_closing, true) {
            return;
        }
        outbox.push_control(Frame::close(wire.close_code));
        // Whoever drives the WebSocket writes it, and then knows that this was the last.
        wire.is_blocked = true;
        self.drop_wire_at = Some(Instant::now() + CLOSE_LIMIT);
    }
}
