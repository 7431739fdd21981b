//! The task that drives one WebSocket.
//!
//! It reads, and writes only when a write has to wait: otherwise whoever has something to send does it. All
//! connections of a thread read into one buffer, so that a quiet connection keeps none.

pub(crate) mod frames;

use std::{
    cell::RefCell,
    future::poll_fn,
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use ferrio_protocol::engine::TransportKind;
#[cfg(unix)]
use tokio::net::{UnixStream, unix};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, tcp},
};

use tracing::Instrument as _;

use crate::{
    backpressure::{Pass, Wants},
    connection::{Connection, WireEnd},
    frame::Frame,
    outbox::Outbox,
    receive::{self, NoRoom, Received},
    runtime::runtime,
    websocket::frames::{Flow, FrameError, FrameReader, Incoming},
    wire::Writer,
};

/// How long a peer may take to close its side after ours, before the socket is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The read buffer of a thread. A read that fills it is followed by another.
const READ_BUFFER: usize = 64 << 10;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER].into_boxed_slice());
}

/// A connected byte stream, from whichever door it came.
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// TLS, which costs time.
    Other(Box<dyn Duplex>),
    /// Bytes that the host carries.
    Carried(Box<dyn Duplex>),
}

/// Bytes both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

enum Reader {
    Tcp(tcp::OwnedReadHalf),
    #[cfg(unix)]
    Unix(unix::OwnedReadHalf),
    Other(tokio::io::ReadHalf<Box<dyn Duplex>>),
}

impl Stream {
    fn split(self) -> (Reader, Writer) {
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
            Self::Carried(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                (Reader::Other(reader), Writer::Carried(Box::pin(writer)))
            }
        }
    }
}

impl Reader {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_read(context, buffer),
            #[cfg(unix)]
            Self::Unix(half) => Pin::new(half).poll_read(context, buffer),
            Self::Other(half) => Pin::new(half).poll_read(context, buffer),
        }
    }
}

/// Attaches a WebSocket, whose handshake is done, to its connection, and starts the task that drives it.
///
/// `read_already` are bytes that came behind the handshake. The task ends when either side closes.
pub(crate) fn start(connection: Arc<Connection>, stream: Stream, read_already: &Bytes) {
    let (reader, writer) = stream.split();
    let wire_id = connection.attach(writer);
    connection.flush();
    let config = &connection.server().config;
    let frames = FrameReader::new(config.max_http_buffer_size, config.limits.max_fragments);
    let is_probe = connection.transport() == TransportKind::Polling;
    let mut driver =
        Driver { connection, reader, wire_id, frames, is_probe, n_read: 0, asked: Asked::default() };
    let mut early = read_already.to_vec();
    let span = tracing::debug_span!("websocket", remote = ?driver.connection.handshake().head.remote);
    let drive = async move {
        let step = if early.is_empty() { Step::Continue } else { driver.take(&mut early) };
        drop(early);
        driver.run(step).await;
    };
    runtime().spawn(drive.instrument(span));
}

/// Closes a WebSocket, whose handshake is done, for which its session has no use. The task ends when the client has
/// closed, too, or soon.
pub(crate) fn turn_away(stream: Stream) {
    let (mut reader, mut writer) = stream.split();
    runtime().spawn(async move {
        say_goodbye(&mut writer, Frame::close(None)).await;
        drain(&mut reader).await;
    });
}

struct Driver {
    connection: Arc<Connection>,
    reader: Reader,
    wire_id: u32,
    frames: FrameReader,
    /// Whether it may still become the transport of a polling session.
    is_probe: bool,
    /// Bytes read since there was last nothing to read.
    n_read: usize,
    asked: Asked,
}

/// What the client asks of WebSocket itself.
#[derive(Default)]
struct Asked {
    /// The answer to its close frame, once that has come.
    goodbye: Option<Frame>,
    /// Whether it has pinged.
    pong: bool,
}

/// What comes after a read.
#[derive(Debug)]
enum Step {
    Continue,
    /// A whole buffer was read, and more may wait: other tasks of the thread have their turn first.
    Yield,
    /// A message has no room on the way to the host: no more is read until it has.
    NoRoom(Wants),
    /// The client has closed, and is answered with this frame.
    Left(Frame),
    /// The connection ended; `is_error` when not in good order.
    Lost {
        is_error: bool,
    },
    /// This side has closed, and said so.
    Closed,
}

impl Driver {
    async fn run(mut self, first: Step) {
        let mut step = first;
        loop {
            step = match step {
                Step::Continue => poll_fn(|context| self.poll_step(context)).await,
                Step::Yield => {
                    tokio::task::yield_now().await;
                    Step::Continue
                }
                Step::NoRoom(wants) => self.wait_for_room(wants).await,
                Step::Left(answer) => {
                    if let Some(mut writer) = self.connection.detach(self.wire_id, false) {
                        say_goodbye(&mut writer, answer).await;
                    }
                    return;
                }
                Step::Lost { is_error } => {
                    self.lost(is_error).await;
                    return;
                }
                Step::Closed => {
                    self.closed().await;
                    return;
                }
            };
        }
    }

