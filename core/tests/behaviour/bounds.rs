//! Every bound, met by a peer that asks for more: it gets the protocol's error, others notice nothing.

use std::{sync::Arc, time::Duration};

use ferrio::{
    Config, Flags, HostEvent, Limits, OutboxLimits, Parser, Payload, Server, SessionEvent, SlowReader,
    Socket, Watch, Writes,
};
use http::{HeaderMap, HeaderValue, header};

use crate::support::{
    Client, SOON, TestServer,
    client::{EntryPoint, Message, lazy_websocket, websocket},
    eventually,
    http::text,
    start,
    websocket::{TEXT, WebSocket},
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
    for name in ["/n1", "/n2", "/n3"] {
        test.server.namespace(name);
    }
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
async fn nothing_keeps_a_socket_that_left() {
    let mut test = start(Config::default()).await;
    let (client, socket) = test.join(EntryPoint::Channel).await;
    let watched = Arc::downgrade(&socket);
    drop(socket);
    client.close().await;
    test.host.disconnected().await.finish();
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
            test.host.disconnected().await;
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

#[tokio::test]
async fn heartbeats_that_the_host_is_told_of_wait_for_it() {
    let limits = Limits { host_queue: 16, ..Limits::default() };
    let told = Watch::PACKET | Watch::HEARTBEAT | Watch::PACKET_CREATE | Watch::DRAIN;
    for (query, heartbeat, n_told) in [("EIO=4", "3", 2), ("EIO=3", "2", 4)] {
        let mut config = Config { parser: Parser::None, ..limited(limits) };
        config.engine.allow_eio3 = true;
        let mut test = start(config).await;
        test.server.engine().watch_new_sessions(told);
        let query = format!("{query}&transport=websocket");
        let client = websocket(&test, EntryPoint::Channel, &query).await.unwrap();
        let opened = test.host.next().await;
        assert!(matches!(opened, HostEvent::Session { event: SessionEvent::Opened, .. }), "{opened:?}");
        let n_heartbeats = 20_000;
        let (mut reader, mut writer) = (client.reader, client.writer);
        let sending = tokio::spawn(async move {
            for _ in 0..n_heartbeats {
                writer.text(heartbeat).await;
            }
            writer
        });
        let reading = tokio::spawn(async move { while reader.receive().await != Message::Lost {} });
        eventually(|| test.server.metrics().socket_io.host_queue_pauses > 0).await;
        let depth = test.server.metrics().socket_io.host_queue_depth;
        assert!(depth < 16 + n_told, "{depth} events wait");
        let mut n_heard = 0;
        while n_heard < n_heartbeats {
            let event = test.host.next().await;
            n_heard += i32::from(matches!(event, HostEvent::Session { event: SessionEvent::Heartbeat, .. }));
        }
        drop(sending.await.unwrap());
        reading.abort();
    }
}

#[tokio::test]
async fn questions_about_headers_do_not_pile_up_while_the_host_is_busy() {
    let mut test = start(limited(Limits { host_queue: 16, ..Limits::default() })).await;
    let client = test.open(EntryPoint::Handle).await;
    test.server.engine().ask_for_headers(true);
    let polling = client.polling();
    for _ in 0..100 {
        let post = Box::pin(polling.http.post(&polling.query, b"3"));
        assert!(futures_util::FutureExt::now_or_never(post).is_none(), "it waits for the host");
    }
    let depth = test.server.metrics().socket_io.host_queue_depth;
    assert_eq!(depth, 16, "the others wait outside");
    let answer_all = async {
        for _ in 0..17 {
            let question = test.host.next().await;
            let HostEvent::Headers { answer, .. } = question else { panic!("not {question:?}") };
            answer.send(HeaderMap::from_iter([(header::SERVER, HeaderValue::from_static("here"))]));
        }
    };
    let (response, ()) = tokio::join!(polling.http.post(&polling.query, b"3"), answer_all);
    assert_eq!(response.headers()[header::SERVER], "here");
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
    let mut websocket = lazy_websocket(test).await;
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
async fn the_newest_events_may_be_dropped_instead() {
    let mut test = start(policy(SlowReader::DropNewest, 200_000)).await;
    let (mut lazy, socket) = join_lazy(&mut test).await;
    emit_until(&test.server, &socket, |server| server.metrics().engine.outbox_dropped > 100).await;
    // An ack is not dropped.
    lazy.writer.text(r#"429["question"]"#).await;
    let (_, _, ack) = test.host.event().await;
    ack.unwrap().send(&Payload::new("[]", Vec::new()), &mut Writes::new());
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
async fn acks_alone_cannot_grow_an_outbox_without_bound() {
    let mut test = start(policy(SlowReader::DropNewest, 100_000)).await;
    let (mut lazy, _) = join_lazy(&mut test).await;
    let answer = Payload::new(format!("[\"{}\"]", "x".repeat(50_000)), Vec::new());
    while test.server.metrics().engine.slow_readers_closed == 0 {
        lazy.writer.text(r#"420["question"]"#).await;
        match test.host.next().await {
            ferrio::HostEvent::Event { ack, .. } => ack.unwrap().send(&answer, &mut Writes::new()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(test.host.reason().await, "slow reader");
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
