//! Bytes of a WebSocket client become messages.
//!
//! See [RFC 6455, section 5](https://www.rfc-editor.org/rfc/rfc6455#section-5). The frame header is read by
//! tungstenite; the bytes stay in the buffer that all connections of a thread share, so that a quiet connection
//! keeps none.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// What a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping, which is answered with the same bytes.
    Ping(&'a [u8]),
    /// The client closes the WebSocket. What it says with that is answered with the same bytes.
    Close(&'a [u8]),
}

/// What a message means for those behind it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flow<W> {
    /// The next may come.
    Continue,
    /// This message could not be taken. It is kept with all that came behind it, until [`Decoder::resume`].
    Hold(W),
    /// It was the last; what came behind it is thrown away.
    Stop,
}

/// A rule that the peer broke. The WebSocket is closed with the status that says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// A frame that RFC 6455 does not allow.
    Protocol,
    /// Text that is not UTF-8.
    NotUtf8,
    /// A message longer than the server takes.
    TooLarge,
    /// A message in more fragments than the server takes.
    TooManyFragments,
}

impl FrameError {
    /// The status code of [RFC 6455, section 7.4](https://www.rfc-editor.org/rfc/rfc6455#section-7.4).
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::NotUtf8 => 1007,
            Self::TooManyFragments => 1008,
            Self::TooLarge => 1009,
        }
    }
}

/// Reads the frames of one WebSocket.
#[derive(Debug)]
pub(crate) struct Decoder {
    max_message: usize,
    max_fragments: usize,
    /// The beginning of a frame whose rest has not come yet. Holds no memory while there is none.
    partial: Vec<u8>,
    /// A message whose last fragment has not come yet.
    fragments: Option<Box<Fragments>>,
    /// A message that could not be taken.
    held: Option<Box<Held>>,
}

#[derive(Debug)]
struct Fragments {
    is_text: bool,
    data: Vec<u8>,
    count: usize,
}

#[derive(Debug)]
struct Held {
    is_text: bool,
    data: Vec<u8>,
}

/// The longest header of a client's frame.
const MAX_HEADER: usize = 14;

/// The longest body of a control frame.
const MAX_CONTROL: u64 = 125;

struct Head {
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
    header_len: usize,
    total_len: usize,
}

impl Decoder {
    pub(crate) fn new(max_message: usize, max_fragments: usize) -> Self {
        Self { max_message, max_fragments, partial: Vec::new(), fragments: None, held: None }
    }

