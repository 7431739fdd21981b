//! The task that drives one WebSocket.
//!
//! It reads, and writes only when a write has to wait: otherwise whoever has something to send does it. All
//! connections of a thread read into one buffer, so that a quiet connection keeps none.

pub(crate) mod decoder;
mod deflating;

use std::{
    cell::RefCell,
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use ferrio_protocol::engine::TransportKind;
use tokio::io::ReadBuf;
use tracing::Instrument as _;

use crate::{
    deflate::{Agreed, Deflater},
    layer::{Layer, Turn, Wait},
    packet::{frame::Frame, outbox::Outbox},
    runtime::runtime,
    session::{Session, receive::Received, transports::WebSocketEnd, writer::Writer},
    transport::{
        stream::{Reader, Stream},
        websocket::decoder::{Decoder, Flow, FrameError, Incoming},
    },
};

/// How long a peer may take to close its side after ours, before the socket is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The read buffer of a thread. A read that fills it is followed by another.
const READ_BUFFER: usize = 64 << 10;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER].into_boxed_slice());
}

/// Attaches a WebSocket, whose handshake is done, to its session, and starts the task that drives it.
///
/// `read_already` are bytes that came behind the handshake. The task ends when either side closes.
pub(crate) fn start<L: Layer>(
    session: Arc<Session<L>>,
    stream: Stream,
    read_already: &Bytes,
    deflate: Option<Agreed>,
) {
    let (reader, writer) = stream.split();
    let websocket_id = session.attach(writer, deflate.as_ref().map(|agreed| agreed.threshold));
    session.flush();
    let config = session.server().current();
    let (inflater, deflater) = deflate.map(|agreed| (agreed.inflater, Box::new(agreed.deflater))).unzip();
    let decoder = Decoder::new(config.max_http_buffer_size, config.limits.max_fragments, inflater);
    let is_probe = session.transport() == TransportKind::Polling;
    let mut driver = Driver {
        session,
        reader,
        websocket_id,
        decoder,
        deflater,
        is_probe,
        n_read: 0,
        asked: Asked::default(),
    };
    let early = (!read_already.is_empty()).then(|| read_already.to_vec());
    let span = tracing::debug_span!("websocket", remote = ?driver.session.handshake().head.remote);
    let drive = async move {
        let step = early.map_or(Step::Continue, |mut early| driver.take(&mut early));
        driver.run(step).await;
    };
    runtime().spawn(drive.instrument(span));
}

/// Closes a WebSocket, whose handshake is done, for which its session has no use. The task ends when the client has
/// closed, too, or soon.
pub(crate) fn turn_away(stream: Stream) {
    let (mut reader, mut writer) = stream.split();
    runtime().spawn(async move {
        write_close(&mut writer, Frame::close(None)).await;
        drain(&mut reader).await;
    });
}

struct Driver<L: Layer> {
    session: Arc<Session<L>>,
    reader: Reader,
    websocket_id: u32,
    decoder: Decoder,
    /// Compresses messages, if that was agreed on.
    deflater: Option<Box<Deflater>>,
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
    close: Option<Frame>,
    /// Whether it has pinged.
    pong: bool,
}

/// What comes after a read.
enum Step {
    Continue,
    /// A whole buffer was read, and more may wait: other tasks of the thread have their turn first.
    Yield,
    /// More waits that was read already: other tasks of the thread have their turn first.
    Resume,
    /// A message has to wait for its turn: no more is read until it is taken.
    Wait(Wait),
    /// The client has closed, and is answered with this frame.
    Left(Frame),
    /// The stream ended; `is_error` when not in good order.
    Lost {
        is_error: bool,
    },
    /// This side has closed, and said so.
    Closed,
}

impl<L: Layer> Driver<L> {
    /// What an idle connection waits in is small: the states in which few are, and none for long, are boxed.
    async fn run(&mut self, first: Step) {
        let mut step = first;
        loop {
            step = match step {
                Step::Continue => poll_fn(|context| self.poll_step(context)).await,
                Step::Yield => {
                    tokio::task::yield_now().await;
                    Step::Continue
                }
                Step::Resume => {
                    tokio::task::yield_now().await;
                    poll_fn(|context| Poll::Ready(self.resume(context))).await
                }
                Step::Wait(wait) => Box::pin(self.wait(wait)).await,
                Step::Left(answer) => return Box::pin(self.left(answer)).await,
                Step::Lost { is_error } => return Box::pin(self.lost(is_error)).await,
                Step::Closed => return Box::pin(self.closed()).await,
            };
        }
    }

    /// Writes what had to wait, then reads once.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        if let Poll::Ready(step) = self.poll_websocket(context) {
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
                    self.is_probe = self.is_probe && self.session.probe_is_read(self.websocket_id);
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

    fn poll_websocket(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        if let Some(deflater) = &mut self.deflater {
            deflating::compress_waiting(&self.session, self.websocket_id, deflater);
        }
        self.session.poll_websocket(self.websocket_id, context).map(|end| match end {
            WebSocketEnd::Closed => Step::Closed,
            WebSocketEnd::Detached => Step::Lost { is_error: false },
            WebSocketEnd::Broken => Step::Lost { is_error: true },
        })
    }

