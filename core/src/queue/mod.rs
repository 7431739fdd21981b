//! The queue on which the core tells the host what happened.

pub(crate) mod backpressure;
pub(crate) mod tap;

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

use crate::{
    config::Limits,
    queue::backpressure::{Budget, EVENT_OVERHEAD},
};

/// What can wait on the queue.
pub trait Queued {
    /// Bytes that a peer made the server hold until the host has taken it.
    fn weight(&self) -> usize;

    /// Whether the host need not hear of it any more.
    fn is_void(&self) -> bool;
}

/// What a client costs that the host has not heard of yet: its connection, its socket, and its place with the HTTP
/// server. Measured with a host that was busy while 20 000 clients came: 19 KiB for each.
pub(crate) const CONNECT_OVERHEAD: usize = 16 << 10;

/// Of the places in the queue, one in so many may be as many sessions that were opened since the host last looked.
/// Further ones take a place, though their clients have not asked for a namespace yet: a host that is busy must not find
/// any number of them. One that is not looks often enough for clients that go on to ask.
const UNSEEN_SESSIONS: usize = 16;

/// The sending side, shared by everything in the server.
///
/// It is bounded by its [`Budget`], which those look at who take messages from clients, and nothing is dropped; what
/// does not come from a message (disconnects, timeouts) is bounded by the number of sockets.
pub(crate) struct HostQueue<E> {
    state: Mutex<State<E>>,
    pub(crate) budget: Arc<Budget>,
    /// Sessions that were opened since the host last drained.
    n_unseen: AtomicUsize,
    max_unseen: usize,
    wake: Box<dyn Fn() + Send + Sync>,
    /// For consumers that await events in Rust.
    consumer: AtomicWaker,
}

struct State<E> {
    /// Each with its weight; those without an event only take a place.
    items: VecDeque<(Option<E>, usize)>,
    bytes: usize,
    /// Whether the host was woken and has not yet found the queue empty.
    is_awake: bool,
    is_closed: bool,
}

impl<E> Default for State<E> {
    fn default() -> Self {
        Self { items: VecDeque::new(), bytes: 0, is_awake: false, is_closed: false }
    }
}

impl<E: Queued> HostQueue<E> {
    pub(crate) fn new(limits: &Limits, wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            state: Mutex::default(),
            budget: Arc::new(Budget::new(limits)),
            n_unseen: AtomicUsize::new(0),
            max_unseen: limits.host_queue / UNSEEN_SESSIONS,
            wake,
            consumer: AtomicWaker::new(),
        }
    }

    /// Appends an event, and wakes the host if it sleeps.
    pub(crate) fn push(&self, event: E) {
        let weight = EVENT_OVERHEAD + event.weight();
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

    fn append(&self, event: Option<E>, weight: usize) {
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

    fn drain(&self, max: usize, into: &mut Vec<E>) -> Drained {
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

    /// How many events wait, and their bytes.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.items.len(), state.bytes)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drained {
    MoreWaits,
    Empty,
    Closed,
}

/// The host's side of the queue. There is one to a server.
pub struct Events<E: Queued>(pub(crate) Arc<HostQueue<E>>);

impl<E: Queued> Events<E> {
    /// Moves up to `max` events into `into`, and tells whether more wait.
    ///
    /// While it returns `true` the host is not woken again: it drains once more in a later turn. After `false` the
    /// next event wakes it. A host that puts a socket out while it goes through a batch passes over the socket's
    /// events that follow in it.
    pub fn drain(&self, max: usize, into: &mut Vec<E>) -> bool {
        self.0.drain(max, into) == Drained::MoreWaits
    }

    /// Waits for the next event; `None` once the server is closed and everything was taken.
    ///
    /// For hosts written in Rust. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<E> {
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

impl<E: Queued> fmt::Debug for Events<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

impl<E: Queued> Drop for Events<E> {
    fn drop(&mut self) {
        self.0.close();
        // Nobody will take them any more, and they hold sockets, which hold the server. Dropped after the lock, because
        // their drop may push.
        let items = mem::take(&mut self.0.state.lock().items);
        drop(items);
    }
}
