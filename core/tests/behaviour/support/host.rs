//! The application's side: takes one event after the other and insists on its kind.

use std::sync::Arc;

use ferrio::{
    Ack, AckOutcome, ConnectRequest, DisconnectedSocket, Events, HostEvent, Payload, SessionEvent, Socket,
    SocketKey, Writes,
};

use super::in_time;

pub(crate) struct Host {
    events: Events,
}

impl Host {
    pub(crate) fn new(events: Events) -> Self {
        Self { events }
    }

    pub(crate) async fn next(&mut self) -> HostEvent {
        in_time(self.events.next()).await.expect("the server is open")
    }

    /// Answers the question that comes next, whether this namespace shall exist.
    pub(crate) async fn answer_namespace(&mut self, expected: &str, exists: bool) {
        match self.next().await {
            HostEvent::Namespace { name, answer, .. } if &*name == expected => answer.send(exists),
            other => panic!("a question about {expected} was due, not {other:?}"),
        }
    }

    /// The next event; `None` once the server is closed and everything was taken.
    pub(crate) async fn next_or_end(&mut self) -> Option<HostEvent> {
        in_time(self.events.next()).await
    }

    pub(crate) async fn connect(&mut self) -> (Arc<Socket>, Payload, ConnectRequest) {
        match self.next().await {
            HostEvent::Connect { socket, auth, connect_request } => (socket, auth, connect_request),
            other => panic!("a connect was due, not {other:?}"),
        }
    }

    /// Lets the next client in.
    pub(crate) async fn accept(&mut self) -> Arc<Socket> {
        let (socket, _, connect_request) = self.connect().await;
        connect_request.accept(&mut Writes::new()).unwrap();
        socket
    }

    /// The socket of a client that has left before it was let in or refused.
    pub(crate) async fn connect_aborted(&mut self) -> Arc<Socket> {
        match self.next().await {
            HostEvent::ConnectAborted { socket: Some(socket), .. } => socket,
            other => panic!("a withdrawal was due, not {other:?}"),
        }
    }

    /// The connection that has ended, and why.
    pub(crate) async fn connection_end(&mut self) -> (Arc<str>, &'static str) {
        match self.next().await {
            HostEvent::Session { connection, event: SessionEvent::Closed(reason) } => {
                (connection.id().clone(), reason.as_str())
            }
            other => panic!("the end of a connection was due, not {other:?}"),
        }
    }

    pub(crate) async fn event(&mut self) -> (Arc<Socket>, Payload, Option<Ack>) {
        match self.next().await {
            HostEvent::Event { socket, payload, ack, .. } => (socket, payload, ack),
            other => panic!("an event was due, not {other:?}"),
        }
    }

    pub(crate) async fn disconnected(&mut self) -> DisconnectedSocket {
        match self.next().await {
            HostEvent::Disconnect(disconnected) => disconnected,
            other => panic!("a disconnect was due, not {other:?}"),
        }
    }

    /// The reason of the disconnect that comes next.
    pub(crate) async fn reason(&mut self) -> &'static str {
        self.disconnected().await.reason().as_str()
    }

    pub(crate) async fn ack(&mut self) -> (u64, AckOutcome) {
        match self.next().await {
            HostEvent::Ack { token, outcome } => (token, outcome),
            other => panic!("an ack was due, not {other:?}"),
        }
    }

    pub(crate) async fn forgotten(&mut self) -> SocketKey {
        match self.next().await {
            HostEvent::Forget { key } => key,
            other => panic!("the end of a session was due, not {other:?}"),
        }
    }

    /// Takes what waits.
    pub(crate) fn drain(&self, into: &mut Vec<HostEvent>) {
        self.events.drain(usize::MAX, into);
    }

    /// Sees that nothing waits at the moment.
    pub(crate) fn assert_silent(&self) {
        let mut waiting = Vec::new();
        self.drain(&mut waiting);
        assert!(waiting.is_empty(), "nothing was due, not {waiting:?}");
    }
}
