//! Compression of what waits for a WebSocket, by the task that drives it.
//!
//! Whoever sends something that has to be compressed leaves that, and so the write, to the task: it may be the host's own
//! thread, and compression takes longer than waking a task. No lock is held meanwhile.

use std::sync::Arc;

use tokio::task::block_in_place;

use crate::{
    deflate::Deflater,
    layer::Layer,
    packet::{frame::Frame, shared::SharedForms},
    session::Session,
};

/// What is compressed in a row, before the thread's other tasks have their turn: about a millisecond's work.
const IN_A_ROW: usize = 64 << 10;

/// From this length on, a message is compressed while another thread takes over the tasks of this one.
const LONG: usize = 256 << 10;

/// Compresses what comes next, as much as one write may take.
pub(super) fn compress_waiting<L: Layer>(
    session: &Arc<Session<L>>,
    websocket_id: u32,
    deflater: &mut Deflater,
) {
    let forms = &session.server().forms_for_many;
    let (mut n_read, mut is_shared) = (0, false);
    while n_read < IN_A_ROW
        && let Some(raw) = session.next_raw(websocket_id)
    {
        n_read += raw.len();
        is_shared |= raw.is_for_many();
        let compressed = if raw.len() < LONG {
            compress(&raw, deflater, forms)
        } else {
            block_in_place(|| compress(&raw, deflater, forms))
        };
        let is_shorter = compressed.is_some();
        // It may have been dropped meanwhile, because the client does not read.
        let leaves = session.set_compressed(websocket_id, &raw, compressed);
        if leaves && is_shorter {
            deflater.said(&raw.body());
        }
    }
    if is_shared {
        forms.forget_unused();
    }
}

/// The compressed form of a frame, `None` if it is no shorter.
fn compress(raw: &Frame, deflater: &Deflater, forms: &SharedForms) -> Option<Frame> {
    let body = raw.body();
    let write = |compressed: &[u8]| raw.with_compressed(compressed);
    if raw.is_for_many() && deflater.takes_shared(&body) {
        return forms.of(raw, || deflater.compress_for_all(&body, write));
    }
    deflater.compress(&body, write)
}
