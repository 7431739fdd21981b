//! Writes a client's WebSocket frames and reads a server's.

use crate::Result;

/// The frame types of [RFC 6455, section 5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.2) that are met here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Opcode {
    Text = 0x1,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

/// One whole frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: Opcode,
    pub(crate) payload: &'a [u8],
}

/// The same for every frame: randomness would protect proxies, of which there are none here. Not zero, so that a
/// server cannot leave out the unmasking.
const MASK: [u8; 4] = [0x5a, 0x17, 0xc3, 0x9e];

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const LENGTH_IN_16_BITS: u8 = 0x7e;
const LENGTH_IN_64_BITS: u8 = 0x7f;

/// Appends one masked frame to `out`.
pub(crate) fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.push(FINAL | opcode as u8);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => out.push(MASKED | length),
        (_, Ok(length)) => {
            out.push(MASKED | LENGTH_IN_16_BITS);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(MASKED | LENGTH_IN_64_BITS);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Reads the first frame and its length in bytes; `None` while it is not complete.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let opcode = match *first {
        0x81 => Opcode::Text,
        0x88 => Opcode::Close,
        0x89 => Opcode::Ping,
        0x8a => Opcode::Pong,
        other => return Err(format!("the server sent a frame that starts with {other:#x}").into()),
    };
    let (length, header) = match (*second, rest) {
        (length @ ..126, _) => (usize::from(length), 2),
        (LENGTH_IN_16_BITS, [high, low, ..]) => (usize::from(u16::from_be_bytes([*high, *low])), 4),
        (LENGTH_IN_16_BITS, _) => return Ok(None),
        (other, _) => return Err(format!("the server sent a frame of length {other}").into()),
    };
    let end = header + length;
    Ok(bytes.get(header..end).map(|payload| (Frame { opcode, payload }, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_masked_and_has_the_right_length_form() {
        for (length, header) in [(5, 2), (125, 2), (126, 4), (70_000, 10)] {
            let payload = vec![b'a'; length];
            let mut out = Vec::new();
            write(&mut out, Opcode::Text, &payload);
            assert_eq!(out.len(), header + 4 + length);
            assert_eq!(out[header + 4], b'a' ^ MASK[0]);
        }
    }

    #[test]
    fn a_server_frame_is_read_once_it_is_whole() {
        let bytes = [&[0x81, 126, 0, 130][..], &[b'x'; 130]].concat();
        assert_eq!(read(&bytes[..1]).unwrap(), None);
        assert_eq!(read(&bytes[..3]).unwrap(), None);
        assert_eq!(read(&bytes[..133]).unwrap(), None);
        let expected = Frame { opcode: Opcode::Text, payload: &[b'x'; 130][..] };
        assert_eq!(read(&bytes).unwrap(), Some((expected, 134)));
    }

    #[test]
    fn a_fragment_or_a_masked_frame_from_the_server_is_a_fault() {
        assert!(read(&[0x01, 1, b'a']).is_err());
        assert!(read(&[0x81, 0x81, 0, 0, 0, 0, b'a']).is_err());
    }
}
