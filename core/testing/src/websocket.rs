//! A WebSocket client that can do what no well-behaved one would.

use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

use crate::{client::Message, http::parse_head, in_time};

/// A stream of bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A text message, in one frame.
pub const TEXT: u8 = 0x81;
/// A binary message, in one frame.
pub const BINARY: u8 = 0x82;
/// A close frame, in one frame.
pub const CLOSE: u8 = 0x88;
/// A ping, in one frame.
pub const PING: u8 = 0x89;

/// A WebSocket, client's side.
pub struct WebSocket {
    /// What the server sends.
    pub reader: Reader,
    /// What the client sends.
    pub writer: Writer,
    /// The headers of the answer to its request.
    pub headers: HeaderMap,
}

/// What the server sends.
pub struct Reader(ReadHalf<Box<dyn Duplex>>);
/// What the client sends.
pub struct Writer(WriteHalf<Box<dyn Duplex>>);

impl WebSocket {
    /// Reads the answer to a WebSocket request.
    ///
    /// # Errors
    /// An answer that refuses it.
    pub async fn accepted(stream: impl Duplex + 'static) -> Result<Self, Response<Bytes>> {
        let (mut reader, writer) = split(Box::new(stream) as Box<dyn Duplex>);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(in_time(reader.read_u8()).await.expect("the request is answered"));
        }
        let response = parse_head(&head);
        if response.status() != 101 {
            let mut body = Vec::new();
            in_time(reader.read_to_end(&mut body)).await.unwrap();
            return Err(response.map(|()| Bytes::from(body)));
        }
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let (response, ()) = response.into_parts();
        Ok(Self { reader: Reader(reader), writer: Writer(writer), headers: response.headers })
    }
}

impl Reader {
    /// The next message; a ping's answer counts as binary.
    pub async fn receive(&mut self) -> Message {
        in_time(self.read()).await.unwrap_or(Message::Lost)
    }

    /// The next frame: its first byte, and its body. `None` when the connection has ended.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        in_time(self.read_frame()).await.ok()
    }

    async fn read(&mut self) -> std::io::Result<Message> {
        let (first, body) = self.read_frame().await?;
        Ok(match first {
            TEXT => Message::Text(String::from_utf8(body).unwrap()),
            CLOSE => Message::Closed(body.first_chunk().map(|code| u16::from_be_bytes(*code))),
            0x82 | 0x8a => Message::Binary(body),
            other => panic!("unexpected frame {other:#x}"),
        })
    }

    async fn read_frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let first = self.0.read_u8().await?;
        let len = match self.0.read_u8().await? {
            126 => usize::from(self.0.read_u16().await?),
            127 => usize::try_from(self.0.read_u64().await?).unwrap(),
            len => usize::from(len),
        };
        let mut body = vec![0; len];
        self.0.read_exact(&mut body).await?;
        Ok((first, body))
    }
}

impl Writer {
    /// Sends one frame. Nothing happens when the server has gone.
    pub async fn frame(&mut self, first: u8, body: &[u8]) {
        self.raw(&frame(first, body)).await;
    }

    /// Sends any bytes.
    pub async fn raw(&mut self, bytes: &[u8]) {
        let _ = in_time(self.0.write_all(bytes)).await;
    }

    /// Sends a text message.
    pub async fn text(&mut self, text: &str) {
        self.frame(TEXT, text.as_bytes()).await;
    }

    /// Closes the sending side only.
    pub async fn shutdown(&mut self) {
        let _ = in_time(self.0.shutdown()).await;
    }
}

/// A masked frame.
pub fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mask = [0x1f, 0x2e, 0x3d, 0x4c];
    let mut frame = vec![first];
    match body.len() {
        len @ 0..=125 => frame.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..=0xffff => {
            frame.push(0x80 + 126);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            frame.push(0x80 + 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(body.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}
