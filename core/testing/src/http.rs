//! Requests of long-polling, as values or over TCP.

use std::{fmt::Write as _, future::poll_fn, net::SocketAddr, sync::Arc, task::Poll};

use bytes::Bytes;
use ferrio_engine::{Layer, RequestHead, Server};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Target, in_time};

/// What a WebSocket request has besides its query. The key is the example of RFC 6455.
pub const UPGRADE: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// A WebSocket request as HTTP/1.1 text.
pub fn websocket_request(path: &str, query: &str) -> String {
    websocket_request_with(path, query, &UPGRADE)
}

/// A WebSocket request with these headers as HTTP/1.1 text.
pub fn websocket_request_with(path: &str, query: &str, headers: &[(&str, &str)]) -> String {
    let mut request = format!("GET {path}/?{query} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    request.push_str("\r\n");
    request
}

/// A request's head, for the entry points that do not look at its path.
pub fn head(method: &Method, query: &str, headers: &[(&str, &str)]) -> RequestHead {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    RequestHead::new(method.clone(), format!("/engine.io/?{query}").parse().unwrap(), map, None)
}

/// Where requests go to.
pub enum Http<L: Layer> {
    /// To [`Server::handle`].
    Memory(Server<L>),
    /// To the server's own port, by a connection for each.
    Tcp(Port),
}

/// A server's own port, and the path of its engine.
#[derive(Clone)]
pub struct Port {
    address: SocketAddr,
    path: Arc<str>,
}

impl<L: Layer> Clone for Http<L> {
    fn clone(&self) -> Self {
        match self {
            Self::Memory(server) => Self::Memory(server.clone()),
            Self::Tcp(port) => Self::Tcp(port.clone()),
        }
    }
}

impl<L: Layer> Http<L> {
    /// By value.
    pub fn memory(test: &impl Target<Layer = L>) -> Self {
        Self::Memory(test.engine().clone())
    }

    /// Over TCP.
    pub fn tcp(test: &impl Target<Layer = L>) -> Self {
        Self::Tcp(Port { address: test.address(), path: Arc::from(&*test.engine().config().path) })
    }

    /// One GET.
    pub async fn get(&self, query: &str) -> Response<Bytes> {
        self.request(Method::GET, query, &[], b"").await
    }

    /// One POST of text.
    pub async fn post(&self, query: &str, body: &[u8]) -> Response<Bytes> {
        self.request(Method::POST, query, &[("content-type", "text/plain;charset=UTF-8")], body).await
    }

    /// One request.
    pub async fn request(
        &self,
        method: Method,
        query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response<Bytes> {
        match self {
            Self::Memory(server) => {
                let body = Full::new(Bytes::copy_from_slice(body));
                in_time(server.handle(head(&method, query, headers), body)).await
            }
            Self::Tcp(port) => {
                in_time(async { read_answer(port.send(&method, query, headers, body).await).await }).await
            }
        }
    }

    /// Sends a GET and goes away before it is answered.
    pub async fn abandon(&self, query: &str) {
        match self {
            Self::Memory(server) => {
                let request = head(&Method::GET, query, &[]);
                let mut poll = Box::pin(server.handle(request, Full::new(Bytes::new())));
                // Polled once, it waits.
                poll_fn(|context| {
                    assert!(poll.as_mut().poll(context).is_pending(), "nothing is there to answer it");
                    Poll::Ready(())
                })
                .await;
            }
            Self::Tcp(port) => drop(port.send(&Method::GET, query, &[], b"").await),
        }
    }
}

impl Port {
    /// Sends a request over a TCP connection of its own.
    async fn send(&self, method: &Method, query: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let Self { address, path } = self;
        let mut request =
            format!("{method} {path}/?{query} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for (name, value) in headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        let _ = write!(request, "content-length: {}\r\n\r\n", body.len());
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[request.as_bytes(), body].concat()).await.unwrap();
        stream
    }
}

async fn read_answer(mut stream: TcpStream) -> Response<Bytes> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("the head ends");
    let body = Bytes::from(answer.split_off(end + 4));
    parse_head(&answer).map(|()| body)
}

/// A response's status and headers.
pub fn parse_head(bytes: &[u8]) -> Response<()> {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut lines = text.trim_end().lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let mut response = Response::builder().status(status.parse::<StatusCode>().unwrap());
    for line in lines {
        let (name, value) = line.split_once(':').expect("a header");
        response = response.header(name, value.trim());
    }
    response.body(()).unwrap()
}

/// An answer's body.
pub fn text(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

/// Insists on an error of the protocol.
pub fn assert_refused(response: &Response<Bytes>, status: u16, body: &str) {
    assert_eq!((response.status().as_u16(), text(response)), (status, body));
}
