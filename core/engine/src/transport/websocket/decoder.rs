//! Bytes of a WebSocket client become messages.
//!
//! See [RFC 6455, section 5](https://www.rfc-editor.org/rfc/rfc6455#section-5). The frame header is read by
//! tungstenite; the bytes stay in the buffer that all connections of a thread share, so that a quiet connection
//! keeps none. Compressed messages are inflated when their last fragment has come.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use crate::deflate::{InflateError, Inflater};

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
    /// It was taken, and inflating so much took time: others have their turn before [`Decoder::resume`]. Only the decoder
    /// says so.
    Yield,
}

/// A rule that the peer broke. The WebSocket is closed with the status that says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// A frame that RFC 6455 does not allow.
    Protocol,
    /// Text that is not UTF-8.
    NotUtf8,
    /// Compressed data that is none.
    NotDeflate,
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
            Self::NotUtf8 | Self::NotDeflate => 1007,
            Self::TooManyFragments => 1008,
            Self::TooLarge => 1009,
        }
    }
}

impl From<InflateError> for FrameError {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::Malformed => Self::NotDeflate,
            InflateError::TooLarge => Self::TooLarge,
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
    /// Reads compressed messages, if that was agreed on.
    inflater: Option<Box<Inflater>>,
    /// Bytes that were inflated since others had their turn.
    n_inflated: usize,
}

#[derive(Debug)]
struct Fragments {
    is_text: bool,
    is_compressed: bool,
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

/// What is inflated in a row: about a millisecond's work. One read of compressed messages may bring a thousand times its
/// length.
const INFLATED_IN_A_ROW: usize = 1 << 20;

struct Head {
    opcode: OpCode,
    is_final: bool,
    is_compressed: bool,
    mask: [u8; 4],
    header_len: usize,
    total_len: usize,
}

impl Decoder {
    pub(crate) fn new(max_message: usize, max_fragments: usize, inflater: Option<Inflater>) -> Self {
        Self {
            max_message,
            max_fragments,
            partial: Vec::new(),
            fragments: None,
            held: None,
            inflater: inflater.map(Box::new),
            n_inflated: 0,
        }
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

    /// Gives the message that was held to `receive`, if there is one, and what came behind it.
    pub(crate) fn resume<W>(
        &mut self,
        receive: &mut impl FnMut(Incoming<'_>) -> Flow<W>,
    ) -> Result<Flow<W>, FrameError> {
        if let Some(held) = self.held.take() {
            let flow = receive(message(held.is_text, &held.data)?);
            if !matches!(flow, Flow::Continue) {
                self.held = Some(held).filter(|_| matches!(flow, Flow::Hold(_)));
                return Ok(flow);
            }
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
            if self.n_inflated >= INFLATED_IN_A_ROW {
                self.n_inflated = 0;
                return Ok((n_used, Flow::Yield));
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
        // Section 6 of RFC 7692: the first frame of a message says that it is compressed.
        let may_be_compressed =
            self.inflater.is_some() && matches!(header.opcode, OpCode::Data(Data::Text | Data::Binary));
        if (header.rsv1 && !may_be_compressed) || header.rsv2 || header.rsv3 {
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
        Ok(Some(Head {
            opcode: header.opcode,
            is_final: header.is_final,
            is_compressed: header.rsv1,
            mask,
            header_len,
            total_len,
        }))
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
                let is_compressed = head.is_compressed;
                if head.is_final {
                    return self.whole(is_text, is_compressed, body, receive);
                }
                self.fragments =
                    Some(Box::new(Fragments { is_text, is_compressed, data: body.to_vec(), count: 1 }));
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
                    let Fragments { is_text, is_compressed, data, .. } = *fragments;
                    return self.whole(is_text, is_compressed, &data, receive);
                }
            }
            OpCode::Control(Control::Ping) => return Ok(receive(Incoming::Ping(body))),
            OpCode::Control(Control::Close) => return Ok(receive(close(body)?)),
            OpCode::Control(_) => {}
        }
        Ok(Flow::Continue)
    }

    /// Gives a whole message to `receive`, and keeps it when it could not be taken.
    fn whole<W>(
        &mut self,
        is_text: bool,
        is_compressed: bool,
        body: &[u8],
        receive: &mut impl FnMut(Incoming<'_>) -> Flow<W>,
    ) -> Result<Flow<W>, FrameError> {
        let (held, n_inflated) = (&mut self.held, &mut self.n_inflated);
        let mut take = |body: &[u8]| {
            let flow = receive(message(is_text, body)?);
            if matches!(flow, Flow::Hold(_)) {
                *held = Some(Box::new(Held { is_text, data: body.to_vec() }));
            }
            Ok(flow)
        };
        match self.inflater.as_mut().filter(|_| is_compressed) {
            None => take(body),
            Some(inflater) => {
                // What a message may look back at is read for it, too.
                *n_inflated += inflater.window_len();
                inflater.inflate(body, self.max_message, |inflated| {
                    *n_inflated += inflated.len();
                    take(inflated)
                })?
            }
        }
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
mod tests;
