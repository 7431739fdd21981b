//! The frames that wait for one connection.

use std::{collections::VecDeque, io::IoSlice};

use crate::packet::frame::{Encoded, Frame, FrameKind};

/// Frames in the order in which they will leave, and how much of the first has left already.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Queued>,
    bytes: usize,
    /// Bytes of the first frame that a WebSocket has taken. Such a packet can no longer be dropped.
    written: usize,
    /// Messages of at least this many bytes leave compressed.
    compress_from: Option<usize>,
}

#[derive(Debug)]
struct Queued {
    frame: Frame,
    /// How many frames after this one belong to the same packet.
    n_followers: usize,
    /// Whether it is the first of its packet.
    is_head: bool,
    options: SendOptions,
    /// Whether what follows leaves in another write.
    ends_write: bool,
    /// Whether it has to be compressed before it may leave.
    is_raw: bool,
}

/// How a packet is sent.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendOptions {
    /// Dropped unless it can leave at once. Default `false`.
    pub volatile: bool,
    /// Whether this packet may be compressed: the polling answer with it, or its frames. Default `true`.
    pub compress: bool,
    /// Whether it may be dropped when the outbox is full and the policy says so. Default `false`: others rely on it.
    pub is_droppable: bool,
    /// Whether [`SessionEvent::PacketCreate`](crate::SessionEvent::PacketCreate) tells of it. Default `true`; not for a host
    /// that tells its application by itself.
    pub is_told: bool,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { volatile: false, compress: true, is_droppable: false, is_told: true }
    }
}

/// What it takes to keep a frame, besides its bytes: a place in the queue, the buffer's own accounts. Without it many
/// tiny frames would be kept for nothing.
const FRAME_OVERHEAD: usize = 96;

/// Answers to WebSocket pings that wait in a row: as many as one vectored write takes.
const PONGS_IN_A_ROW: usize = 32;

/// So many frames are compressed ahead, and so many bytes: what one write may take.
const COMPRESSED_AHEAD: (usize, usize) = (32, 64 << 10);

/// A quiet connection keeps no more than this many places.
const KEPT_CAPACITY: usize = 8;

