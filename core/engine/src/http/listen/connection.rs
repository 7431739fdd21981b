//! One connection to the server's own port, until it ends or becomes a WebSocket.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_TYPE, UPGRADE},
};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    server::conn::http1::Builder,
    service::service_fn,
    upgrade::{OnUpgrade, on},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, watch},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    config::Config,
    http::{
        listen::{
            ListenOptions, Phase, Responder,
            idle::{TimedBody, TimedStream},
        },
        tls::Tls,
        upgrade::{self, Ticket},
    },
    layer::Layer,
    request::RequestHead,
    server::{Server, is_under},
    transport::stream::Stream,
};

/// What all connections to a port share.
pub(super) struct Port<L: Layer> {
    pub(super) server: Server<L>,
    tls: Option<TlsAcceptor>,
    http: Builder,
    path: Option<String>,
    responder: Option<Responder>,
    handshake_timeout: Duration,
}

/// How long a peer may stand still in the middle of a body or of reading an answer. A mobile client that changes its
/// network is back within seconds or has lost the connection; half a minute is what nginx and others allow, or less.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

impl<L: Layer> Port<L> {
    pub(super) fn new(server: Server<L>, options: ListenOptions) -> Self {
        let limits = &server.config().limits;
        let mut http = Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(limits.max_header_bytes)
            .max_buf_size(limits.max_header_bytes);
        let handshake_timeout = limits.header_timeout;
        let ListenOptions { tls, path, responder, .. } = options;
        Self { http, tls: tls.as_ref().map(Tls::acceptor), path, responder, handshake_timeout, server }
    }

    /// Serves a connection. `permit` is its place among those that have yet to send a request.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        remote: SocketAddr,
        permit: Option<OwnedSemaphorePermit>,
        phase: watch::Receiver<Phase>,
    ) {
        // Small frames must not wait for the peer's acknowledgement. It fails only if the peer has gone.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            let client = Client { port: self, remote, is_secure: false, pending: Mutex::new(permit) };
            return client.serve(stream, phase).await;
        };
        let mut closing = phase.clone();
        let accepted = tokio::select! {
            accepted = timeout(self.handshake_timeout, tls.accept(stream)) => accepted,
            () = Phase::over(&mut closing) => return,
        };
        match accepted {
            Ok(Ok(stream)) => {
                let client = Client { port: self, remote, is_secure: true, pending: Mutex::new(permit) };
                client.serve(stream, phase).await;
            }
            Ok(Err(error)) => tracing::debug!(%remote, %error, "the TLS handshake failed"),
            Err(_) => tracing::debug!(%remote, "the TLS handshake took too long"),
        }
    }
}

/// The peer of one connection.
struct Client<L: Layer> {
    port: Arc<Port<L>>,
    remote: SocketAddr,
    is_secure: bool,
    /// Given back with the first request.
    pending: Mutex<Option<OwnedSemaphorePermit>>,
}

/// An upgrade that was granted, for when its answer is written.
type Granted<L> = Mutex<Option<(OnUpgrade, Ticket<L>)>>;

impl<L: Layer> Client<L> {
    async fn serve<S>(self, stream: S, mut phase: watch::Receiver<Phase>)
    where
        S: AsyncRead + AsyncWrite + Into<Stream> + Send + Unpin + 'static,
    {
        let remote = self.remote;
        let (client, granted) = (Arc::new(self), Arc::new(Granted::<L>::default()));
        let service = service_fn(|request| {
            let (client, granted) = (Arc::clone(&client), Arc::clone(&granted));
            async move { Ok::<_, Infallible>(client.answer(request, &granted).await.map(Full::new)) }
        });
        let stream = TokioIo::new(TimedStream::new(stream, IDLE_TIMEOUT));
        let mut connection = pin!(client.port.http.serve_connection(stream, service).with_upgrades());
        let end = tokio::select! {
            end = connection.as_mut() => end,
            () = Phase::over(&mut phase) => {
                if client.pending.lock().is_some() {
                    // It has not asked for anything yet, and hyper would wait for that.
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = end {
            tracing::debug!(%remote, %error, "an HTTP connection ended early");
        }
        let granted = granted.lock().take();
        if let Some((on_upgrade, ticket)) = granted {
            hand_over::<L, S>(on_upgrade, ticket).await;
        }
    }

    async fn answer(&self, mut request: Request<Incoming>, granted: &Granted<L>) -> Response<Bytes> {
        drop(self.pending.lock().take());
        let on_upgrade = is_websocket_request(&request).then(|| on(&mut request));
        let (parts, body) = request.into_parts();
        let mut head = RequestHead::new(parts.method, parts.uri, parts.headers, Some(self.remote));
        head.secure = self.is_secure;
        let Port { server, path, responder, .. } = &*self.port;
        let responder = responder.as_ref().filter(|_| on_upgrade.is_none());
        if let Some(responder) = responder
            && let Some(response) = responder.respond(&head).await
        {
            return response;
        }
        let path = path.as_ref().unwrap_or(&server.config().path);
        if !is_under(path, head.uri.path()) {
            return elsewhere(server.config());
        }
        let Some(on_upgrade) = on_upgrade else {
            return server.handle(head, TimedBody::new(body, IDLE_TIMEOUT)).await;
        };
        match upgrade::upgrade(server, head).await {
            Ok(mut ticket) => {
                let response = ticket.take_response();
                *granted.lock() = Some((on_upgrade, ticket));
                response
            }
            Err(response) => response,
        }
    }
}

/// Takes the stream out of hyper, of which nothing is left then, and starts the WebSocket.
async fn hand_over<L: Layer, S>(on_upgrade: OnUpgrade, ticket: Ticket<L>)
where
    S: AsyncRead + AsyncWrite + Into<Stream> + Send + Unpin + 'static,
{
    // It fails when the answer could not be written: then no session is opened, or its upgrade times out.
    let Ok(upgraded) = on_upgrade.await else { return };
    if let Ok(parts) = upgraded.downcast::<TokioIo<TimedStream<S>>>() {
        let stream = parts.io.into_inner().into_inner();
        ticket.start(stream.into(), &parts.read_buf);
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<TlsStream<TcpStream>> for Stream {
    fn from(stream: TlsStream<TcpStream>) -> Self {
        Self::Other(Box::new(stream))
    }
}

fn is_websocket_request<B>(request: &Request<B>) -> bool {
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && has_token(request.headers(), &CONNECTION, "upgrade")
        && has_token(request.headers(), &UPGRADE, "websocket")
}

/// Whether one of a header's comma-separated values is `token`.
fn has_token(headers: &HeaderMap, name: &http::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}

/// The answer to a request that is not for the engine.
fn elsewhere(config: &Config) -> Response<Bytes> {
    let (status, text) = if config.answers_like_engine_io {
        (StatusCode::NOT_IMPLEMENTED, "Not Implemented")
    } else {
        (StatusCode::NOT_FOUND, "Not found")
    };
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
