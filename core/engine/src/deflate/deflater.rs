//! Messages to a client.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use flate2::{Compress, Compression, FlushCompress};

use crate::{
    config::PerMessageDeflate,
    deflate::{memory::Share, window::Window},
};

/// How far the server looks back. Measured with lists of small objects at level 6: the next message of 1 KiB shrinks to 23 %
/// with 8 KiB to look back at, to 22 % with 32 KiB, and to 28 % without; it takes 22, 45 and 12 µs.
const LOOKED_BACK: usize = 8 << 10;

/// A window of 2⁸ bytes, which zlib has not: with one of 2⁹ it looks back at most 250, since it leaves room for the longest
/// match. See `MAX_DIST` in its `deflate.h`.
const SMALLEST: (u8, usize) = (9, 250);

/// How long what was said is kept for the next message. A client that is quiet for longer costs nothing.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Compressors of a thread, of up to 330 KiB. Usually all its connections share one, but clients may ask for smaller windows.
const MAX_COMPRESSORS: usize = 8;

/// Every message of a thread is written here first. More than this is not kept for the next.
const KEPT_BUFFER: usize = 64 << 10;

thread_local! {
    static COMPRESSORS: RefCell<Compressors> = RefCell::default();
}

/// What stands at the end of a flushed stream, and not in a message.
pub(super) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Compresses the messages to one client.
#[derive(Debug)]
pub(crate) struct Deflater {
    level: u8,
    /// How far back the server looks where the client has no wish.
    usual_bits: u8,
    window_bits: u8,
    /// What the client has of earlier messages, to look back at. Empty when the messages are compressed each by itself.
    said: Window,
    share: Share,
    used_at: Instant,
}

impl Deflater {
    pub(super) fn new(
        options: &PerMessageDeflate,
        window_bits: u8,
        is_context_kept: bool,
        share: Share,
    ) -> Self {
        let looked_back = if is_context_kept { window(window_bits).min(LOOKED_BACK) } else { 0 };
        Self {
            level: options.level,
            usual_bits: options.usual_bits(),
            window_bits,
            said: Window::new(looked_back),
            share,
            used_at: Instant::now(),
        }
    }

    /// Compresses a message, into what `write` is given. `None` if that makes it no shorter.
    pub(crate) fn compress<T>(&self, message: &[u8], write: impl FnOnce(&[u8]) -> T) -> Option<T> {
        compress(self.said.bytes(), message, self.level, self.window_bits, write)
    }

    /// The same without a look back at others, so that all clients can be given it that [take it](Self::takes_shared).
    pub(crate) fn compress_for_all<T>(&self, message: &[u8], write: impl FnOnce(&[u8]) -> T) -> Option<T> {
        compress(&[], message, self.level, self.usual_bits, write)
    }

    /// Whether the client can follow a message that was compressed for all.
    pub(crate) fn takes_shared(&self, message: &[u8]) -> bool {
        self.usual_bits <= self.window_bits || message.len() <= window(self.window_bits)
    }

    /// Takes note that a message has gone to the client, compressed in this way or another.
    pub(crate) fn said(&mut self, message: &[u8]) {
        self.used_at = Instant::now();
        if self.share.grow_to(self.said.len_with(message.len())) {
            self.said.push(message);
        } else {
            self.forget();
        }
    }

    /// Forgets what was said to a client that has been quiet for long.
    pub(crate) fn rest(&mut self, now: Instant) {
        if !self.said.bytes().is_empty() && now.saturating_duration_since(self.used_at) > KEPT_FOR {
            self.forget();
        }
    }

    /// The server may always look back less than it might.
    fn forget(&mut self) {
        self.said.clear();
        self.share.give_back();
    }
}

/// How far back a compressor may look in a window of so many bits.
fn window(bits: u8) -> usize {
    if bits < SMALLEST.0 { SMALLEST.1 } else { 1 << bits }
}

/// Compresses a message that may look back at what was said before.
fn compress<T>(
    said: &[u8],
    message: &[u8],
    level: u8,
    window_bits: u8,
    write: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    COMPRESSORS.with_borrow_mut(|compressors| {
        let mut buffer = std::mem::take(&mut compressors.buffer);
        let compressor = compressors.of(level, window_bits);
        compressor.reset();
        if !said.is_empty() {
            compressor.set_dictionary(said).ok()?;
        }
        // What does not fit in is no gain.
        let max = message.len() + TAIL.len();
        if buffer.len() < max {
            buffer.resize(max, 0);
        }
        let compressed = flush(compressor, message, &mut buffer[..max]).map(write);
        if buffer.len() <= KEPT_BUFFER {
            compressors.buffer = buffer;
        }
        compressed
    })
}

/// Runs a message through a compressor. `None` if it does not fit into the buffer.
fn flush<'a>(compressor: &mut Compress, message: &[u8], buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let (mut n_read, mut n_written) = (0, 0);
    loop {
        let (read, written) = (compressor.total_in(), compressor.total_out());
        compressor.compress(&message[n_read..], &mut buffer[n_written..], FlushCompress::Sync).ok()?;
        n_read += usize::try_from(compressor.total_in() - read).ok()?;
        n_written += usize::try_from(compressor.total_out() - written).ok()?;
        if n_written == buffer.len() {
            return None;
        }
        // A buffer with room left is how it says that everything is out.
        if n_read == message.len() {
            return buffer[..n_written].strip_suffix(&TAIL);
        }
    }
}

/// The compressors of a thread, the last used at the end.
#[derive(Default)]
struct Compressors {
    of: Vec<(u8, u8, Compress)>,
    buffer: Vec<u8>,
}

impl Compressors {
    fn of(&mut self, level: u8, window_bits: u8) -> &mut Compress {
        let window_bits = window_bits.clamp(SMALLEST.0, 15);
        let is_it =
            |(its_level, its_bits, _): &(u8, u8, Compress)| (*its_level, *its_bits) == (level, window_bits);
        let known = self.of.iter().position(is_it).map(|idx| self.of.remove(idx));
        if self.of.len() == MAX_COMPRESSORS {
            self.of.remove(0);
        }
        let make = || Compress::new_with_window_bits(Compression::new(level.into()), false, window_bits);
        let compressor = known.unwrap_or_else(|| (level, window_bits, make()));
        self.of.push(compressor);
        let last = self.of.last_mut().expect("one was added just now");
        &mut last.2
    }
}