    /// Writes what had to wait, then reads once.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        if let Poll::Ready(step) = self.poll_wire(context) {
            return Poll::Ready(step);
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            let n_read = match self.reader.poll_read(context, &mut read) {
                Poll::Ready(Ok(())) => read.filled().len(),
                // A reset is how most clients vanish; in socket.io that is a `transport close`, too.
                Poll::Ready(Err(_)) => 0,
                Poll::Pending => {
                    self.n_read = 0;
                    self.is_probe = self.is_probe && self.connection.probe_is_read(self.wire_id);
                    return Poll::Pending;
                }
            };
            if n_read == 0 {
                return Poll::Ready(Step::Lost { is_error: false });
            }
            let step = self.take(&mut buffer[..n_read]);
            // TLS brings less at a time, so that it takes several reads.
            self.n_read += n_read;
            if self.n_read < READ_BUFFER {
                return Poll::Ready(step);
            }
            self.n_read = 0;
            Poll::Ready(if matches!(step, Step::Continue) { Step::Yield } else { step })
        })
    }

    fn poll_wire(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        self.connection.poll_wire(self.wire_id, context).map(|end| match end {
            WireEnd::Closed => Step::Closed,
            WireEnd::Gone => Step::Lost { is_error: false },
            WireEnd::Broken => Step::Lost { is_error: true },
        })
    }

    /// Gives what was read to the session.
    fn take(&mut self, bytes: &mut [u8]) -> Step {
        let Self { connection, frames, wire_id, asked, .. } = self;
        if !connection.is_current(*wire_id) {
            // What a client sends after this side has closed is read and thrown away.
            return Step::Continue;
        }
        let now = Instant::now();
        let flow =
            frames.feed(bytes, &mut |incoming| receive(connection, *wire_id, incoming, None, now, asked));
        self.took(flow)
    }

    /// Gives the message that had to wait to the session, and what was read behind it.
    fn take_held(&mut self, turn: Pass<'_>) -> Step {
        let Self { connection, frames, wire_id, asked, .. } = self;
        if !connection.is_current(*wire_id) {
            return Step::Continue;
        }
        let now = Instant::now();
        // It is a turn for one message, and over with it: what follows need not wait if there is room.
        let mut turn = Some(turn);
        let flow = frames.resume(&mut |incoming| {
            receive(connection, *wire_id, incoming, turn.take().as_ref(), now, asked)
        });
        self.took(flow)
    }

    fn took(&mut self, flow: Result<Flow, FrameError>) -> Step {
        if mem::take(&mut self.asked.pong) {
            self.connection.flush();
        }
        match flow {
            Ok(Flow::Continue) => Step::Continue,
            Ok(Flow::Hold(wants)) => Step::NoRoom(wants),
            Ok(Flow::Stop) => match self.asked.goodbye.take() {
                Some(answer) => Step::Left(answer),
                None => Step::Lost { is_error: false },
            },
            Err(error) => {
                self.connection.close_with_code(error.status());
                Step::Continue
            }
        }
    }

    /// Stops reading until there is room for the message that came last, which the client's TCP notices; writing goes
    /// on.
    async fn wait_for_room(&mut self, wants: Wants) -> Step {
        let connection = self.connection.clone();
        tokio::select! {
            turn = connection.room(wants) => self.take_held(turn),
            step = poll_fn(|context| self.poll_wire(context)) => step,
        }
    }

    /// Ends after the connection ended, or took another WebSocket: the session hears of it.
    async fn lost(self, is_error: bool) {
        if let Some(mut writer) = self.connection.detach(self.wire_id, is_error)
            && !is_error
        {
            say_goodbye(&mut writer, Frame::close(None)).await;
        }
    }

    /// Ends after this side closed. What the client still sends is read and thrown away for a moment: closing a
    /// socket with unread data resets it, and the client might lose the last frames.
    async fn closed(mut self) {
        let Some(mut writer) = self.connection.detach(self.wire_id, false) else { return };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, writer.shutdown()).await;
        drain(&mut self.reader).await;
    }
}

/// Gives a message to the session, and notes what is asked of WebSocket itself.
fn receive(
    connection: &Arc<Connection>,
    wire_id: u32,
    incoming: Incoming<'_>,
    turn: Option<&Pass<'_>>,
    now: Instant,
    asked: &mut Asked,
) -> Flow {
    let received = match incoming {
        Incoming::Text(text) => Received::Text(text),
        Incoming::Binary(data) => Received::Binary(data),
        Incoming::Ping(data) => {
            connection.pong(wire_id, data);
            asked.pong = true;
            return Flow::Continue;
        }
        Incoming::Close(body) => {
            asked.goodbye = Some(Frame::close_with(body));
            return Flow::Stop;
        }
    };
    match receive::websocket(connection, received, turn, now) {
        Ok(()) => Flow::Continue,
        Err(NoRoom(wants)) => Flow::Hold(wants),
    }
}

/// Writes a close frame behind everything else, and ends the writing side.
async fn say_goodbye(writer: &mut Writer, close: Frame) {
    let mut goodbye = Outbox::default();
    goodbye.push_control(close);
    let flushed = poll_fn(|context| writer.poll_flush(&mut goodbye, context));
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, flushed).await;
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, writer.shutdown()).await;
}

/// Reads and throws away what the client still sends, for a moment.
async fn drain(reader: &mut Reader) {
    let drained = poll_fn(|context| {
        BUFFER.with_borrow_mut(|buffer| {
            loop {
                let mut read = ReadBuf::new(buffer);
                match ready!(reader.poll_read(context, &mut read)) {
                    Ok(()) if !read.filled().is_empty() => {}
                    _ => return Poll::Ready(()),
                }
            }
        })
    });
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, drained).await;
}
