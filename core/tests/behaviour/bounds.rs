//! Every bound, met by a peer that asks for more: it gets the protocol's error, others notice nothing.

use std::time::Duration;

use bytes::Bytes;
use ferrio::{Config, Flags, Limits, OutboxLimits, Payload, Selection, Server, SlowReader, Socket, Writes};
use std::sync::Arc;
use tokio::net::TcpSocket;

use crate::support::{
    Client, SOON, TestServer,
    client::{EntryPoint, Message, websocket},
    eventually,
    http::{Http, assert_refused, text, websocket_request},
    start,
    websocket::{TEXT, WebSocket, frame},
};

fn limited(limits: Limits) -> Config {
    Config { limits, ..Config::default() }
}

fn engine_limited(limits: ferrio_engine::Limits) -> Config {
    let engine = ferrio_engine::Config { limits, ..Config::default().engine };
    Config { engine, ..Config::default() }
}

fn placeholders(n: usize) -> String {
    let all: Vec<_> = (0..n).map(|num| format!(r#"{{"_placeholder":true,"num":{num}}}"#)).collect();
    all.join(",")
}

/// Sees that a client was closed for this reason, and that others are served as ever.
async fn assert_closed(mut test: TestServer, mut client: Client, reason: &str) {
    assert_eq!(test.host.reason().await, reason);
    client.closed().await;
    test.emptied().await;
    assert!(test.server.metrics().engine.peer_errors > 0 || reason == "forced close");
    test.assert_alive().await;
}

// What a peer sends.

#[tokio::test]
async fn a_message_over_the_limit_closes_a_websocket_with_1009() {
    let config = Config {
        engine: ferrio_engine::Config { max_http_buffer_size: 1000, ..Config::default().engine },
        ..Config::default()
    };
    for entry_point in [
        EntryPoint::Channel,
        EntryPoint::Listen,
        EntryPoint::TakeOver,
        EntryPoint::Messages,
        EntryPoint::Upgraded,
    ] {
        let mut test = start(config.clone()).await;
        let (mut client, _) = test.join(entry_point).await;
        let longest = format!(r#"42["{}"]"#, "a".repeat(994));
        client.send(&longest).await;
        assert_eq!(test.host.event().await.1.len(), 998, "{entry_point:?}");
        client.send(&format!("{longest} ")).await;
        assert_eq!(test.host.reason().await, "transport error", "{entry_point:?}");
        assert_eq!(client.closed().await, [Message::Closed(Some(1009))], "{entry_point:?}");
        test.assert_alive().await;
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_before_it_has_come() {
    let config = Config {
        engine: ferrio_engine::Config { max_http_buffer_size: 1000, ..Config::default().engine },
        ..Config::default()
    };
    let mut test = start(config).await;
    let (client, _) = test.join(EntryPoint::Listen).await;
    let mut websocket = client.into_websocket();
    // The length that 2⁶⁰ bytes announce, and nothing of them.
    websocket.writer.raw(b"\x81\xff\x10\0\0\0\0\0\0\0\0\0\0\0").await;
    assert_eq!(websocket.reader.receive().await, Message::Closed(Some(1009)));
    assert_eq!(test.host.reason().await, "transport error");
}

#[tokio::test]
async fn fragments_are_bounded_in_number() {
    let mut test =
        start(engine_limited(ferrio_engine::Limits { max_fragments: 4, ..ferrio_engine::Limits::default() }))
            .await;
    let (client, _) = test.join(EntryPoint::Listen).await;
    let mut websocket = client.into_websocket();
    for fragment in [frame(0x01, b"42["), frame(0x00, b"\"a"), frame(0x00, b"b\""), frame(0x80, b"]")] {
        websocket.writer.raw(&fragment).await;
    }
    assert_eq!(test.host.event().await.1.text(), r#"["ab"]"#);
    websocket.writer.frame(0x01, b"4").await;
    for _ in 0..4 {
        websocket.writer.frame(0x00, b"").await;
    }
    assert_eq!(websocket.reader.receive().await, Message::Closed(Some(1008)));
    assert_eq!(test.host.reason().await, "transport error");
    test.assert_alive().await;
}

#[tokio::test]
async fn attachments_are_bounded_in_number() {
    for entry_point in [EntryPoint::Handle, EntryPoint::Channel] {
        let mut test = start(limited(Limits { max_attachments: 2, ..Limits::default() })).await;
        let (mut client, _) = test.join(entry_point).await;
        client.send(&format!(r#"452-["two",{}]"#, placeholders(2))).await;
        client.send_binary(b"1").await;
        client.send_binary(b"2").await;
        assert_eq!(test.host.event().await.1.attachments().len(), 2);
        client.send(&format!(r#"453-["three",{}]"#, placeholders(3))).await;
        assert_closed(test, client, "forced close").await;
    }
}

#[tokio::test]
async fn attachments_are_bounded_in_bytes_together() {
    // Each may be as long as a message, but not all of them together more than the option times their number.
    let limits = Limits { max_attachments: 1, ..Limits::default() };
    let mut test = start(Config {
        engine: ferrio_engine::Config { max_http_buffer_size: 100, ..Config::default().engine },
        limits,
        ..Config::default()
    })
    .await;
    let (mut client, _) = test.join(EntryPoint::Channel).await;
    client.send(&format!(r#"451-["one",{}]"#, placeholders(1))).await;
    client.send_binary(&[0; 100]).await;
    assert_eq!(test.host.event().await.1.attachments()[0].len(), 100);
    client.send(&format!(r#"451-["one",{}]"#, placeholders(1))).await;
    client.send_binary(&[0; 101]).await;
    assert_eq!(client.closed().await, [Message::Closed(Some(1009))]);
    assert_eq!(test.host.reason().await, "transport error");
}

#[tokio::test]
async fn attachments_that_do_not_come_in_time_end_the_session() {
    for entry_point in EntryPoint::ALL {
        let limits = Limits { attachments_timeout: SOON, ..Limits::default() };
        let mut test = start(limited(limits)).await;
        let (mut client, _) = test.join(entry_point).await;
        client.send(&format!(r#"452-["two",{}]"#, placeholders(2))).await;
        client.send_binary(b"1").await;
        assert_closed(test, client, "forced close").await;
    }
}

#[tokio::test]
async fn attachments_that_came_in_time_are_not_awaited_any_more() {
    let limits = Limits { attachments_timeout: SOON, ..Limits::default() };
    let config = Config {
        engine: ferrio_engine::Config { ping_interval: 3 * SOON, ..limited(limits).engine },
        ..limited(limits)
    };
    let mut test = start(config).await;
    let (mut client, _) = test.join(EntryPoint::Channel).await;
    client.send(&format!(r#"451-["one",{}]"#, placeholders(1))).await;
    client.send_binary(b"1").await;
    test.host.event().await;
    // The ping comes later than the attachments' time is up.
    assert_eq!(client.receive().await, Message::Text("2".to_owned()));
    client.send("3").await;
    client.send(r#"42["still here"]"#).await;
    assert_eq!(test.host.event().await.1.text(), r#"["still here"]"#);
}

#[tokio::test]
async fn nesting_is_bounded() {
    let mut test = start(limited(Limits { max_depth: 10, ..Limits::default() })).await;
    let nested = |depth: usize| format!("42[\"deep\",{}{}]", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let (mut client, _) = test.join(EntryPoint::Channel).await;
    client.send(&nested(10)).await;
    assert_eq!(test.host.event().await.1.text(), &nested(10)[2..]);
    client.send(&nested(11)).await;
    assert_closed(test, client, "forced close").await;
}

#[tokio::test]
async fn namespaces_of_a_connection_are_bounded() {
    let limits = Limits { max_namespaces_per_connection: 3, ..Limits::default() };
    let mut test = start(limited(limits)).await;
    test.server.dynamic_namespace(|name| name.starts_with("/n"));
    let (mut client, _) = test.join(EntryPoint::Channel).await;
    let first = test.join_with(&mut client, "40/n1,").await;
    test.join_with(&mut client, "40/n2,").await;
    client.send("40/n3,").await;
    assert_eq!(client.text().await, r#"44/n3,{"message":"too many namespaces"}"#);
    drop(first.disconnect(false, &mut Writes::new()));
    assert_eq!(client.text().await, "41/n1,");
    test.join_with(&mut client, "40/n3,").await;
    test.host.assert_silent();
}

#[tokio::test]
async fn a_client_that_joins_nothing_is_closed() {
    for entry_point in EntryPoint::ALL {
        let mut test = start(Config { connect_timeout: SOON, ..Config::default() }).await;
        let mut silent = test.open(entry_point).await;
        let (mut joined, _) = test.join(EntryPoint::Channel).await;
        assert!(matches!(silent.closed().await.last(), Some(Message::Closed(_))), "{entry_point:?}");
        joined.send(r#"42["here"]"#).await;
        assert_eq!(test.host.event().await.1.text(), r#"["here"]"#, "{entry_point:?}");
        eventually(|| test.server.engine().n_sessions() == 1).await;
    }
}

#[tokio::test]
async fn connections_are_bounded() {
    let mut test = start(engine_limited(ferrio_engine::Limits {
        max_connections: 2,
        ..ferrio_engine::Limits::default()
    }))
    .await;
    let (first, _) = test.join(EntryPoint::Handle).await;
    let mut second = test.open(EntryPoint::Channel).await;
    for http in [Http::memory(&test), Http::tcp(&test)] {
        let answer = http.get("EIO=4&transport=polling").await;
        assert_refused(&answer, 503, r#"{"code":3,"message":"Too many connections"}"#);
    }
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let refused =
            websocket(&test, entry_point, "EIO=4&transport=websocket").await.err().expect("it is refused");
        assert_eq!(text(&refused), "Too many connections", "{entry_point:?}");
    }
    first.close().await;
    test.host.departure().await;
    let _third = test.join(EntryPoint::Listen).await;
    test.join_with(&mut second, "40").await;
}

#[tokio::test]
async fn many_handshakes_at_once_do_not_exceed_the_bound_on_connections() {
    let config = Config {
        ask_allow_request: true,
        ..engine_limited(ferrio_engine::Limits { max_connections: 2, ..ferrio_engine::Limits::default() })
    };
    let mut test = start(config).await;
    let http = Http::memory(&test);
    let handshakes: Vec<_> = (0..5)
        .map(|_| {
            let http = http.clone();
            tokio::spawn(async move { http.get("EIO=4&transport=polling").await.status().as_u16() })
        })
        .collect();
    let mut answers = Vec::new();
    for _ in 0..5 {
        let ferrio::HostEvent::Request { answer, .. } = test.host.next().await else { panic!("it asks") };
        answers.push(answer);
    }
    for answer in answers {
        answer.send(Ok(ferrio::Admitted::default()));
    }
    let mut statuses = Vec::new();
    for handshake in handshakes {
        statuses.push(handshake.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503, 503]);
}

#[tokio::test]
async fn sessions_that_have_ended_leave_their_places_to_new_ones() {
    let mut test = start(engine_limited(ferrio_engine::Limits {
        max_connections: 2,
        ..ferrio_engine::Limits::default()
    }))
    .await;
    let mut ended = Vec::new();
    for _ in 0..4 {
        let (client, _) = test.join(EntryPoint::Handle).await;
        let polling = client.polling();
        polling.http.post(&polling.query, b"42/nowhere,[\"broken\"]").await;
        assert_eq!(test.host.reason().await, "forced server close");
        ended.push(client);
    }
    // Two could be told; with a new session only one can.
    let client = test.open(EntryPoint::Handle).await;
    for oldest in ended.drain(..3) {
        let answer = oldest.polling().get().await;
        assert_refused(&answer, 400, r#"{"code":1,"message":"Session ID unknown"}"#);
    }
    assert_eq!(text(&ended[0].polling().get().await), "6\x1e1");
    assert_eq!(ended[0].polling().get().await.status(), 400, "it was told");
    drop(client);
}

#[tokio::test]
async fn a_session_that_has_ended_keeps_nothing_but_its_last_words() {
    let mut test = start(Config::default()).await;
    let (client, socket) = test.join(EntryPoint::Handle).await;
    let handshake = Arc::downgrade(socket.connection().handshake());
    socket.emit(&Payload::event("last", []), Flags::default(), &mut Writes::new());
    drop(socket.disconnect(true, &mut Writes::new()));
    drop(socket);
    eventually(|| handshake.upgrade().is_none()).await;
    let polling = client.polling();
    assert_eq!(text(&polling.http.post(&polling.query, b"42[\"for nobody\"]").await), "ok");
    let wrong = polling.query.replace("EIO=4", "EIO=3");
    assert_eq!(polling.http.get(&wrong).await.status(), 400, "it has not changed its protocol");
    let upgrade = websocket(&test, EntryPoint::Listen, &client.upgrade_query()).await;
    assert_refused(&upgrade.err().expect("it is refused"), 400, "Bad request");
    assert_eq!(text(&polling.get().await), "42[\"last\"]\x1e41");
    assert_eq!(text(&polling.get().await), "6\x1e1");
    assert_eq!(polling.get().await.status(), 400);
    test.host.assert_silent();
}

#[tokio::test]
async fn nothing_keeps_a_socket_that_left() {
    let mut test = start(Config::default()).await;
    let (client, socket) = test.join(EntryPoint::Channel).await;
    let watched = Arc::downgrade(&socket);
    drop(socket);
    client.close().await;
    test.host.departure().await.finish();
    eventually(|| watched.upgrade().is_none()).await;
}

// What the host does not take.

#[tokio::test]
async fn reading_pauses_while_the_host_is_busy_and_nothing_is_lost() {
    let by_number = Limits { host_queue: 16, ..Limits::default() };
    let by_bytes = Limits { host_queue_bytes: 2000, ..Limits::default() };
    for limits in [by_number, by_bytes] {
        for entry_point in
            [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver, EntryPoint::Messages]
        {
            let mut test = start(limited(limits)).await;
            let (mut client, _) = test.join(entry_point).await;
            let n_events = 3000;
            let filler = "x".repeat(1000);
            let sending = tokio::spawn(async move {
                for number in 0..n_events {
                    client.send(&format!(r#"42["n",{number},"{filler}"]"#)).await;
                }
                client
            });
            eventually(|| test.server.metrics().socket_io.host_queue_depth > 0).await;
            eventually(|| {
                entry_point == EntryPoint::Messages || test.server.metrics().socket_io.host_queue_pauses > 0
            })
            .await;
            let depth = test.server.metrics().socket_io.host_queue_depth;
            assert!(depth <= 16, "{entry_point:?}: {depth} events wait");
            assert!(!sending.is_finished(), "{entry_point:?}: the client has to wait");
            for number in 0..n_events {
                let (_, payload, _) = test.host.event().await;
                assert!(payload.text().starts_with(&format!(r#"["n",{number},"#)), "{entry_point:?}");
            }
            let client = sending.await.unwrap();
            assert_eq!(test.server.metrics().socket_io.host_queue_depth, 0);
            client.close().await;
            test.host.departure().await;
        }
    }
}

#[tokio::test]
async fn a_post_is_answered_when_the_host_has_caught_up() {
    let mut test = start(limited(Limits { host_queue: 16, ..Limits::default() })).await;
    let (client, _) = test.join(EntryPoint::Handle).await;
    let packets: Vec<_> = (0..20).map(|number| format!(r#"42["n",{number}]"#)).collect();
    let polling = client.polling();
    let body = packets.join("\x1e");
    let mut post = Box::pin(polling.http.post(&polling.query, body.as_bytes()));
    assert!(futures_util::FutureExt::now_or_never(&mut post).is_none(), "it waits");
    let take_all = async {
        for _ in 0..20 {
            test.host.event().await;
        }
    };
    assert_eq!(text(&tokio::join!(post, take_all).0), "ok");
}

#[tokio::test]
async fn heartbeats_go_on_while_reading_pauses() {
    let config = Config {
        engine: ferrio_engine::Config {
            ping_interval: SOON,
            ..limited(Limits { host_queue: 16, ..Limits::default() }).engine
        },
        ..limited(Limits { host_queue: 16, ..Limits::default() })
    };
    let mut test = start(config).await;
    let (mut client, _) = test.join(EntryPoint::Listen).await;
    for number in 0..20 {
        client.send(&format!(r#"42["n",{number}]"#)).await;
    }
    eventually(|| test.server.metrics().socket_io.host_queue_pauses > 0).await;
    assert_eq!(client.receive().await, Message::Text("2".to_owned()));
    for _ in 0..20 {
        test.host.event().await;
    }
}

// What a peer does not read.

fn policy(policy: SlowReader, max_bytes: usize) -> Config {
    Config {
        engine: ferrio_engine::Config {
            outbox: OutboxLimits { max_bytes, policy },
            ..Config::default().engine
        },
        ..Config::default()
    }
}

/// A WebSocket over TCP whose client's kernel takes little, in the main namespace.
async fn join_lazy(test: &mut TestServer) -> (WebSocket, Arc<Socket>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(test.address).await.unwrap();
    let request = websocket_request("/socket.io", "EIO=4&transport=websocket");
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    let mut websocket = WebSocket::accepted(stream).await.expect("it is accepted");
    assert!(matches!(websocket.reader.receive().await, Message::Text(open) if open.starts_with('0')));
    websocket.writer.frame(TEXT, b"40").await;
    let socket = test.host.accept().await;
    assert!(matches!(websocket.reader.receive().await, Message::Text(connect) if connect.starts_with("40")));
    (websocket, socket)
}

fn numbered(number: usize) -> Payload {
    Payload::event("n", [number.to_string().as_str(), &format!("\"{}\"", "x".repeat(10_000))])
}

fn number_of(message: &Message) -> usize {
    let Message::Text(text) = message else { panic!("an event was due, not {message:?}") };
    text.strip_prefix(r#"42["n","#).and_then(|rest| rest.split(',').next()).unwrap().parse().unwrap()
}

/// Emits until the server has had enough of a reader that does not read.
async fn emit_until(server: &Server, socket: &Arc<Socket>, is_enough: impl Fn(&Server) -> bool) -> usize {
    let mut number = 0;
    eventually(|| {
        for _ in 0..10 {
            socket.emit(&numbered(number), Flags::default(), &mut Writes::new());
            number += 1;
        }
        is_enough(server)
    })
    .await;
    number
}

#[tokio::test]
async fn a_reader_that_stops_is_disconnected_and_others_notice_nothing() {
    let mut test = start(policy(SlowReader::Disconnect, 200_000)).await;
    let (_lazy, lazy_socket) = join_lazy(&mut test).await;
    let (mut quick, quick_socket) = test.join(EntryPoint::Listen).await;
    let mut number = 0;
    while lazy_socket.is_connected() {
        test.main().emit(&Selection::all(), &numbered(number), Flags::default(), &mut Writes::new());
        assert_eq!(number_of(&quick.receive().await), number);
        number += 1;
    }
    let departure = test.host.departure().await;
    assert_eq!(departure.socket().key(), lazy_socket.key());
    assert_eq!(departure.reason().as_str(), "slow reader");
    drop(departure);
    assert_eq!(test.server.metrics().engine.slow_readers_closed, 1);
    assert_eq!(test.main().n_sockets(), 1);
    assert!(quick_socket.is_connected());
    test.host.assert_silent();
    let watched = Arc::downgrade(&lazy_socket);
    drop(lazy_socket);
    // The reader still does not read: what was queued for it is given up all the same.
    eventually(|| watched.upgrade().is_none()).await;
}

#[tokio::test]
async fn a_slow_poller_is_disconnected() {
    let mut test = start(policy(SlowReader::Disconnect, 200_000)).await;
    let (mut client, socket) = test.join(EntryPoint::Handle).await;
    let n_emitted = emit_until(&test.server, &socket, |server| server.engine().n_sessions() == 0).await;
    assert!((20..=40).contains(&n_emitted), "{n_emitted}");
    assert_eq!(test.host.reason().await, "slow reader");
    let mut received = client.closed().await;
    assert_eq!(received.pop(), Some(Message::Closed(None)));
    test.assert_alive().await;
}

#[tokio::test]
async fn the_newest_events_may_be_dropped_instead() {
    let mut test = start(policy(SlowReader::DropNewest, 200_000)).await;
    let (mut lazy, socket) = join_lazy(&mut test).await;
    emit_until(&test.server, &socket, |server| server.metrics().engine.outbox_dropped > 100).await;
    // An ack is not dropped.
    lazy.writer.text(r#"429["question"]"#).await;
    let (_, _, reply) = test.host.event().await;
    reply.unwrap().send(&Payload::new("[]", Vec::new()), &mut Writes::new());
    let mut next = 0;
    loop {
        let message = lazy.reader.receive().await;
        if message == Message::Text("439[]".to_owned()) {
            break;
        }
        assert_eq!(number_of(&message), next, "those before the first that was dropped");
        next += 1;
    }
    socket.emit(&Payload::event("n", ["1000000", "0"]), Flags::default(), &mut Writes::new());
    assert_eq!(number_of(&lazy.reader.receive().await), 1_000_000);
    assert!(socket.is_connected());
}

#[tokio::test]
async fn the_oldest_events_may_be_dropped_instead() {
    let mut test = start(policy(SlowReader::DropOldest, 200_000)).await;
    let (mut lazy, socket) = join_lazy(&mut test).await;
    let n_emitted =
        emit_until(&test.server, &socket, |server| server.metrics().engine.outbox_dropped > 100).await;
    let n_dropped = usize::try_from(test.server.metrics().engine.outbox_dropped).unwrap();
    let mut numbers = Vec::new();
    while numbers.last() != Some(&(n_emitted - 1)) {
        numbers.push(number_of(&lazy.reader.receive().await));
    }
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert_eq!(numbers.len(), n_emitted - n_dropped, "every event came or was counted");
    assert!(socket.is_connected());
}

#[tokio::test]
async fn a_packet_is_dropped_with_its_attachments_or_not_at_all() {
    let mut test = start(policy(SlowReader::DropOldest, 200_000)).await;
    let (mut lazy, socket) = join_lazy(&mut test).await;
    let mut number = 0_usize;
    eventually(|| {
        let text = format!(r#"["b",{number},{{"_placeholder":true,"num":0}}]"#);
        let data = number.to_be_bytes().repeat(1000);
        socket.emit(&Payload::new(text, vec![Bytes::from(data)]), Flags::default(), &mut Writes::new());
        number += 1;
        test.server.metrics().engine.outbox_dropped > 100
    })
    .await;
    let mut last = 0;
    while last + 1 < number {
        let Message::Text(head) = lazy.reader.receive().await else { panic!("a head is due") };
        last = head.split(',').nth(1).unwrap().parse().unwrap();
        assert_eq!(lazy.reader.receive().await, Message::Binary(last.to_be_bytes().repeat(1000)));
    }
}

#[tokio::test]
async fn acks_alone_cannot_grow_an_outbox_without_bound() {
    let mut test = start(policy(SlowReader::DropNewest, 100_000)).await;
    let (mut lazy, _) = join_lazy(&mut test).await;
    let answer = Payload::new(format!("[\"{}\"]", "x".repeat(50_000)), Vec::new());
    while test.server.metrics().engine.slow_readers_closed == 0 {
        lazy.writer.text(r#"420["question"]"#).await;
        match test.host.next().await {
            ferrio::HostEvent::Event { reply, .. } => reply.unwrap().send(&answer, &mut Writes::new()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(test.host.reason().await, "slow reader");
}

#[tokio::test]
async fn a_peer_that_pings_and_never_reads_fills_nothing() {
    let mut test = start(policy(SlowReader::Disconnect, 20_000)).await;
    let (mut lazy, socket) = join_lazy(&mut test).await;
    let pings = frame(0x89, &[b'p'; 125]).repeat(500);
    for _ in 0..100 {
        lazy.writer.raw(&pings).await;
    }
    lazy.writer.text(r#"42["done"]"#).await;
    assert_eq!(test.host.event().await.1.text(), r#"["done"]"#);
    assert!(socket.is_connected());
}

// Options.

#[test]
fn options_out_of_their_bounds_are_refused_by_name() {
    let cases: [(&str, Config); 8] = [
        (
            "path",
            Config {
                engine: ferrio_engine::Config { path: "socket.io".to_owned(), ..Config::default().engine },
                ..Config::default()
            },
        ),
        (
            "ping_interval",
            Config {
                engine: ferrio_engine::Config { ping_interval: Duration::ZERO, ..Config::default().engine },
                ..Config::default()
            },
        ),
        ("connect_timeout", Config { connect_timeout: Duration::from_secs(86_401), ..Config::default() }),
        (
            "max_http_buffer_size",
            Config {
                engine: ferrio_engine::Config {
                    max_http_buffer_size: (1 << 30) + 1,
                    ..Config::default().engine
                },
                ..Config::default()
            },
        ),
        ("limits.max_attachments", limited(Limits { max_attachments: 1001, ..Limits::default() })),
        ("limits.host_queue", limited(Limits { host_queue: 15, ..Limits::default() })),
        (
            "limits.max_packets_per_poll",
            engine_limited(ferrio_engine::Limits {
                max_packets_per_poll: 0,
                ..ferrio_engine::Limits::default()
            }),
        ),
        ("outbox.max_bytes", policy(SlowReader::Disconnect, 1023)),
    ];
    for (option, config) in cases {
        let error = Server::new(config, || {}).expect_err("it is refused");
        assert_eq!(error.option(), option);
    }
}
