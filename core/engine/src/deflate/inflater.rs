//! Messages from a client.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};

use crate::deflate::{deflater::TAIL, memory::Share, window::Window};

/// How far back any client can look.
const FULL_WINDOW: usize = 32 << 10;

/// Every message of a thread is written here first. More than this is not kept for the next.
const KEPT_BUFFER: usize = 64 << 10;

/// Streams that may end within a message. One is what a client without `flush` needs; each costs time.
const MAX_STREAMS: usize = 4;

/// An empty last block. What comes before it has to end where a block does, or it is none.
const LAST_BLOCK: [u8; 5] = [1, 0, 0, 0xff, 0xff];

thread_local! {
    static DECOMPRESSOR: RefCell<Option<Box<Decompressor>>> = const { RefCell::new(None) };
}

/// Why a message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// It is not compressed data, or not all of it.
    Malformed,
    /// It is longer than the server takes.
    TooLarge,
}

/// Reads the messages of one client.
#[derive(Debug)]
pub(crate) struct Inflater {
    /// What the client may look back at.
    heard: Window,
    /// For all that `heard` can become.
    _share: Share,
}

struct Decompressor {
    stream: Decompress,
    buffer: Vec<u8>,
}

impl Inflater {
    pub(super) fn new(window: usize, share: Share) -> Self {
        Self { heard: Window::new(window), _share: share }
    }

    /// How many bytes of earlier messages the next may look back at.
    pub(crate) fn window_len(&self) -> usize {
        self.heard.bytes().len()
    }

    /// Inflates a message of at most `max` bytes, and gives it to `read`.
    pub(crate) fn inflate<T>(
        &mut self,
        message: &[u8],
        max: usize,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, InflateError> {
        // It is put back at the end. Who reads the message may take some time, and do what it likes.
        let mut decompressor = DECOMPRESSOR.take().unwrap_or_else(Decompressor::new);
        let len = decompressor.inflate(self.heard.bytes(), message, max)?;
        let inflated = &decompressor.buffer[..len];
        self.heard.push(inflated);
        let result = read(inflated);
        if decompressor.buffer.len() > KEPT_BUFFER {
            decompressor.buffer = Vec::new();
        }
        DECOMPRESSOR.set(Some(decompressor));
        Ok(result)
    }
}

impl Decompressor {
    fn new() -> Box<Self> {
        Box::new(Self { stream: Decompress::new(false), buffer: Vec::new() })
    }

    /// Inflates a message into the buffer, and returns its length.
    fn inflate(&mut self, heard: &[u8], message: &[u8], max: usize) -> Result<usize, InflateError> {
        // A client whose compressor has nothing to flush may send nothing.
        if message.is_empty() {
            return Ok(0);
        }
        let (mut rest, mut len) = (message, 0);
        for _ in 0..MAX_STREAMS {
            self.begin(heard, len)?;
            match self.run(rest, &mut len, max)? {
                // More may follow the end of a stream, as section 7.2.3.4 has it.
                Some(n_read) if n_read < rest.len() => rest = &rest[n_read..],
                Some(_) => return Ok(len),
                None => {
                    let end = [&TAIL[..], &LAST_BLOCK].concat();
                    let n_read = self.run(&end, &mut len, max)?;
                    return if n_read == Some(end.len()) { Ok(len) } else { Err(InflateError::Malformed) };
                }
            }
        }
        Err(InflateError::Malformed)
    }

    /// Begins a stream that may look back at what was heard, and at the first bytes of this message.
    fn begin(&mut self, heard: &[u8], len: usize) -> Result<(), InflateError> {
        self.stream.reset(false);
        let own = &self.buffer[len.saturating_sub(FULL_WINDOW)..len];
        let heard = &heard[heard.len().saturating_sub(FULL_WINDOW - own.len())..];
        for part in [heard, own] {
            if !part.is_empty() {
                self.stream.set_dictionary(part).map_err(|_| InflateError::Malformed)?;
            }
        }
        Ok(())
    }

    /// Inflates behind the first `len` bytes of the buffer. Returns how much was read when the stream ended.
    fn run(&mut self, input: &[u8], len: &mut usize, max: usize) -> Result<Option<usize>, InflateError> {
        let mut n_read = 0;
        loop {
            if *len == self.buffer.len() {
                // One byte beyond the bound is enough to see that it is exceeded.
                let wanted = (2 * self.buffer.len()).clamp(4 << 10, max.saturating_add(1).max(4 << 10));
                self.buffer.resize(wanted, 0);
            }
            let Self { stream, buffer } = self;
            let (read, written) = (stream.total_in(), stream.total_out());
            let status = stream
                .decompress(&input[n_read..], &mut buffer[*len..], FlushDecompress::None)
                .map_err(|_| InflateError::Malformed)?;
            let n_written = usize::try_from(stream.total_out() - written).unwrap_or(usize::MAX);
            n_read += usize::try_from(stream.total_in() - read).unwrap_or(usize::MAX);
            *len += n_written;
            if *len > max {
                return Err(InflateError::TooLarge);
            }
            match status {
                Status::StreamEnd => return Ok(Some(n_read)),
                _ if n_read == input.len() && *len < self.buffer.len() => return Ok(None),
                Status::BufError if *len < self.buffer.len() => return Err(InflateError::Malformed),
                Status::Ok | Status::BufError => {}
            }
        }
    }
}