impl Queued {
    fn weight(&self) -> usize {
        self.frame.len() + FRAME_OVERHEAD
    }
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait: frames with their headers, and what it takes to keep each.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes - self.written
    }

    /// Appends a packet with its attachments, which stay together.
    pub(crate) fn push(&mut self, packet: &Encoded, options: SendOptions) {
        let n_attachments = packet.attachments.len();
        self.push_frame(packet.head.clone(), n_attachments, true, options);
        for (idx, frame) in packet.attachments.iter().enumerate() {
            self.push_frame(frame.clone(), n_attachments - idx - 1, false, options);
        }
    }

    /// Appends one frame.
    pub(crate) fn push_control(&mut self, frame: Frame) {
        self.push_frame(frame, 0, true, SendOptions::default());
    }

    /// Lets what is queued from now on leave in another write than what waits.
    pub(crate) fn end_write(&mut self) {
        if let Some(last) = self.queue.back_mut() {
            last.ends_write = true;
        }
    }

    /// Whether a write ends with the first frame.
    pub(crate) fn ends_write(&self) -> bool {
        self.queue.front().is_some_and(|first| first.ends_write)
    }

    #[inline]
    fn push_frame(&mut self, frame: Frame, n_followers: usize, is_head: bool, options: SendOptions) {
        let is_raw = match self.compress_from {
            Some(threshold) => is_to_compress(&frame, options, threshold),
            None => false,
        };
        let queued = Queued { frame, n_followers, is_head, options, ends_write: false, is_raw };
        self.bytes += queued.weight();
        self.queue.push_back(queued);
    }

    /// Appends a frame unless the last one is the same and has not begun to leave: a peer that floods with pings and
    /// does not read gets one pong.
    pub(crate) fn push_once(&mut self, frame: Frame) {
        let is_under_way = self.written > 0 && self.queue.len() == 1;
        let is_repeated = self.queue.back().is_some_and(|last| last.frame.wire() == frame.wire());
        if !is_repeated || is_under_way {
            self.push_control(frame);
        }
    }

    /// Appends the answer to a WebSocket ping, in the place of the last when so many wait in a row: a peer that floods
    /// with pings and does not read is owed the answer to its latest only.
    /// See [RFC 6455, section 5.5.3](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.3).
    ///
    /// Returns whether it is time to write.
    pub(crate) fn push_pong(&mut self, frame: Frame) -> bool {
        let is_pong = |queued: &&Queued| queued.frame.kind() == FrameKind::Control;
        let n_pongs = self.queue.iter().rev().take(PONGS_IN_A_ROW).take_while(is_pong).count();
        // With so many before it, the last has not begun to leave.
        if n_pongs == PONGS_IN_A_ROW
            && let Some(last) = self.queue.pop_back()
        {
            self.bytes -= last.weight();
        }
        self.push_control(frame);
        n_pongs + 1 >= PONGS_IN_A_ROW
    }

    /// Whether a frame has left in part.
    pub(crate) fn is_mid_frame(&self) -> bool {
        self.written > 0
    }

    /// Has messages of at least this many bytes compressed before they leave.
    pub(crate) fn compress_from(&mut self, threshold: usize) {
        self.compress_from = Some(threshold);
        self.mark_raw();
    }

    fn mark_raw(&mut self) {
        let Some(threshold) = self.compress_from else { return };
        for queued in &mut self.queue {
            queued.is_raw = is_to_compress(&queued.frame, queued.options, threshold);
        }
    }

    /// The next frame that has to be compressed, unless enough is ready to leave.
    pub(crate) fn next_raw(&self) -> Option<Frame> {
        let (max_frames, max_bytes) = COMPRESSED_AHEAD;
        let mut n_bytes = 0;
        for queued in self.queue.iter().take(max_frames) {
            if queued.is_raw {
                return Some(queued.frame.clone());
            }
            n_bytes += queued.frame.len();
            if n_bytes >= max_bytes {
                return None;
            }
        }
        None
    }

    /// Lets the frame that [`next_raw`](Self::next_raw) gave leave, in its compressed form if that is any shorter. Returns
    /// `false` when it has been dropped meanwhile.
    pub(crate) fn set_compressed(&mut self, raw: &Frame, compressed: Option<Frame>) -> bool {
        let Some(idx) = self.queue.iter().position(|queued| queued.is_raw) else { return false };
        let queued = &mut self.queue[idx];
        if !queued.frame.is_same(raw) {
            return false;
        }
        queued.is_raw = false;
        if let Some(compressed) = compressed {
            self.bytes -= queued.weight();
            queued.frame = compressed;
            self.bytes += queued.weight();
            // What is compressed later looks back at it: it has to arrive, and its packet with it.
            if let Some(head) = self.queue.range_mut(..=idx).rev().find(|queued| queued.is_head) {
                head.options.is_droppable = false;
            }
        }
        true
    }

    /// Appends what waits in another outbox.
    pub(crate) fn append(&mut self, other: &mut Self) {
        debug_assert_eq!(other.written, 0, "a frame cannot change its WebSocket half way");
        if self.compress_from.is_some() {
            other.compress_from = self.compress_from;
            other.mark_raw();
        }
        self.bytes += other.bytes;
        self.queue.append(&mut other.queue);
        *other = Self::default();
    }

    /// Drops the oldest events until at most `max_bytes` wait, and returns how many packets that were.
    pub(crate) fn drop_oldest(&mut self, max_bytes: usize) -> u64 {
        let mut n_dropped = 0;
        // The rest of a packet whose beginning has left must follow it.
        let n_begun = self.queue.iter().take_while(|queued| !queued.is_head).count();
        let is_head_begun = self.written > 0 && n_begun == 0;
        let mut idx =
            if is_head_begun { self.queue.front().map_or(0, |first| first.n_followers + 1) } else { n_begun };
        while self.bytes() > max_bytes && idx < self.queue.len() {
            let n_frames = self.queue[idx].n_followers + 1;
            if !self.queue[idx].options.is_droppable {
                idx += n_frames;
                continue;
            }
            let removed = self.queue.drain(idx..idx + n_frames);
            self.bytes -= removed.map(|queued| queued.weight()).sum::<usize>();
            n_dropped += 1;
        }
        n_dropped
    }

    /// Forgets everything but a frame that is half written.
    pub(crate) fn clear(&mut self) {
        let kept = usize::from(self.written > 0);
        self.bytes -= self.queue.drain(kept..).map(|queued| queued.weight()).sum::<usize>();
    }

    /// Fills `slices` with what comes next, for one vectored write. That is nothing if the next has to be compressed first.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut n_slices = 0;
        for (slice, queued) in slices.iter_mut().zip(&self.queue) {
            if queued.is_raw {
                break;
            }
            let start = if n_slices == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&queued.frame.wire()[start..]);
            n_slices += 1;
            if queued.ends_write {
                break;
            }
        }
        n_slices
    }

    /// Takes note that `n` bytes have left.
    pub(crate) fn advance(&mut self, n: usize) {
        self.written += n;
        while let Some(first) = self.queue.front()
            && self.written >= first.frame.len()
        {
            let len = first.frame.len();
            self.written -= len;
            self.bytes -= first.weight();
            self.queue.pop_front();
        }
        self.shrink();
    }

    /// Takes the next whole frame, for a transport that sends frames and not bytes. Frames that only a WebSocket
    /// carries are passed over. With it comes whether it may be compressed.
    pub(crate) fn pop(&mut self) -> Option<(Frame, bool)> {
        loop {
            let Some(queued) = self.queue.pop_front() else {
                self.shrink();
                return None;
            };
            self.bytes -= queued.weight();
            if queued.frame.kind() != FrameKind::Control {
                return Some((queued.frame, queued.options.compress));
            }
        }
    }

    fn shrink(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > KEPT_CAPACITY {
            self.queue = VecDeque::new();
        }
    }
}

