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
    let mut reader = Decoder::new(1000, 4, None);
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
    let mut reader = Decoder::new(1000, 4, None);
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
    let expected = ["text 4hello", "ping 13", "binary 300", "ping 0", "text 4fragmented", "text ", "close "];
    for piece in [1, 2, 3, 7, 13, 100, 10_000] {
        assert_eq!(read_in_pieces(&bytes, piece).expect("valid frames"), expected, "in pieces of {piece}");
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
