//! Connections that the host's HTTP server accepted: taken over with their descriptor, or served through a byte channel.

#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::{fmt::Write as _, future::pending, io};

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, Interest};
#[cfg(unix)]
use tokio::net::{TcpStream, UnixStream};

use crate::{
    http::upgrade, layer::Layer, request::RequestHead, runtime::runtime, server::Server,
    transport::stream::Stream,
};

impl<L: Layer> Server<L> {
    /// Takes over the descriptor of a connection on which a WebSocket request came.
    ///
    /// The host has read the request, whose head is given, and perhaps some bytes behind it; it reads nothing more and
    /// writes nothing. The descriptor is a duplicate, so that the host can close its own. The answer, be it an error,
    /// is written here. The path is not looked at.
    ///
    /// # Errors
    /// When the descriptor is not a connected TCP or Unix domain socket.
    #[cfg(unix)]
    pub fn take_over(&self, descriptor: OwnedFd, head: RequestHead, read_already: Bytes) -> io::Result<()> {
        let socket = socket2::Socket::from(descriptor);
        socket.set_nonblocking(true)?;
        // A socket has to be registered with the runtime that will drive it.
        let runtime = runtime();
        let _entered = runtime.enter();
        let stream = if socket.local_addr()?.is_unix() {
            Stream::Unix(UnixStream::from_std(OwnedFd::from(socket).into())?)
        } else {
            // Small frames must not wait for the acknowledgement of earlier ones.
            socket.set_tcp_nodelay(true)?;
            Stream::Tcp(TcpStream::from_std(OwnedFd::from(socket).into())?)
        };
        self.accept(stream, head, read_already);
        Ok(())
    }

    /// Serves a WebSocket whose bytes come and go by a channel of the host's: one that is encrypted by the host, or has no
    /// descriptor.
    ///
    /// As for [`take_over`](Self::take_over), the answer to the request is written here, as the first bytes of `stream`.
    pub fn serve_channel<S>(&self, stream: S, head: RequestHead, read_already: Bytes)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.accept(Stream::Channel(Box::new(stream)), head, read_already);
    }

    fn accept(&self, mut stream: Stream, head: RequestHead, read_already: Bytes) {
        let server = self.clone();
        // Ends when the request is answered; the WebSocket then has a task of its own.
        runtime().spawn(async move {
            // The host may have to be asked, and the client may not wait for that. Both branches may be cancelled.
            let decided = tokio::select! {
                decided = upgrade::upgrade(&server, head) => decided,
                () = stream.gone() => return,
            };
            match decided {
                Ok(mut ticket) => {
                    if stream.write_all(&encode(&ticket.take_response())).await.is_ok() {
                        ticket.start(stream, &read_already);
                    }
                }
                Err(response) => {
                    let _ = stream.write_all(&encode(&response)).await;
                    let _ = stream.shutdown().await;
                }
            }
        });
    }
}

impl Stream {
    /// Waits until the peer has closed, as far as that can be seen without reading what it sends.
    async fn gone(&mut self) {
        let mut byte = [0];
        let peeked = match self {
            Self::Tcp(stream) => stream.peek(&mut byte).await,
            #[cfg(unix)]
            Self::Unix(stream) => match stream.ready(Interest::READABLE).await {
                Ok(ready) => Ok(usize::from(!ready.is_read_closed())),
                Err(error) => Err(error),
            },
            Self::Other(_) | Self::Channel(_) => pending().await,
        };
        if peeked.is_ok_and(|n_bytes| n_bytes > 0) {
            pending::<()>().await;
        }
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).await,
            #[cfg(unix)]
            Self::Unix(stream) => stream.write_all(bytes).await,
            Self::Other(stream) | Self::Channel(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown().await,
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown().await,
            Self::Other(stream) | Self::Channel(stream) => stream.shutdown().await,
        }
    }
}

/// A response as HTTP/1.1 text.
fn encode(response: &Response<Bytes>) -> Vec<u8> {
    let status = response.status();
    let mut text =
        format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
    for (name, value) in response.headers() {
        let _ = write!(text, "{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let _ = write!(text, "content-length: {}\r\n", response.body().len());
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(response.body());
    bytes
}
