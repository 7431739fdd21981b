//! Bytes that the host passes on to the core as it receives them: the bodies of requests, and what comes by a stream.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use parking_lot::Mutex;

/// Bytes that may wait in a channel before its sender should pause: a few reads of a socket, which keep the core busy
/// while the sender is told to go on.
pub const HIGH_WATER: usize = 256 << 10;

/// Passes bytes from the host to a reader in the core, in order.
///
/// It takes whatever it is given. The host bounds it by pausing when [`push`](Self::push) says so, or by what the core
/// reads at most of one body.
#[derive(Debug, Default)]
pub struct ByteChannel(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Bytes>,
    n_bytes: usize,
    has_ended: bool,
    is_paused: bool,
    reader: Option<Waker>,
}

impl ByteChannel {
    /// A channel through which nothing comes.
    pub fn ended() -> Self {
        Self(Mutex::new(State { has_ended: true, ..State::default() }))
    }

    /// Adds bytes. Returns whether the sender should pause until it is resumed.
    pub fn push(&self, bytes: Bytes) -> bool {
        if bytes.is_empty() {
            // To readers, no bytes are the end.
            return false;
        }
        let mut state = self.0.lock();
        state.n_bytes += bytes.len();
        state.waiting.push_back(bytes);
        let is_paused = state.n_bytes >= HIGH_WATER;
        state.is_paused = is_paused;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        is_paused
    }

    /// Takes note that nothing follows.
    pub fn end(&self) {
        let mut state = self.0.lock();
        state.has_ended = true;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The next bytes, at most `max` of them; `None` at the end. Calls `resume` when a sender that was asked to pause
    /// should go on.
    pub fn poll_next(&self, max: usize, context: &Context<'_>, resume: impl FnOnce()) -> Poll<Option<Bytes>> {
        let mut state = self.0.lock();
        let Some(first) = state.waiting.front_mut() else {
            if state.has_ended {
                return Poll::Ready(None);
            }
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        let taken = first.split_to(max.min(first.len()));
        if first.is_empty() {
            state.waiting.pop_front();
        }
        state.n_bytes -= taken.len();
        let may_resume = state.waiting.is_empty() && std::mem::take(&mut state.is_paused);
        drop(state);
        if may_resume {
            resume();
        }
        Poll::Ready(Some(taken))
    }

    fn is_at_end(&self) -> bool {
        let state = self.0.lock();
        state.has_ended && state.waiting.is_empty()
    }
}

/// The body of a request, which comes through a channel.
#[derive(Debug)]
pub struct RequestBody<R> {
    channel: Arc<ByteChannel>,
    resume: R,
}

impl<R: Fn()> RequestBody<R> {
    /// `resume` is called, by any thread, when a sender that was asked to pause should go on.
    pub fn new(channel: Arc<ByteChannel>, resume: R) -> Self {
        Self { channel, resume }
    }
}

impl<R: Fn() + Unpin> Body for RequestBody<R> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.channel.poll_next(usize::MAX, context, &self.resume);
        next.map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.channel.is_at_end()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    async fn next_of(body: &mut (impl Body<Data = Bytes, Error = Infallible> + Unpin)) -> Option<Bytes> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        frame.map(|Ok(frame)| frame.into_data().expect("only data is sent"))
    }

    #[tokio::test]
    async fn what_is_pushed_by_another_thread_arrives_in_order_until_the_end() {
        let channel = Arc::new(ByteChannel::default());
        let sender = channel.clone();
        let sending = thread::spawn(move || {
            for n in 0..1000_u32 {
                sender.push(Bytes::copy_from_slice(&n.to_le_bytes()));
            }
            sender.end();
        });
        let mut body = RequestBody::new(channel, || {});
        for n in 0..1000_u32 {
            assert_eq!(next_of(&mut body).await.as_deref(), Some(&n.to_le_bytes()[..]));
        }
        assert_eq!(next_of(&mut body).await, None);
        assert!(body.is_end_stream());
        sending.join().unwrap();
    }

    #[tokio::test]
    async fn a_sender_that_was_asked_to_pause_is_resumed_once_all_is_read() {
        let channel = Arc::new(ByteChannel::default());
        let n_resumed = AtomicUsize::new(0);
        let mut body = RequestBody::new(channel.clone(), || _ = n_resumed.fetch_add(1, Ordering::Relaxed));
        assert!(!channel.push(Bytes::from_static(b"few")));
        assert_eq!(next_of(&mut body).await.as_deref(), Some(&b"few"[..]));
        assert_eq!(n_resumed.load(Ordering::Relaxed), 0, "it was not asked to pause");
        assert!(!channel.push(Bytes::from(vec![0; HIGH_WATER - 1])));
        assert!(channel.push(Bytes::from_static(b"x")));
        next_of(&mut body).await;
        assert_eq!(n_resumed.load(Ordering::Relaxed), 0, "not all is read");
        next_of(&mut body).await;
        assert_eq!(n_resumed.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_reader_takes_no_more_than_it_has_room_for() {
        let channel = ByteChannel::default();
        channel.push(Bytes::new());
        channel.push(Bytes::from_static(b"abc"));
        channel.end();
        let mut read = Vec::new();
        while let Some(bytes) =
            poll_fn(|context| channel.poll_next(2, context, || panic!("nobody was asked to pause"))).await
        {
            read.push(bytes);
        }
        assert_eq!(read, ["ab", "c"]);
    }

    #[tokio::test]
    async fn nothing_comes_through_a_channel_that_has_ended() {
        let mut body = RequestBody::new(Arc::new(ByteChannel::ended()), || {});
        assert!(body.is_end_stream());
        assert_eq!(next_of(&mut body).await, None);
    }
}
