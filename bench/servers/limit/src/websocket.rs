//! Serves the WebSocket transport: one task for each connection.

use std::sync::Arc;

use futures_util::{FutureExt, SinkExt, StreamExt};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::hub::{Hub, Session};
use crate::replies;

type Stream = WebSocketStream<TokioIo<Upgraded>>;

/// Bytes read at once. The default of 128 KiB would be most of an idle connection's memory; 4 KiB holds forty of
/// the benchmark's messages.
const READ_BUFFER_SIZE: usize = 4096;

/// Accepts a WebSocket, for a new session or for one that polls.
pub(crate) fn upgrade(
    hub: Arc<Hub>,
    polling: Option<Arc<Session>>,
    key: &HeaderValue,
    mut request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let on_upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let is_new = polling.is_none();
        let session = polling.unwrap_or_else(|| hub.open(false));
        // A connection that breaks off is closed like any other.
        let _ = serve(&hub, &session, is_new, on_upgrade).await;
        hub.close(&session);
    });

    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// Drives one connection to its end.
async fn serve(
    hub: &Hub,
    session: &Session,
    is_new: bool,
    on_upgrade: OnUpgrade,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TokioIo::new(on_upgrade.await?);
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_SIZE);
    let mut stream = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    if is_new {
        stream.send(Message::text(replies::open_packet(session))).await?;
    } else {
        probe(hub, session, &mut stream).await?;
    }
    Ok(exchange(hub, session, &mut stream).await?)
}

/// Answers the probe and waits until the client has left its poll.
async fn probe(hub: &Hub, session: &Session, stream: &mut Stream) -> Result<(), Error> {
    while let Some(message) = stream.next().await {
        let message = message?;
        if message.to_text()? == "5" {
            break;
        }
        if let Some(reply) = replies::reply(hub, session, message.to_text()?) {
            stream.send(Message::Text(reply)).await?;
            let _ = session.outbox.send(Utf8Bytes::from_static("6"));
        }
    }
    Ok(())
}

/// Carries messages both ways; what is ready together leaves in one write.
async fn exchange(hub: &Hub, session: &Session, stream: &mut Stream) -> Result<(), Error> {
    let mut waiting = session.waiting.lock().await;
    loop {
        tokio::select! {
            message = stream.next() => {
                let mut ready = message;
                loop {
                    let Some(message) = ready else { return Ok(()) };
                    if let Some(reply) = replies::reply(hub, session, message?.to_text()?) {
                        stream.feed(Message::Text(reply)).await?;
                    }
                    match stream.next().now_or_never() {
                        Some(next) => ready = next,
                        None => break,
                    }
                }
            }
            Some(message) = waiting.recv() => stream.feed(Message::Text(message)).await?,
        }
        while let Ok(message) = waiting.try_recv() {
            stream.feed(Message::Text(message)).await?;
        }
        stream.flush().await?;
    }
}
