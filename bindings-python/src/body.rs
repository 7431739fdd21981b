//! A request's body that comes in pieces.

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

/// Takes the pieces from the package and gives them to the core, which bounds their sum.
#[derive(Clone, Default)]
pub(crate) struct Pieces(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Bytes>,
    is_complete: bool,
    reader: Option<Waker>,
}

impl Pieces {
    /// Adds a piece, and says whether more will follow.
    pub(crate) fn push(&self, piece: Bytes, has_more: bool) {
        let mut state = self.0.lock();
        if !piece.is_empty() {
            state.waiting.push_back(piece);
        }
        state.is_complete = !has_more;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut state = self.0.lock();
        match state.waiting.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if state.is_complete => Poll::Ready(None),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
