//! The queue on which the core tells the host what happened.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    ack::{AckOutcome, Reply},
    admission::Admission,
    backpressure::{Budget, Credit, EVENT_OVERHEAD},
    config::Limits,
    cors::OriginDecision,
    departure::Departure,
    handshake::{Handshake, RequestHead},
    metrics::Counters,
    payload::Payload,
    reason::DisconnectReason,
    rooms::RoomEvent,
    socket::{Socket, SocketKey},
};

/// Something that happened, or that the host is asked.
///
/// For one socket the order is exact: its connect first, its events in the order of their arrival, its disconnect
/// last. No event follows when the host itself has put the socket out: what was queued of it is passed over.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostEvent {
    /// May this request open a session? Only with [`ask_allow_request`](crate::Config::ask_allow_request).
    Request {
        /// The request.
        head: Arc<RequestHead>,
        /// `Err` holds the message that the client gets. Dropped without an answer, the request is refused.
        answer: Answer<Result<(), String>>,
    },
    /// Which origin may read the answer to this request? Only with [`Origin::Host`](crate::Origin::Host).
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
        /// Make the namespace before `true` is sent. Dropped without an answer, the client is refused.
        answer: Answer<bool>,
    },
    /// A client wants to join a namespace.
    Connect {
        /// The socket it will be.
        socket: Arc<Socket>,
        /// What the client sent along, an object or nothing.
        auth: Payload,
        /// Takes the decision.
        admission: Admission,
    },
    /// A client has gone before it was let in or refused: there is nothing to decide any more.
    Withdrawn {
        /// The name of the namespace that it wanted to join.
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
        reply: Option<Reply>,
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
    /// A socket left its namespace.
    Disconnect(Departure),
    /// A connection has ended, and all its sockets have left. Only where [`Connection::watch`] asked for it.
    ///
    /// [`Connection::watch`]: crate::Connection::watch
    ConnectionEnd {
        /// The connection's id.
        id: Arc<str>,
        /// Why.
        reason: DisconnectReason,
    },
    /// A room changed. Only with [`room_events`](crate::Config::room_events).
    Room(RoomEvent),
    /// A session that could have been recovered will not be: what the host kept for the socket may go.
    Forget {
        /// The socket that had the session.
        key: SocketKey,
    },
}

impl HostEvent {
    /// Bytes that a peer made the server hold until the host has taken the event.
    fn weight(&self) -> usize {
        EVENT_OVERHEAD
            + match self {
                Self::Event { payload, .. } => payload.len(),
                Self::Connect { auth, socket, .. } => {
                    CONNECT_OVERHEAD + auth.len() + socket.handshake().head.n_bytes()
                }
                Self::Namespace { name, auth, .. } => name.len() + auth.len(),
                Self::Ack { outcome, .. } => {
                    outcome.answers.iter().map(|answer| EVENT_OVERHEAD + answer.len()).sum()
                }
                Self::Request { head, .. } | Self::Origin { head, .. } => head.n_bytes(),
                Self::Disconnect(_)
                | Self::Withdrawn { .. }
                | Self::ConnectionEnd { .. }
                | Self::Room(_)
                | Self::Forget { .. } => 0,
            }
    }

    /// Whether it is an event of a socket that the host has put out meanwhile.
    fn is_void(&self) -> bool {
        matches!(self, Self::Event { socket, .. } if socket.is_put_out())
    }
}

/// What a client costs that the host has not heard of yet: its connection, its socket, and its place with the HTTP
/// server. Measured with a host that was busy while 20 000 clients came: 19 KiB for each.
const CONNECT_OVERHEAD: usize = 16 << 10;

/// Of the places in the queue, one in so many may be as many sessions that were opened since the host last looked.
/// Further ones take a place, though their clients have not asked for a namespace yet: a host that is busy must not find
/// any number of them. One that is not looks often enough for clients that go on to ask.
const UNSEEN_SESSIONS: usize = 16;

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

/// The sending side, shared by everything in the server.
///
/// It is bounded by its [`Budget`], which those look at who take messages from clients, and nothing is dropped; what
/// does not come from a message (disconnects, timeouts) is bounded by the number of sockets.
pub(crate) struct HostQueue {
    state: Mutex<State>,
    pub(crate) budget: Budget,
    /// Sessions that were opened since the host last drained.
    n_unseen: AtomicUsize,
    max_unseen: usize,
    wake: Box<dyn Fn() + Send + Sync>,
    /// For consumers that await events in Rust.
    consumer: AtomicWaker,
}

#[derive(Default)]
struct State {
    /// Each with its weight; those without an event only take a place.
    items: VecDeque<(Option<HostEvent>, usize)>,
    bytes: usize,
    /// Whether the host was woken and has not yet found the queue empty.
    is_awake: bool,
    is_closed: bool,
}

