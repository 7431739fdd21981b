//! What stands on the engine.

use std::{any::Any, fmt, future::Future, pin::Pin, sync::Arc, time::Instant};

use ferrio_protocol::engine::{CloseReason, Data};
use http::{Extensions, HeaderMap};

use crate::{
    cors::OriginDecision,
    packet::message::Message,
    request::{Refusal, RequestHead},
    session::{Session, SessionEvent},
};

/// What stands on the engine and gives its messages a meaning: Socket.IO, or an application's own protocol.
///
/// All functions are called on the engine's I/O threads, or by whoever closes a session; what takes long or blocks belongs on
/// other threads. They are called under no lock of the engine, except [`event`](Self::event), so that they may do with their
/// session what they like. For one session they are called in order: `opened`, its messages as they came, `closed` once.
/// Nothing is dispatched dynamically: a server is compiled for its layer.
///
/// The engine waits for the futures as long as they take. It drops them when the client goes, where that can be seen: not
/// while a WebSocket request waits that came by [`serve_channel`](crate::Server::serve_channel) or has bytes behind it. So
/// each should have a time limit of its own.
pub trait Layer: Send + Sync + Sized + 'static {
    /// What the layer keeps with each session, found by [`Session::state`].
    type State: Send + Sync + 'static;

    /// Makes the state of a session that is about to open.
    fn state(&self) -> Self::State;

    /// A session is open. Its open packet is queued; what is sent from here on follows it.
    fn opened(session: &Arc<Session<Self>>) {
        let _ = session;
    }

    /// A message has come.
    fn message(session: &Arc<Session<Self>>, message: Data<'_>, now: Instant);

    /// A session is over. Nothing of it is called any more.
    fn closed(session: &Arc<Session<Self>>, reason: CloseReason) {
        let _ = (session, reason);
    }

    /// The instant has come that [`Session::wake_layer_at`] was told. It may come early, and is harmless then.
    fn timeout(session: &Arc<Session<Self>>, now: Instant) {
        let _ = (session, now);
    }

    /// Something happened on a session that asked for it by [`Session::watch`].
    ///
    /// It may be called under the session's lock, so that the order of events is exact: it must not call the session, but for
    /// what needs no lock: [`id`](Session::id), [`handshake`](Session::handshake), [`protocol`](Session::protocol),
    /// [`state`](Session::state), [`layer`](Session::layer), [`watch`](Session::watch), [`watches`](Session::watches). Anything
    /// else would wait for itself.
    fn event(session: &Arc<Session<Self>>, event: SessionEvent<'_>) {
        let _ = (session, event);
    }

    /// Whether a message has to wait. `None`: it may be taken now. Otherwise nothing is read from the client until the
    /// future is ready, and its silence is not held against it; the message is taken while the [`Turn`] lives.
    ///
    /// Heartbeats wait only for a layer that is told of them by [`event`](Self::event), and are no `message` then; what ends
    /// a session never does. The future also has to end when the session does.
    fn backpressure(session: &Arc<Session<Self>>, message: Option<&Data<'_>>) -> Option<Wait> {
        let _ = (session, message);
        None
    }

    /// Decides whether a request may open a session.
    fn admit(&self, head: &RequestHead) -> impl Future<Output = Result<Admitted, Refusal>> + Send {
        let _ = head;
        async { Ok(Admitted::default()) }
    }

    /// Decides which origin may read the answer to a request. Asked with [`Origin::Ask`](crate::Origin::Ask), once for a
    /// session.
    fn origin(&self, head: &RequestHead) -> impl Future<Output = Result<OriginDecision, Refusal>> + Send {
        let _ = head;
        async { Ok(OriginDecision::Refused) }
    }

    /// Adds headers to the answer to a request of a session, or replaces those that it has; `is_first` when the request opens
    /// it. Called only while [`Server::ask_for_headers`](crate::Server::ask_for_headers) is on, and not for a request whose
    /// head says by [`AnswerInHand`](crate::AnswerInHand) that the host itself sends the answer.
    fn headers(
        &self,
        head: &RequestHead,
        is_first: bool,
        headers: &mut HeaderMap,
    ) -> impl Future<Output = ()> + Send {
        let _ = (head, is_first, headers);
        async {}
    }

    /// A request was refused.
    fn refused(&self, head: &RequestHead, refusal: &Refusal) {
        let _ = (head, refusal);
    }
}

/// What the layer says of a session that may open.
#[derive(Default)]
pub struct Admitted {
    /// The session's id. `None`: a random one. It has to be one that nobody can guess, and that no other session has;
    /// otherwise the request is refused.
    pub id: Option<Arc<str>>,
    /// What is added to the extensions of the request's head.
    pub extensions: Extensions,
    /// What is sent first, behind the open packet and with it.
    pub messages: Vec<Message>,
    /// Dropped when the session is open, and when it never will be.
    pub guard: Option<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admitted")
    }
}

/// A message's wait for its turn.
pub type Wait = Pin<Box<dyn Future<Output = Turn> + Send>>;

/// The right of one message to be taken. Dropped when it was.
pub type Turn = Box<dyn Any + Send>;
