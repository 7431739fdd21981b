//! The acks of one socket: those it owes, and those it is owed.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Instant,
};

use ferrio_engine::{DeadlineKey, Due, Expire};

use crate::{
    Writes,
    acks::{
        AckOutcome, AckStatus,
        waiters::{Collect, Waiter},
    },
    event::{Ack, HostEvent},
    packet::payload::Payload,
    queue::backpressure::Credit,
    socket::{Socket, Stage},
    socket_io::SocketIo,
};

impl Ack {
    /// The client's number for it, with which [`Socket::answer`] gives the same ack.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Answers with an array of arguments. Nothing happens when the client has gone meanwhile.
    pub fn send(self, payload: &Payload, writes: &mut Writes) {
        if let Some(socket) = self.socket.upgrade() {
            socket.answer(self.id, payload, writes);
        }
    }
}

impl Socket {
    /// Gives the ack of this number: [`Ack::send`] for hosts that keep numbers instead of objects. The client
    /// ignores a second one.
    pub fn answer(&self, id: u64, payload: &Payload, writes: &mut Writes) {
        let packet = self.encoder().ack(self.namespace().name(), id, payload);
        self.push_control(&packet, writes);
    }

    /// Waits for an ack until a certain time, or until the socket leaves.
    pub(crate) fn wait_for(self: &Arc<Self>, id: u64, token: u64, until: Option<Instant>) {
        let mut waiters = self.waiters.lock();
        // Under the lock, so that the waiter is found even if its time is up at once.
        let due = || Due::Weak(downgrade(self), id);
        let deadline = until.map(|at| self.namespace().server.deadlines.add(at, due()));
        waiters.insert(id, Waiter::One { token, deadline });
        drop(waiters);
        self.give_up_if_disconnected();
    }

    /// Waits for one of many acks.
    pub(crate) fn wait_for_many(&self, id: u64, collector: &Arc<dyn Collect>) {
        self.waiters.lock().insert(id, Waiter::Many(collector.clone()));
        self.give_up_if_disconnected();
    }

    /// Gives up at once if the socket has left.
    fn give_up_if_disconnected(&self) {
        if matches!(*self.stage.lock(), Stage::Disconnected) {
            self.give_up_waiting();
        }
    }

    /// Takes an ack of the client.
    pub(crate) fn acked(self: &Arc<Self>, id: u64, payload: Payload) {
        match self.take_waiter(id) {
            None => self.unexpected(id, payload),
            Some(Waiter::Many(collector)) => collector.answer(payload),
            Some(Waiter::One { token, deadline }) => {
                if let Some(deadline) = deadline {
                    self.namespace().server.deadlines.cancel(deadline);
                }
                self.report(token, vec![payload], AckStatus::Complete);
            }
        }
    }

    /// Takes an ack for which the core does not wait; perhaps the host does.
    fn unexpected(self: &Arc<Self>, id: u64, payload: Payload) {
        let server = &self.namespace().server;
        let share = &self.connection().state().share;
        // A client may send any number of them.
        if server.tells_unexpected_acks.load(Ordering::Relaxed) && share.has_room_for_ack() {
            let credit = Credit::new(share, &server.queue.budget, payload.len());
            server.queue.push(HostEvent::UnexpectedAck { socket: self.clone(), id, payload, credit });
        } else {
            server.counters.acks_unexpected.add(1);
        }
    }

    /// Reports an ack that did not come in time.
    pub(crate) fn ack_timed_out(&self, id: u64) {
        if let Some(Waiter::One { token, .. }) = self.take_waiter(id) {
            self.namespace().server.ack_timed_out(token);
        }
    }

    /// Ends the wait for an ack that the host asked of this socket alone; nothing is reported.
    pub fn forget_ack(&self, token: u64) {
        let waiter = self.waiters.lock().remove_token(token);
        if let Some(Waiter::One { deadline: Some(deadline), .. }) = waiter {
            self.namespace().server.deadlines.cancel(deadline);
        }
    }

    /// Ends the wait for acks that have no time limit. The others are reported as missing when their time is up, as in
    /// socket.io.
    pub(crate) fn give_up_waiting(&self) {
        let server = &self.namespace().server;
        // A statement of its own, so that the lock is released.
        let waiters = self.waiters.lock().take();
        for waiter in waiters {
            match waiter {
                Waiter::One { token, deadline: None } => {
                    self.report(token, Vec::new(), AckStatus::Disconnected);
                }
                Waiter::One { token, deadline: Some(deadline) } => {
                    // The entry lives on without the socket. If it fires at this moment it finds no waiter.
                    let due = Due::Weak(downgrade(server), token);
                    if !server.deadlines.replace(deadline, due) {
                        server.ack_timed_out(token);
                    }
                }
                Waiter::Many(collector) if collector.has_deadline() => {}
                Waiter::Many(collector) => collector.gone(),
            }
        }
    }

    fn take_waiter(&self, id: u64) -> Option<Waiter> {
        self.waiters.lock().remove(id)
    }

    fn report(&self, token: u64, answers: Vec<Payload>, status: AckStatus) {
        let outcome = AckOutcome { answers, status };
        self.namespace().server.queue.push(HostEvent::Ack { token, outcome });
    }
}

impl Expire for Socket {
    fn expired(self: Arc<Self>, id: u64, _: DeadlineKey, _: Instant) {
        // One that has left has put another entry in this one's place, or reports the ack itself.
        self.ack_timed_out(id);
    }

    fn server_closed(self: Arc<Self>, id: u64) -> bool {
        self.ack_timed_out(id);
        false
    }
}

/// An ack, by the host's token, whose socket has left: its lack is reported all the same, at its time.
impl Expire for SocketIo {
    fn expired(self: Arc<Self>, token: u64, _: DeadlineKey, _: Instant) {
        self.ack_timed_out(token);
    }

    fn server_closed(self: Arc<Self>, token: u64) -> bool {
        self.ack_timed_out(token);
        false
    }
}

fn downgrade<T: Expire + 'static>(target: &Arc<T>) -> Weak<dyn Expire> {
    let weak: Weak<T> = Arc::downgrade(target);
    weak
}

impl SocketIo {
    /// Reports an ack that did not come in time.
    fn ack_timed_out(&self, token: u64) {
        self.counters.acks_timed_out.add(1);
        let outcome = AckOutcome { answers: Vec::new(), status: AckStatus::TimedOut };
        self.queue.push(HostEvent::Ack { token, outcome });
    }
}