/// Whether a frame has to be compressed on a WebSocket where that was agreed on. Most have none of it to do.
#[cold]
fn is_to_compress(frame: &Frame, options: SendOptions, threshold: usize) -> bool {
    options.compress && frame.body_len() >= threshold && frame.kind() != FrameKind::Control
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: SendOptions =
        SendOptions { volatile: false, compress: true, is_droppable: true, is_told: true };

    fn event(text: &str) -> Encoded {
        Frame::text(text.len(), |out| out.push_str(text)).into()
    }

    fn rest(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.pop()).map(|(frame, _)| frame.packet().to_owned()).collect()
    }

    #[test]
    fn bytes_are_counted_as_they_leave() {
        let mut outbox = Outbox::default();
        outbox.push(&event("42[1]"), EVENT);
        outbox.push(&event("42[2]"), EVENT);
        assert_eq!(outbox.bytes(), 14 + 2 * FRAME_OVERHEAD);
        outbox.advance(3);
        assert_eq!(outbox.bytes(), 11 + 2 * FRAME_OVERHEAD);
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(outbox.slices(&mut slices), 2);
        assert_eq!(&*slices[0], b"2[1]".as_slice());
        outbox.advance(11);
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn the_oldest_events_go_first_and_neither_control_packets_nor_half_written_ones() {
        let mut outbox = Outbox::default();
        outbox.push(&event("42[1]"), EVENT);
        outbox.push(&event("2"), SendOptions::default());
        outbox.push(&event("42[2]"), EVENT);
        outbox.push(&event("42[3]"), EVENT);
        outbox.advance(1);
        assert_eq!(outbox.drop_oldest(16 + 3 * FRAME_OVERHEAD), 1);
        outbox.advance(6);
        assert_eq!(rest(&mut outbox), ["2", "42[3]"]);
    }

    #[test]
    fn the_attachments_of_a_packet_that_has_begun_to_leave_stay() {
        let mut outbox = Outbox::default();
        let mut packet = event("451-[1]");
        packet.attachments.push(Frame::binary(ferrio_protocol::engine::Protocol::V4, b"abc"));
        outbox.push(&packet, EVENT);
        outbox.push(&event("42[2]"), EVENT);
        outbox.advance(packet.head.len());
        assert_eq!(outbox.drop_oldest(6 + FRAME_OVERHEAD), 1);
        assert_eq!(outbox.bytes(), 5 + FRAME_OVERHEAD);
    }

    #[test]
    fn a_write_ends_where_it_was_told_to() {
        let mut outbox = Outbox::default();
        outbox.push(&event("40"), SendOptions::default());
        outbox.end_write();
        outbox.push(&event("42[1]"), EVENT);
        outbox.push(&event("42[2]"), EVENT);
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(outbox.slices(&mut slices), 1);
        outbox.advance(4);
        assert_eq!(outbox.slices(&mut [IoSlice::new(&[]); 4]), 2);
    }

    #[test]
    fn a_flood_of_pings_gets_one_pong() {
        let pong = || Frame::text(1, |out| out.push('3'));
        let mut outbox = Outbox::default();
        (0..1000).for_each(|_| outbox.push_once(pong()));
        assert_eq!(rest(&mut outbox), ["3"]);
    }

    #[test]
    fn pings_that_come_faster_than_their_answers_leave_are_answered_first_and_last() {
        let mut outbox = Outbox::default();
        outbox.push(&event("42[1]"), EVENT);
        let is_time = [(); PONGS_IN_A_ROW].map(|()| outbox.push_pong(Frame::pong(b"early")));
        assert_eq!(is_time.iter().position(|is_time| *is_time), Some(PONGS_IN_A_ROW - 1));
        let bytes = outbox.bytes();
        (0..1000).for_each(|_| _ = outbox.push_pong(Frame::pong(b"later")));
        assert_eq!(outbox.bytes(), bytes);
        let last = outbox.queue.back().map(|last| last.frame.wire().ends_with(b"later"));
        assert_eq!(last, Some(true));
    }

    #[test]
    fn a_packet_is_dropped_with_its_attachments() {
        let mut outbox = Outbox::default();
        let mut packet = event("451-[1]");
        packet.attachments.push(Frame::binary(ferrio_protocol::engine::Protocol::V4, b"abc"));
        outbox.push(&packet, EVENT);
        outbox.push(&event("42[2]"), EVENT);
        assert_eq!(outbox.drop_oldest(10 + FRAME_OVERHEAD), 1);
        assert_eq!(rest(&mut outbox), ["42[2]"]);
    }
}
