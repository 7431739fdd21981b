//! Wakes the event loop from any thread, without the interpreter.

use std::{
    io::{PipeReader, PipeWriter, Read, Write, pipe},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

/// A pipe whose reading end the event loop watches.
///
/// It is made when a loop first uses the server, not with the server: a server that was made before a fork must not
/// share its pipe with other processes. What is woken before that is not lost, since a loop begins with a drain.
#[derive(Default)]
pub(crate) struct Waker {
    pipe: Mutex<Option<Arc<Pipe>>>,
    /// Whether a byte is in the pipe. More than one never is, so that neither writing nor reading blocks.
    is_set: AtomicBool,
    /// Whether a thread reads the pipe on behalf of a loop that cannot watch it.
    has_reader: AtomicBool,
}

pub(crate) struct Pipe {
    pub(crate) reader: PipeReader,
    writer: PipeWriter,
}

impl Waker {
    /// The pipe, made anew for every loop.
    pub(crate) fn open(&self) -> std::io::Result<Arc<Pipe>> {
        let (reader, writer) = pipe()?;
        let pipe = Arc::new(Pipe { reader, writer });
        let mut slot = self.pipe.lock();
        self.is_set.store(false, Ordering::Release);
        self.has_reader.store(false, Ordering::Release);
        *slot = Some(pipe.clone());
        Ok(pipe)
    }

    /// Leaves the reading to a thread.
    pub(crate) fn leave_to_reader(&self) {
        self.has_reader.store(true, Ordering::Release);
    }

    /// Lets the pipe go. Its last byte has the thread that reads it, if there is one, look whether it is still needed:
    /// the end of the pipe may not come, since a forked process has it open, too.
    pub(crate) fn close(&self) {
        let pipe = self.pipe.lock().take();
        if let Some(pipe) = pipe
            && self.has_reader.load(Ordering::Acquire)
        {
            let _ = (&pipe.writer).write(&[1]);
        }
    }

    /// Makes the reading end readable.
    pub(crate) fn wake(&self) {
        if self.is_set.load(Ordering::Acquire) {
            return;
        }
        let slot = self.pipe.lock();
        let pipe = slot.clone().filter(|_| !self.is_set.swap(true, Ordering::AcqRel));
        // The write is a system call, which others that wake need not wait for.
        drop(slot);
        if let Some(pipe) = pipe {
            // A loop that is gone reads no more, and has nothing to be told.
            let _ = (&pipe.writer).write(&[1]);
        }
    }

    /// Empties the pipe after it was readable.
    pub(crate) fn reset(&self, pipe: &Pipe) {
        if self.is_set.load(Ordering::Acquire) {
            if !self.has_reader.load(Ordering::Acquire) {
                let _ = (&pipe.reader).read(&mut [0; 8]);
            }
            self.is_set.store(false, Ordering::Release);
        }
    }
}