    /// Takes bytes as they came, and gives every complete message to `receive` as long as that takes them.
    pub(crate) fn feed<W>(
        &mut self,
        mut bytes: &mut [u8],
        receive: &mut impl FnMut(Incoming<'_>) -> Flow<W>,
    ) -> Result<Flow<W>, FrameError> {
        debug_assert!(self.held.is_none(), "what is held comes first");
        while !self.partial.is_empty() {
            let missing = match self.head(&self.partial)? {
                Some(head) => head.total_len - self.partial.len(),
                None => MAX_HEADER - self.partial.len(),
            };
            let n_taken = missing.min(bytes.len());
            let (taken, rest) = bytes.split_at_mut(n_taken);
            self.partial.reserve_exact(missing);
            self.partial.extend_from_slice(taken);
            bytes = rest;
            // Small frames may be complete although only a header was asked for.
            let mut buffer = std::mem::take(&mut self.partial);
            let (n_used, flow) = self.read(&mut buffer, receive)?;
            self.keep(buffer, n_used);
            if !matches!(flow, Flow::Continue) {
                self.partial.extend_from_slice(bytes);
                return Ok(flow);
            }
            if bytes.is_empty() {
                return Ok(Flow::Continue);
            }
        }
        let (n_used, flow) = self.read(bytes, receive)?;
        self.partial.extend_from_slice(&bytes[n_used..]);
        Ok(flow)
    }

    /// Gives the message that was held to `receive`, and what came behind it.
    pub(crate) fn resume<W>(
        &mut self,
        receive: &mut impl FnMut(Incoming<'_>) -> Flow<W>,
    ) -> Result<Flow<W>, FrameError> {
        let Some(held) = self.held.take() else { return Ok(Flow::Continue) };
        let flow = receive(message(held.is_text, &held.data)?);
        if !matches!(flow, Flow::Continue) {
            self.held = Some(held).filter(|_| matches!(flow, Flow::Hold(_)));
            return Ok(flow);
        }
        let mut buffer = std::mem::take(&mut self.partial);
        let (n_used, flow) = self.read(&mut buffer, receive)?;
        self.keep(buffer, n_used);
        Ok(flow)
    }

    /// Keeps what is left of a buffer whose beginning was used.
    fn keep(&mut self, mut buffer: Vec<u8>, n_used: usize) {
        if n_used < buffer.len() {
            buffer.drain(..n_used);
            self.partial = buffer;
        }
    }

    /// Reads all complete frames, and returns how many bytes they had.
    fn read<W>(
        &mut self,
        bytes: &mut [u8],
        receive: &mut impl FnMut(Incoming<'_>) -> Flow<W>,
    ) -> Result<(usize, Flow<W>), FrameError> {
        let mut n_used = 0;
        while let Some(head) = self.head(&bytes[n_used..])? {
            let frame = &mut bytes[n_used..];
            if frame.len() < head.total_len {
                break;
            }
            let body = &mut frame[head.header_len..head.total_len];
            unmask(body, head.mask);
            n_used += head.total_len;
            let flow = self.frame(&head, body, receive)?;
            if !matches!(flow, Flow::Continue) {
                return Ok((n_used, flow));
            }
        }
        Ok((n_used, Flow::Continue))
    }

    /// Reads a frame's header, `None` when it is not complete, and checks it.
    fn head(&self, bytes: &[u8]) -> Result<Option<Head>, FrameError> {
        let mut cursor = Cursor::new(bytes);
        let Some((header, len)) = FrameHeader::parse(&mut cursor).map_err(|_| FrameError::Protocol)? else {
            return Ok(None);
        };
        let header_len = usize::try_from(cursor.position()).map_err(|_| FrameError::Protocol)?;
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(FrameError::Protocol);
        }
        let mask = header.mask.ok_or(FrameError::Protocol)?;
        match header.opcode {
            OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => {
                return Err(FrameError::Protocol);
            }
            OpCode::Control(_) if len > MAX_CONTROL || !header.is_final => return Err(FrameError::Protocol),
            OpCode::Control(_) | OpCode::Data(_) => {}
        }
        // Before anything of it is kept: what is announced is bounded, not only what comes.
        let before = self.fragments.as_ref().map_or(0, |fragments| fragments.data.len());
        let len = usize::try_from(len).ok().filter(|len| before.saturating_add(*len) <= self.max_message);
        let is_control = matches!(header.opcode, OpCode::Control(_));
        let body_len = match len {
            Some(len) => len,
            None if is_control => bytes.get(1).map_or(0, |byte| usize::from(byte & 0x7f)),
            None => return Err(FrameError::TooLarge),
        };
        let total_len = header_len + body_len;
        Ok(Some(Head { opcode: header.opcode, is_final: header.is_final, mask, header_len, total_len }))
    }

    fn frame<W>(
        &mut self,
        head: &Head,
        body: &[u8],
        receive: &mut impl FnMut(Incoming<'_>) -> Flow<W>,
    ) -> Result<Flow<W>, FrameError> {
        match head.opcode {
            OpCode::Data(data @ (Data::Text | Data::Binary)) => {
                if self.fragments.is_some() {
                    return Err(FrameError::Protocol);
                }
                let is_text = data == Data::Text;
                if head.is_final {
                    let flow = receive(message(is_text, body)?);
                    if matches!(flow, Flow::Hold(_)) {
                        self.held = Some(Box::new(Held { is_text, data: body.to_vec() }));
                    }
                    return Ok(flow);
                }
                self.fragments = Some(Box::new(Fragments { is_text, data: body.to_vec(), count: 1 }));
            }
            OpCode::Data(_) => {
                let fragments = self.fragments.as_mut().ok_or(FrameError::Protocol)?;
                fragments.count += 1;
                if fragments.count > self.max_fragments {
                    return Err(FrameError::TooManyFragments);
                }
                fragments.data.extend_from_slice(body);
                if head.is_final
                    && let Some(fragments) = self.fragments.take()
                {
                    let Fragments { is_text, data, .. } = *fragments;
                    let flow = receive(message(is_text, &data)?);
                    if matches!(flow, Flow::Hold(_)) {
                        self.held = Some(Box::new(Held { is_text, data }));
                    }
                    return Ok(flow);
                }
            }
            OpCode::Control(Control::Ping) => return Ok(receive(Incoming::Ping(body))),
            OpCode::Control(Control::Close) => return Ok(receive(close(body)?)),
            OpCode::Control(_) => {}
        }
        Ok(Flow::Continue)
    }
}

fn message(is_text: bool, body: &[u8]) -> Result<Incoming<'_>, FrameError> {
    if is_text {
        return std::str::from_utf8(body).map(Incoming::Text).map_err(|_| FrameError::NotUtf8);
    }
    Ok(Incoming::Binary(body))
}

/// See [RFC 6455, section 5.5.1](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1): nothing, or a status and then
/// text.
fn close(body: &[u8]) -> Result<Incoming<'_>, FrameError> {
    if let Some((status, reason)) = body.split_first_chunk() {
        if !may_be_sent(u16::from_be_bytes(*status)) {
            return Err(FrameError::Protocol);
        }
        std::str::from_utf8(reason).map_err(|_| FrameError::NotUtf8)?;
    } else if !body.is_empty() {
        return Err(FrameError::Protocol);
    }
    Ok(Incoming::Close(body))
}

/// Whether a status may stand in a close frame. 1004 to 1006 and 1015 never do, what lies between is not assigned.
/// See [RFC 6455, section 7.4](https://www.rfc-editor.org/rfc/rfc6455#section-7.4), and IANA for those up to 1014.
fn may_be_sent(status: u16) -> bool {
    matches!(status, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Takes the mask off, eight bytes at a time.
fn unmask(body: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = body.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, body: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let header = FrameHeader {
            is_final: first & 0x80 != 0,
            rsv1: first & 0x40 != 0,
            opcode: OpCode::from(first & 0x0f),
            mask: Some(mask),
            ..FrameHeader::default()
        };
        let mut frame = Vec::new();
        header.format(body.len() as u64, &mut frame).expect("a vector takes everything");
        frame.extend(body.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    fn told(incoming: Incoming<'_>) -> String {
        match incoming {
            Incoming::Text(text) => format!("text {text}"),
            Incoming::Binary(data) => format!("binary {}", data.len()),
            Incoming::Ping(data) => format!("ping {}", data.len()),
            Incoming::Close(body) => format!("close {}", body.escape_ascii()),
        }
    }

    fn read_in_pieces(bytes: &[u8], piece: usize) -> Result<Vec<String>, FrameError> {
        let mut reader = Decoder::new(1000, 4);
        let mut seen = Vec::new();
        for chunk in bytes.to_vec().chunks_mut(piece) {
            let _ = reader.feed(chunk, &mut |incoming| {
                seen.push(told(incoming));
                Flow::<()>::Continue
            })?;
        }
        Ok(seen)
    }

    /// Each message is refused so many times before it is taken.
    fn read_with_holds(bytes: &[u8], piece: usize, n_holds: usize) -> Vec<String> {
        let mut reader = Decoder::new(1000, 4);
        let mut seen = Vec::new();
        let mut n_held = 0;
        let mut receive = |incoming: Incoming<'_>| {
            let is_message = matches!(incoming, Incoming::Text(_) | Incoming::Binary(_));
            if is_message && n_held < n_holds {
                n_held += 1;
                return Flow::Hold(());
            }
            n_held = 0;
            seen.push(told(incoming));
            Flow::Continue
        };
        for chunk in bytes.to_vec().chunks_mut(piece) {
            let mut flow = reader.feed(chunk, &mut receive).expect("valid frames");
            while matches!(flow, Flow::Hold(())) {
                flow = reader.resume(&mut receive).expect("valid frames");
            }
        }
        assert!(reader.partial.is_empty() && reader.held.is_none());
        seen
    }

    #[test]
    fn messages_are_the_same_however_the_bytes_come() {
        let mut bytes = masked(0x81, b"4hello");
        bytes.extend(masked(0x89, b"are you there"));
        bytes.extend(masked(0x82, &[7; 300]));
        bytes.extend(masked(0x01, b"4frag"));
        bytes.extend(masked(0x89, b""));
        bytes.extend(masked(0x80, b"mented"));
        bytes.extend(masked(0x81, b""));
        bytes.extend(masked(0x88, b""));
        let expected =
            ["text 4hello", "ping 13", "binary 300", "ping 0", "text 4fragmented", "text ", "close "];
        for piece in [1, 2, 3, 7, 13, 100, 10_000] {
            assert_eq!(
                read_in_pieces(&bytes, piece).expect("valid frames"),
                expected,
                "in pieces of {piece}"
            );
            for n_holds in [1, 2] {
                assert_eq!(
                    read_with_holds(&bytes, piece, n_holds),
                    expected,
                    "in pieces of {piece}, each held {n_holds} times"
                );
            }
        }
    }

    #[test]
    fn a_message_is_refused_by_its_announced_length() {
        let bytes = masked(0x81, &[b'a'; 2000]);
        assert_eq!(read_in_pieces(&bytes[..8], 8), Err(FrameError::TooLarge));
    }

    #[test]
    fn fragments_are_bounded_by_length_and_number() {
        let mut long = masked(0x01, &[b'a'; 600]);
        long.extend(masked(0x80, &[b'a'; 600]));
        assert_eq!(read_in_pieces(&long, 5000), Err(FrameError::TooLarge));
        let mut many = masked(0x01, b"a");
        (0..4).for_each(|_| many.extend(masked(0x00, b"a")));
        assert_eq!(read_in_pieces(&many, 5000), Err(FrameError::TooManyFragments));
    }

    #[test]
    fn a_close_frame_has_a_status_that_may_be_sent_and_text() {
        let close = |status: u16, reason: &[u8]| {
            read_in_pieces(&masked(0x88, &[&status.to_be_bytes()[..], reason].concat()), 500)
        };
        for status in [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4001, 4999] {
            assert!(close(status, "gehe ♥".as_bytes()).is_ok(), "{status}");
        }
        for status in [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535] {
            assert_eq!(close(status, b""), Err(FrameError::Protocol), "{status}");
        }
        assert_eq!(close(1000, b"\xff"), Err(FrameError::NotUtf8));
        assert_eq!(read_in_pieces(&masked(0x88, b"\x03"), 500), Err(FrameError::Protocol), "half a status");
    }

    #[test]
    fn what_the_rfc_forbids_is_refused() {
        let unmasked = b"\x81\x01a".to_vec();
        let reserved_bit = masked(0xc1, b"a");
        let reserved_opcode = masked(0x83, b"a");
        let long_ping = masked(0x89, &[0; 126]);
        let lone_continuation = masked(0x80, b"a");
        for bytes in [unmasked, reserved_bit, reserved_opcode, long_ping, lone_continuation] {
            assert_eq!(read_in_pieces(&bytes, 500), Err(FrameError::Protocol), "{bytes:?}");
        }
        assert_eq!(read_in_pieces(&masked(0x81, &[0xff]), 500), Err(FrameError::NotUtf8));
    }
}
