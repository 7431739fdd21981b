//! A connected byte stream, and its two halves.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(unix)]
use tokio::net::{UnixStream, unix};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, tcp},
};

use crate::session::writer::Writer;

/// A connected byte stream, whichever way it came.
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// TLS, which costs time.
    Other(Box<dyn Duplex>),
    /// A byte channel of the host.
    Channel(Box<dyn Duplex>),
}

/// Bytes both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

pub(crate) enum Reader {
    Tcp(tcp::OwnedReadHalf),
    #[cfg(unix)]
    Unix(unix::OwnedReadHalf),
    Other(tokio::io::ReadHalf<Box<dyn Duplex>>),
}

impl Stream {
    pub(crate) fn split(self) -> (Reader, Writer) {
        match self {
            Self::Tcp(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Tcp(reader), Writer::Tcp(writer))
            }
            #[cfg(unix)]
            Self::Unix(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Unix(reader), Writer::Unix(writer))
            }
            Self::Other(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                (Reader::Other(reader), Writer::Stream(Box::pin(writer)))
            }
            Self::Channel(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                (Reader::Other(reader), Writer::Channel(Box::pin(writer)))
            }
        }
    }
}

impl Reader {
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_read(context, buffer),
            #[cfg(unix)]
            Self::Unix(half) => Pin::new(half).poll_read(context, buffer),
            Self::Other(half) => Pin::new(half).poll_read(context, buffer),
        }
    }
}
