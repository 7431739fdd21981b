//! Peers that mean harm: each loses its own connection and nothing else happens.

use ferrio_engine::{Config, Limits};
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    SOON,
    client::{EntryPoint, Message, websocket},
    eventually,
    http::{UPGRADE, head, text},
    in_time, start, start_default,
    websocket::{CLOSE, PING, TEXT, frame},
};

#[tokio::test]
async fn packets_that_are_none_end_their_own_session() {
    let mut test = start_default().await;
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::Messages] {
        for packet in ["", "7", "x", "\u{1f980}", "-1", " 4hello"] {
            let (mut client, session) = test.open(entry_point).await;
            client.send(packet).await;
            let (closed, reason) = test.heard.closed().await;
            assert_eq!(closed.id(), session.id(), "{packet} by {entry_point:?}");
            assert_eq!(reason.as_str(), "parse error", "{packet} by {entry_point:?}");
            assert!(matches!(client.closed().await.last(), Some(Message::Closed(_))), "{packet}");
        }
    }
    test.assert_alive().await;
    test.emptied().await;
}

#[tokio::test]
async fn frames_that_break_the_rules_are_answered_with_their_status() {
    let mut half = frame(0x01, b"4");
    half.extend(frame(TEXT, b"40"));
    let cases: [(&str, Vec<u8>, u16); 14] = [
        ("unmasked", b"\x81\x0242".to_vec(), 1002),
        ("reserved bit", frame(0xc1, b"40"), 1002),
        ("reserved data opcode", frame(0x83, b"40"), 1002),
        ("reserved control opcode", frame(0x8b, b""), 1002),
        ("fragmented ping", frame(0x09, b""), 1002),
        ("long ping", frame(PING, &[0; 126]), 1002),
        ("continuation of nothing", frame(0x80, b"40"), 1002),
        ("a message within a message", half, 1002),
        ("half a status", frame(CLOSE, b"\x03"), 1002),
        ("a status that is never sent", frame(CLOSE, &1006_u16.to_be_bytes()), 1002),
        ("a status of nobody", frame(CLOSE, &5000_u16.to_be_bytes()), 1002),
        ("a reason that is no UTF-8", frame(CLOSE, b"\x03\xe8\xff"), 1007),
        ("invalid UTF-8", frame(TEXT, b"4\xff"), 1007),
        ("a length of 2\u{2076}\u{2074}", [&[0x81, 0xff][..], &[0xff; 12]].concat(), 1009),
    ];
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        for (name, bytes, status) in &cases {
            let mut test = start_default().await;
            let (client, _) = test.open(entry_point).await;
            let mut websocket = client.into_websocket();
            websocket.writer.raw(bytes).await;
            let answer = websocket.reader.receive().await;
            // A length beyond 2⁶³ may be an error of the protocol, too.
            let is_right = answer == Message::Closed(Some(*status))
                || (*status == 1009 && answer == Message::Closed(Some(1002)));
            assert!(is_right, "{name} by {entry_point:?}: {answer:?}");
            assert_eq!(test.heard.reason().await, "transport error", "{name} by {entry_point:?}");
            test.emptied().await;
        }
    }
}

#[tokio::test]
async fn a_close_is_answered_with_the_clients_own_status() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        for (body, status) in [(&b""[..], None), (b"\x03\xe9", Some(1001)), (b"\x0f\xa1bye", Some(4001))] {
            let mut test = start_default().await;
            let (client, _) = test.open(entry_point).await;
            let mut websocket = client.into_websocket();
            let mut bytes = frame(CLOSE, body);
            // Nothing counts behind it.
            bytes.extend(frame(TEXT, b"4late"));
            websocket.writer.raw(&bytes).await;
            assert_eq!(websocket.reader.receive().await, Message::Closed(status), "{entry_point:?}");
            assert_eq!(test.heard.reason().await, "transport close", "{entry_point:?}");
            test.emptied().await;
        }
    }
}