impl HostQueue {
    pub(crate) fn new(limits: &Limits, wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            state: Mutex::default(),
            budget: Budget::new(limits),
            n_unseen: AtomicUsize::new(0),
            max_unseen: limits.host_queue / UNSEEN_SESSIONS,
            wake,
            consumer: AtomicWaker::new(),
        }
    }

    /// Appends an event, and wakes the host if it sleeps.
    pub(crate) fn push(&self, event: HostEvent) {
        let weight = event.weight();
        self.append(Some(event), weight);
    }

    /// Takes the place of a client that is about to come, whose request is so long, until the host has got that far.
    pub(crate) fn push_placeholder(&self, bytes: usize) {
        self.append(None, CONNECT_OVERHEAD + bytes);
    }

    /// Whether a client that is about to come is one of many whom the host has not seen.
    pub(crate) fn is_unseen(&self) -> bool {
        self.n_unseen.fetch_add(1, Ordering::Relaxed) >= self.max_unseen
    }

    fn append(&self, event: Option<HostEvent>, weight: usize) {
        let mut state = self.state.lock();
        if state.is_closed {
            // Dropped outside of the lock: an event's drop may push in turn.
            drop(state);
            return;
        }
        state.bytes += weight;
        state.items.push_back((event, weight));
        self.budget.take(self.budget.units(weight));
        let must_wake = !mem::replace(&mut state.is_awake, true);
        drop(state);
        if must_wake {
            (self.wake)();
            self.consumer.wake();
        }
    }

    /// Refuses all further events. What waits can still be drained.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        (self.wake)();
        self.consumer.wake();
        self.budget.close();
    }

    fn drain(&self, max: usize, into: &mut Vec<HostEvent>) -> Drained {
        let (mut n_bytes, mut n_units) = (0, 0);
        // Dropped outside of the lock: that may push in turn.
        let mut void = Vec::new();
        self.n_unseen.store(0, Ordering::Relaxed);
        let mut state = self.state.lock();
        let n_taken = max.min(state.items.len());
        into.reserve(n_taken);
        for (event, weight) in state.items.drain(..n_taken) {
            n_bytes += weight;
            n_units += self.budget.units(weight);
            match event {
                Some(event) if event.is_void() => void.push(event),
                Some(event) => into.push(event),
                None => {}
            }
        }
        state.bytes -= n_bytes;
        let drained = match (state.items.is_empty(), state.is_closed) {
            (false, _) => Drained::MoreWaits,
            (true, false) => Drained::Empty,
            (true, true) => Drained::Closed,
        };
        state.is_awake = drained == Drained::MoreWaits;
        drop(state);
        self.budget.give_back(n_units);
        drained
    }

    pub(crate) fn measure(&self, counters: &Counters) {
        let state = self.state.lock();
        counters.host_queue_depth.set(state.items.len());
        counters.host_queue_bytes.set(state.bytes);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drained {
    MoreWaits,
    Empty,
    Closed,
}

/// The host's side of the queue. There is one to a server.
pub struct Events(pub(crate) Arc<HostQueue>);

impl Events {
    /// Moves up to `max` events into `into`, and tells whether more wait.
    ///
    /// While it returns `true` the host is not woken again: it drains once more in a later turn. After `false` the
    /// next event wakes it. A host that puts a socket out while it goes through a batch passes over the socket's
    /// events that follow in it.
    pub fn drain(&self, max: usize, into: &mut Vec<HostEvent>) -> bool {
        self.0.drain(max, into) == Drained::MoreWaits
    }

    /// Waits for the next event; `None` once the server is closed and everything was taken.
    ///
    /// For hosts written in Rust. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<HostEvent> {
        let mut one = Vec::with_capacity(1);
        poll_fn(|context| {
            self.0.consumer.register(context.waker());
            loop {
                let drained = self.0.drain(1, &mut one);
                return match (one.pop(), drained) {
                    (Some(event), _) => Poll::Ready(Some(event)),
                    (None, Drained::MoreWaits) => continue,
                    (None, Drained::Closed) => Poll::Ready(None),
                    (None, Drained::Empty) => Poll::Pending,
                };
            }
        })
        .await
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.0.close();
        // Nobody will take them any more, and they hold sockets, which hold the server. Dropped after the lock, because
        // their drop may push.
        let items = mem::take(&mut self.0.state.lock().items);
        drop(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_small() {
        // It is moved a few times on its way to the host, and a hundred thousand may wait.
        assert!(size_of::<HostEvent>() <= 96, "{}", size_of::<HostEvent>());
    }
}