    /// Gives what was read to the session.
    fn take(&mut self, bytes: &mut [u8]) -> Step {
        let Self { session, decoder, websocket_id, asked, .. } = self;
        if !session.is_current(*websocket_id) {
            // What a client sends after this side has closed is read and thrown away.
            return Step::Continue;
        }
        let now = Instant::now();
        let flow =
            decoder.feed(bytes, &mut |incoming| receive(session, *websocket_id, incoming, false, now, asked));
        if let Some(deflater) = &mut self.deflater {
            deflater.rest(now);
        }
        self.took(flow)
    }

    /// Writes what had to wait, and then gives what is left of an earlier read to the session.
    fn resume(&mut self, context: &mut Context<'_>) -> Step {
        if let Poll::Ready(step) = self.poll_websocket(context) {
            return step;
        }
        let Self { session, decoder, websocket_id, asked, .. } = self;
        if !session.is_current(*websocket_id) {
            return Step::Continue;
        }
        let now = Instant::now();
        let flow =
            decoder.resume(&mut |incoming| receive(session, *websocket_id, incoming, false, now, asked));
        self.took(flow)
    }

    /// Gives the message that had to wait to the session, and what was read behind it.
    fn take_held(&mut self, turn: Turn) -> Step {
        let Self { session, decoder, websocket_id, asked, .. } = self;
        if !session.is_current(*websocket_id) {
            return Step::Continue;
        }
        let now = Instant::now();
        // It is a turn for one message, and over with it: what follows need not wait if there is room.
        let mut turn = Some(turn);
        let flow = decoder.resume(&mut |incoming| {
            let turn = turn.take();
            receive(session, *websocket_id, incoming, turn.is_some(), now, asked)
        });
        self.took(flow)
    }

    fn took(&mut self, flow: Result<Flow<Wait>, FrameError>) -> Step {
        if mem::take(&mut self.asked.pong) {
            self.session.flush();
        }
        match flow {
            Ok(Flow::Continue) => Step::Continue,
            Ok(Flow::Hold(wait)) => Step::Wait(wait),
            Ok(Flow::Yield) => Step::Resume,
            Ok(Flow::Stop) => match self.asked.close.take() {
                Some(answer) => Step::Left(answer),
                None => Step::Lost { is_error: false },
            },
            Err(error) => {
                self.session.close_with_code(error.status());
                Step::Continue
            }
        }
    }

    /// Stops reading until it is the turn of the message that came last, which the client's TCP notices; writing goes on.
    async fn wait(&mut self, wait: Wait) -> Step {
        let session = self.session.clone();
        tokio::select! {
            turn = session.wait(wait) => self.take_held(turn),
            step = poll_fn(|context| self.poll_websocket(context)) => step,
        }
    }

    /// Ends after the client closed, which is answered.
    async fn left(&mut self, answer: Frame) {
        if let Some(mut writer) = self.session.detach(self.websocket_id, false) {
            write_close(&mut writer, answer).await;
        }
    }

    /// Ends after the stream ended, or the session took another WebSocket: the session hears of it.
    async fn lost(&mut self, is_error: bool) {
        if let Some(mut writer) = self.session.detach(self.websocket_id, is_error)
            && !is_error
        {
            write_close(&mut writer, Frame::close(None)).await;
        }
    }

    /// Ends after this side closed. What the client still sends is read and thrown away for a moment: closing a
    /// socket with unread data resets it, and the client might lose the last frames.
    async fn closed(&mut self) {
        let Some(mut writer) = self.session.detach(self.websocket_id, false) else { return };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, writer.shutdown()).await;
        drain(&mut self.reader).await;
    }
}

/// Gives a message to the session, and notes what is asked of WebSocket itself.
fn receive<L: Layer>(
    session: &Arc<Session<L>>,
    websocket_id: u32,
    incoming: Incoming<'_>,
    has_turn: bool,
    now: Instant,
    asked: &mut Asked,
) -> Flow<Wait> {
    let received = match incoming {
        Incoming::Text(text) => Received::Text(text),
        Incoming::Binary(data) => Received::Binary(data),
        Incoming::Ping(data) => {
            session.pong(websocket_id, data);
            asked.pong = true;
            return Flow::Continue;
        }
        Incoming::Close(body) => {
            asked.close = Some(Frame::close_with(body));
            return Flow::Stop;
        }
    };
    match session.receive(received, has_turn, now) {
        Ok(()) => Flow::Continue,
        Err(wait) => Flow::Hold(wait),
    }
}

/// Writes a close frame behind everything else, and ends the writing side.
async fn write_close(writer: &mut Writer, close: Frame) {
    let mut last = Outbox::default();
    last.push_control(close);
    let flushed = poll_fn(|context| writer.poll_flush(&mut last, context));
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
