//! Answers Socket.IO clients with hard-wired replies: `bench-limit --port N`.
//!
//! The practical limit for a server on hyper and tokio-tungstenite: the bytes on the wire are those of a Socket.IO
//! server, but there are no options, no checks, no heartbeat and no handlers behind them. It runs on one thread because
//! that costs least: with two, an echo costs a tenth more and a broadcast a quarter, all of it for waking each other.
//!
//! In reading order: [`polling`] and [`websocket`] are the two transports, [`replies`] is what they answer, and
//! [`hub`] knows who receives a broadcast.

mod hub;
mod polling;
mod replies;
mod websocket;

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;

use crate::hub::Hub;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(2).ok_or("usage: bench-limit --port N")?.parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let hub = Arc::new(Hub::default());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let hub = Arc::clone(&hub);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&hub), request));
            // A peer that breaks off ends its own connection and nothing else.
            let _ =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

/// Sends a request to its transport.
async fn answer(hub: Arc<Hub>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let session = request.uri().query().and_then(session_id).and_then(|id| hub.session(id));
    let key = request.headers().get("sec-websocket-key").cloned();
    Ok(match (key, session) {
        (Some(key), session) => websocket::upgrade(hub, session, &key, request),
        (None, None) => polling::open(&hub),
        (None, Some(session)) if request.method() == Method::POST => {
            polling::receive(&hub, &session, request).await
        }
        (None, Some(session)) => polling::poll(&session).await,
    })
}

/// Finds the session id in a query string.
fn session_id(query: &str) -> Option<u64> {
    query.split('&').find_map(|pair| pair.strip_prefix("sid=")).and_then(|id| id.parse().ok())
}