#[tokio::test]
async fn pings_are_answered_even_in_the_middle_of_a_message() {
    let mut test = start_default().await;
    let (client, _) = test.open(EntryPoint::Listen).await;
    let mut websocket = client.into_websocket();
    websocket.writer.frame(0x01, b"4who").await;
    websocket.writer.frame(PING, b"hello").await;
    assert_eq!(websocket.reader.receive().await, Message::Binary(b"hello".to_vec()));
    websocket.writer.frame(0x80, b"le").await;
    assert_eq!(test.heard.text().await, "whole");
}

#[tokio::test]
async fn pings_that_come_together_are_each_answered() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let mut test = start_default().await;
        let (client, _) = test.open(entry_point).await;
        let mut websocket = client.into_websocket();
        let pings: Vec<_> = (0..20_u8).flat_map(|number| frame(PING, &[number])).collect();
        websocket.writer.raw(&pings).await;
        for number in 0..20 {
            assert_eq!(websocket.reader.receive().await, Message::Binary(vec![number]), "{entry_point:?}");
        }
    }
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_to_its_end() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let mut test = start_default().await;
        let (client, _) = test.open(entry_point).await;
        let mut websocket = client.into_websocket();
        let mut writer = websocket.writer;
        // It reads nothing before it has sent everything.
        let last = 50_000_u32.to_be_bytes();
        for number in 0..=50_000_u32 {
            writer.frame(PING, &number.to_be_bytes()).await;
        }
        while websocket.reader.receive().await != Message::Binary(last.to_vec()) {}
    }
}

#[tokio::test]
async fn a_peer_that_closes_one_side_or_stops_halfway_is_let_go() {
    let mut test = start_default().await;
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let (client, _) = test.open(entry_point).await;
        let mut websocket = client.into_websocket();
        websocket.writer.raw(&frame(TEXT, b"4half")[..5]).await;
        websocket.writer.shutdown().await;
        assert_eq!(test.heard.reason().await, "transport close", "{entry_point:?}");
        while !matches!(websocket.reader.receive().await, Message::Closed(_) | Message::Lost) {}
    }
    test.emptied().await;
}

#[tokio::test]
async fn a_half_open_connection_times_out() {
    let config = Config { ping_interval: 2 * SOON, ping_timeout: SOON, ..Config::default() };
    let mut test = start(config).await;
    let (client, session) = test.open(EntryPoint::Listen).await;
    let watched = std::sync::Arc::downgrade(&session);
    drop(session);
    // It neither reads nor writes nor closes any more.
    assert_eq!(test.heard.reason().await, "ping timeout");
    eventually(|| watched.upgrade().is_none()).await;
    drop(client);
}

#[tokio::test]
async fn a_websocket_request_that_is_none_is_refused() {
    let test = start_default().await;
    let wrong: [(&str, &str); 4] = [
        ("sec-websocket-version", "8"),
        ("sec-websocket-key", "short"),
        ("upgrade", "h2c"),
        ("connection", "keep-alive"),
    ];
    for (name, value) in wrong {
        let mut headers = UPGRADE;
        headers.iter_mut().filter(|(known, _)| *known == name).for_each(|header| header.1 = value);
        let head = head(&Method::GET, "EIO=4&transport=websocket", &headers);
        let refused = in_time(test.server.serve_messages(head)).await.expect_err("it is refused");
        assert_eq!((refused.status().as_u16(), text(&refused)), (400, "Bad request"), "{name}");
    }
    assert_eq!(test.server.n_sessions(), 0);
}

#[tokio::test]
async fn garbage_on_the_port_harms_nobody() {
    let limits = Limits { header_timeout: SOON, ..Limits::default() };
    let mut test = start(Config { limits, ..Config::default() }).await;
    let (mut client, _) = test.open(EntryPoint::Listen).await;
    for garbage in [&b"\0\0\0\0"[..], b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n", &vec![0xff; 20_000]] {
        let mut stream = tokio::net::TcpStream::connect(test.address).await.unwrap();
        let _ = stream.write_all(garbage).await;
        let mut answer = Vec::new();
        // Closed by the server, perhaps by a reset.
        let _ = in_time(stream.read_to_end(&mut answer)).await;
    }
    client.send("4unharmed").await;
    assert_eq!(test.heard.text().await, "unharmed");
    assert!(websocket(&test, EntryPoint::TakeOver, "EIO=4&transport=websocket").await.is_ok());
}
