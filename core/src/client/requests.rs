//! What the host is asked about requests, and how long a request may wait for its word.

use std::sync::{Arc, atomic::Ordering};

use ferrio_engine::{Admitted, OriginDecision, Refusal, RequestHead};
use http::HeaderMap;
use tokio::time::timeout;

use crate::{
    event::{Answer, HostEvent},
    queue::backpressure::Pass,
    socket_io::SocketIo,
};

const TOO_MANY_REQUESTS: Refusal = Refusal::unavailable("Too many requests");
const BUSY: Refusal = Refusal::unavailable("Server is busy");

/// Decides whether a request may open a session: the host does where it wants to, and while it is behind no more clients
/// come in than it gets through.
pub(super) async fn admit(server: &SocketIo, head: &RequestHead) -> Result<Admitted, Refusal> {
    if server.config.ask_allow_request || server.asks_about_requests.load(Ordering::Relaxed) {
        let question = |answer| HostEvent::Request { head: Arc::new(head.clone()), answer };
        return ask(server, question).await?.unwrap_or_else(|| Err(Refusal::forbidden(String::new())));
    }
    if !server.queue.budget.has_room() {
        let _waiting = Waiting::begin(server)?;
        let turn = turn(server).await?;
        server.queue.push_placeholder(head.n_bytes());
        drop(turn);
    } else if server.queue.is_unseen() {
        server.queue.push_placeholder(head.n_bytes());
    }
    Ok(Admitted::default())
}

/// Asks the host which origin may read the answer to a request. Nobody's, when it does not say.
pub(super) async fn origin(server: &SocketIo, head: &RequestHead) -> Result<OriginDecision, Refusal> {
    let question = |answer| HostEvent::Origin { head: Arc::new(head.clone()), answer };
    Ok(ask(server, question).await?.unwrap_or(OriginDecision::Refused))
}

/// Asks the host which headers are added to an answer. None, when it is too far behind to say.
pub(super) async fn headers(server: &SocketIo, head: &RequestHead, is_first: bool, headers: &mut HeaderMap) {
    let asking = async {
        // A client that leaves takes its request along, but not the question: so that waits for room.
        let turn = if server.queue.budget.has_room() { None } else { Some(server.queue.budget.room().await) };
        let (answer, decision) = Answer::new();
        server.queue.push(HostEvent::Headers { head: Arc::new(head.clone()), is_first, answer });
        drop(turn);
        decision.await
    };
    if let Ok(Ok(added)) = timeout(server.config.connect_timeout, asking).await {
        for name in added.keys() {
            headers.remove(name);
        }
        for (name, value) in &added {
            headers.append(name, value.clone());
        }
    }
}

/// Tells the host of a refusal, where it wants to know.
pub(super) fn refused(server: &SocketIo, head: &RequestHead, refusal: &Refusal) {
    if server.tells_refusals.load(Ordering::Relaxed) && server.queue.budget.has_room() {
        let (head, refusal) = (Arc::new(head.clone()), Box::new(refusal.clone()));
        server.queue.push(HostEvent::Refused { head, refusal });
    }
}

/// Asks the host about a request, and waits for its word as long as a client has to connect to a namespace. `None` when it
/// says nothing.
async fn ask<T>(
    server: &SocketIo,
    question: impl FnOnce(Answer<T>) -> HostEvent,
) -> Result<Option<T>, Refusal> {
    let _waiting = Waiting::begin(server)?;
    let (answer, decision) = Answer::new();
    let turn = turn(server).await?;
    server.queue.push(question(answer));
    drop(turn);
    let decision = timeout(server.config.connect_timeout, decision).await;
    Ok(decision.ok().and_then(Result::ok))
}

/// Waits until the host has caught up, in line with the messages that wait for it.
async fn turn(server: &SocketIo) -> Result<Pass, Refusal> {
    timeout(server.config.connect_timeout, server.queue.budget.room()).await.map_err(|_| BUSY)
}

/// A request's place among those without a session that wait for the host.
struct Waiting<'a>(&'a SocketIo);

impl<'a> Waiting<'a> {
    fn begin(server: &'a SocketIo) -> Result<Self, Refusal> {
        let max = server.config.limits.max_waiting_requests;
        if !server.counters.requests_waiting.try_add_one(max) {
            return Err(TOO_MANY_REQUESTS);
        }
        Ok(Self(server))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.counters.requests_waiting.sub(1);
    }
}
