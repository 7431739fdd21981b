//! Socket.IO as a layer of the engine: what it does when a session opens, brings a message, or is over.

use std::{sync::Arc, time::Instant};

use ferrio_engine::{
    Admitted, CloseReason, Data, Layer, OriginDecision, Protocol, Refusal, RequestHead, Wait, Watch,
};
use http::HeaderMap;

use crate::{
    client::{Client, backpressure, connect, disconnect, requests, watch},
    config::Parser,
    event::SessionEvent,
    reason::DisconnectReason,
    receive,
    socket_io::{Connection, SocketIo},
};

impl Layer for SocketIo {
    type State = Client;

    fn state(&self) -> Client {
        Client::new(&self.config.limits)
    }

    fn opened(connection: &Arc<Connection>) {
        if connection.is_watched() {
            watch::push(connection, SessionEvent::Opened);
        }
        if connection.layer().config.parser == Parser::None {
            return;
        }
        let timeout = connection.layer().config.connect_timeout;
        let due = Instant::now() + timeout;
        connection.state().inbound.lock().due.connect = Some(due);
        connection.wake_layer_at(due);
        if connection.protocol() == Protocol::V3 {
            connect::older_client(connection);
        }
    }

    #[inline]
    fn message(connection: &Arc<Connection>, message: Data<'_>, now: Instant) {
        let parser = connection.layer().config.parser;
        if parser == Parser::Application || connection.watches(Watch::MESSAGE) {
            watch::message(connection, &message);
        }
        if matches!(parser, Parser::Json | Parser::Msgpack) {
            receive::message(connection, message, now);
        }
    }

    fn event(connection: &Arc<Connection>, event: ferrio_engine::SessionEvent<'_>) {
        watch::event(connection, event);
    }

    fn closed(connection: &Arc<Connection>, reason: CloseReason) {
        connection.state().share.end();
        let reason = DisconnectReason::Connection(reason);
        if disconnect::is_silent(connection) {
            watch::ending(connection, reason);
        } else {
            disconnect::end(connection, reason);
        }
    }

    fn timeout(connection: &Arc<Connection>, now: Instant) {
        let next = connection.state().inbound.lock().due.next();
        match next {
            Some(next) if next <= now => connection.close(CloseReason::ForcedClose),
            Some(next) => connection.wake_layer_at(next),
            None => {}
        }
    }

    #[inline]
    fn backpressure(connection: &Arc<Connection>, message: Option<&Data<'_>>) -> Option<Wait> {
        backpressure::wait(connection, message)
    }

    async fn admit(&self, head: &RequestHead) -> Result<Admitted, Refusal> {
        requests::admit(self, head).await
    }

    async fn origin(&self, head: &RequestHead) -> Result<OriginDecision, Refusal> {
        requests::origin(self, head).await
    }

    async fn headers(&self, head: &RequestHead, is_first: bool, headers: &mut HeaderMap) {
        requests::headers(self, head, is_first, headers).await;
    }

    fn refused(&self, head: &RequestHead, refusal: &Refusal) {
        requests::refused(self, head, refusal);
    }
}
