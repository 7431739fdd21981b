//! Every bound, met by a peer that asks for more: it gets the protocol's error, others notice nothing.

use std::{sync::Arc, time::Duration};

use ferrio_engine::{
    Admitted, CloseReason, Config, Cookie, Data, Encoded, Frame, Limits, OutboxLimits, Protocol, SendOptions,
    Server, SlowReader, Transports, Writes,
};

use crate::support::{
    TestServer,
    client::{EntryPoint, Message, lazy_websocket, websocket},
    eventually,
    http::{Http, assert_refused, text},
    recorder::{Manner, Recorder, Session},
    send, start, start_with,
    websocket::{WebSocket, frame},
};

fn limited(limits: Limits) -> Config {
    Config { limits, ..Config::default() }
}

// What a peer sends.

#[tokio::test]
async fn a_message_over_the_limit_closes_a_websocket_with_1009() {
    let config = Config { max_http_buffer_size: 1000, ..Config::default() };
    for entry_point in [
        EntryPoint::Channel,
        EntryPoint::Listen,
        EntryPoint::TakeOver,
        EntryPoint::Messages,
        EntryPoint::Upgraded,
    ] {
        let mut test = start(config.clone()).await;
        let (mut client, _) = test.open(entry_point).await;
        let longest = format!("4{}", "a".repeat(999));
        client.send(&longest).await;
        assert_eq!(test.heard.text().await.len(), 999, "{entry_point:?}");
        client.send(&format!("{longest} ")).await;
        assert_eq!(test.heard.reason().await, "transport error", "{entry_point:?}");
        assert_eq!(client.closed().await, [Message::Closed(Some(1009))], "{entry_point:?}");
        test.assert_alive().await;
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_before_it_has_come() {
    let config = Config { max_http_buffer_size: 1000, ..Config::default() };
    let mut test = start(config).await;
    let (client, _) = test.open(EntryPoint::Listen).await;
    let mut websocket = client.into_websocket();
    // The length that 2⁶⁰ bytes announce, and nothing of them.
    websocket.writer.raw(b"\x81\xff\x10\0\0\0\0\0\0\0\0\0\0\0").await;
    assert_eq!(websocket.reader.receive().await, Message::Closed(Some(1009)));
    assert_eq!(test.heard.reason().await, "transport error");
}

#[tokio::test]
async fn fragments_are_bounded_in_number() {
    let mut test = start(limited(Limits { max_fragments: 4, ..Limits::default() })).await;
    let (client, _) = test.open(EntryPoint::Listen).await;
    let mut websocket = client.into_websocket();
    for fragment in [frame(0x01, b"4"), frame(0x00, b"a"), frame(0x00, b"b"), frame(0x80, b"")] {
        websocket.writer.raw(&fragment).await;
    }
    assert_eq!(test.heard.text().await, "ab");
    websocket.writer.frame(0x01, b"4").await;
    for _ in 0..4 {
        websocket.writer.frame(0x00, b"").await;
    }
    assert_eq!(websocket.reader.receive().await, Message::Closed(Some(1008)));
    assert_eq!(test.heard.reason().await, "transport error");
    test.assert_alive().await;
}

#[tokio::test]
async fn connections_are_bounded() {
    let mut test = start(limited(Limits { max_connections: 2, ..Limits::default() })).await;
    let (first, _) = test.open(EntryPoint::Handle).await;
    let (mut second, _) = test.open(EntryPoint::Channel).await;
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
    assert_eq!(test.heard.reason().await, "transport close");
    test.emptied_to(1).await;
    let _third = test.open(EntryPoint::Listen).await;
    second.send("4still here").await;
    assert_eq!(test.heard.text().await, "still here");
}

#[tokio::test]
async fn many_handshakes_at_once_do_not_exceed_the_bound_on_connections() {
    let config = limited(Limits { max_connections: 2, ..Limits::default() });
    let mut test = start_with(config, Manner { asks_to_admit: true, ..Manner::default() }).await;
    let http = Http::memory(&test);
    let handshakes: Vec<_> = (0..5)
        .map(|_| {
            let http = http.clone();
            tokio::spawn(async move { http.get("EIO=4&transport=polling").await.status().as_u16() })
        })
        .collect();
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(test.heard.admit().await.1);
    }
    for answer in answers {
        answer.send(Ok(Admitted::default())).unwrap();
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
    let mut test = start(limited(Limits { max_connections: 2, ..Limits::default() })).await;
    let mut ended = Vec::new();
    for _ in 0..4 {
        let (client, session) = test.open(EntryPoint::Handle).await;
        session.close(CloseReason::ForcedClose);
        assert_eq!(test.heard.reason().await, "forced close");
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
    let (client, session) = test.open(EntryPoint::Handle).await;
    let handshake = Arc::downgrade(session.handshake());
    send(&session, "last");
    session.close(CloseReason::ForcedClose);
    drop(session);
    assert_eq!(test.heard.reason().await, "forced close");
    eventually(|| handshake.upgrade().is_none()).await;
    let polling = client.polling();
    assert_eq!(text(&polling.http.post(&polling.query, b"4for nobody").await), "ok");
    let wrong = polling.query.replace("EIO=4", "EIO=3");
    assert_eq!(polling.http.get(&wrong).await.status(), 400, "it has not changed its protocol");
    let upgrade = websocket(&test, EntryPoint::Listen, &client.upgrade_query()).await;
    assert_refused(&upgrade.err().expect("it is refused"), 400, "Bad request");
    assert_eq!(text(&polling.get().await), "4last");
    assert_eq!(text(&polling.get().await), "6\x1e1");
    assert_eq!(polling.get().await.status(), 400);
    test.heard.assert_silent();
}

// What a peer does not read.

fn policy(policy: SlowReader, max_bytes: usize) -> Config {
    Config { outbox: OutboxLimits { max_bytes, policy }, ..Config::default() }
}

async fn open_lazy(test: &mut TestServer) -> (WebSocket, Arc<Session>) {
    let websocket = lazy_websocket(test).await;
    (websocket, test.heard.opened().await)
}

fn numbered(number: usize) -> String {
    format!("{number},{}", "x".repeat(10_000))
}

fn number_of(message: &Message) -> usize {
    let Message::Text(text) = message else { panic!("a message was due, not {message:?}") };
    text.strip_prefix('4').and_then(|rest| rest.split(',').next()).unwrap().parse().unwrap()
}

/// A message that may be dropped when its reader is slow.
fn send_droppable(session: &Arc<Session>, message: &Encoded) {
    let options = SendOptions { is_droppable: true, ..SendOptions::default() };
    session.push(message, options, &mut Writes::new());
}

/// Sends until the server has had enough of a reader that does not read.
async fn send_until(
    server: &Server<Recorder>,
    session: &Arc<Session>,
    is_enough: impl Fn(&Server<Recorder>) -> bool,
) -> usize {
    let mut number = 0;
    eventually(|| {
        for _ in 0..10 {
            send_droppable(session, &Frame::message_text(&numbered(number)).into());
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
    let (_lazy, lazy_session) = open_lazy(&mut test).await;
    let (mut quick, quick_session) = test.open(EntryPoint::Listen).await;
    let mut number = 0;
    while lazy_session.is_open() {
        let message = Frame::message_text(&numbered(number)).into();
        let mut writes = Writes::new();
        for session in test.server.sessions() {
            session.push(&message, SendOptions::default(), &mut writes);
        }
        writes.finish();
        assert_eq!(number_of(&quick.receive().await), number);
        number += 1;
    }
    let (closed, reason) = test.heard.closed().await;
    assert!(Arc::ptr_eq(&closed, &lazy_session));
    assert_eq!(reason.as_str(), "slow reader");
    drop(closed);
    assert_eq!(test.server.metrics().slow_readers_closed, 1);
    test.emptied_to(1).await;
    assert!(quick_session.is_open());
    test.heard.assert_silent();
    let watched = Arc::downgrade(&lazy_session);
    drop(lazy_session);
    // The reader still does not read: what was queued for it is given up all the same.
    eventually(|| watched.upgrade().is_none()).await;
}

#[tokio::test]
async fn a_slow_poller_is_disconnected() {
    let mut test = start(policy(SlowReader::Disconnect, 200_000)).await;
    let (mut client, session) = test.open(EntryPoint::Handle).await;
    let n_sent = send_until(&test.server, &session, |server| server.n_sessions() == 0).await;
    assert!((20..=40).contains(&n_sent), "{n_sent}");
    assert_eq!(test.heard.reason().await, "slow reader");
    let mut received = client.closed().await;
    assert_eq!(received.pop(), Some(Message::Closed(None)));
    test.assert_alive().await;
}

#[tokio::test]
async fn the_newest_messages_may_be_dropped_instead() {
    let mut test = start(policy(SlowReader::DropNewest, 200_000)).await;
    let (mut lazy, session) = open_lazy(&mut test).await;
    send_until(&test.server, &session, |server| server.metrics().outbox_dropped > 100).await;
    // What others rely on is not dropped.
    let answer = SendOptions { is_droppable: false, ..SendOptions::default() };
    session.send(&Data::Text("the answer"), answer);
    let mut next = 0;
    loop {
        let message = lazy.reader.receive().await;
        if message == Message::Text("4the answer".to_owned()) {
            break;
        }
        assert_eq!(number_of(&message), next, "those before the first that was dropped");
        next += 1;
    }
    send_droppable(&session, &Frame::message_text("1000000,0").into());
    assert_eq!(number_of(&lazy.reader.receive().await), 1_000_000);
    assert!(session.is_open());
}

#[tokio::test]
async fn the_oldest_messages_may_be_dropped_instead() {
    let mut test = start(policy(SlowReader::DropOldest, 200_000)).await;
    let (mut lazy, session) = open_lazy(&mut test).await;
    let n_sent = send_until(&test.server, &session, |server| server.metrics().outbox_dropped > 100).await;
    let n_dropped = usize::try_from(test.server.metrics().outbox_dropped).unwrap();
    let mut numbers = Vec::new();
    while numbers.last() != Some(&(n_sent - 1)) {
        numbers.push(number_of(&lazy.reader.receive().await));
    }
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert_eq!(numbers.len(), n_sent - n_dropped, "every message came or was counted");
    assert!(session.is_open());
}

#[tokio::test]
async fn a_packet_is_dropped_with_its_attachments_or_not_at_all() {
    let mut test = start(policy(SlowReader::DropOldest, 200_000)).await;
    let (mut lazy, session) = open_lazy(&mut test).await;
    let mut number = 0_usize;
    eventually(|| {
        let head = Frame::message_text(&format!("{number},attached"));
        let attachments = vec![Frame::binary(Protocol::V4, &number.to_be_bytes().repeat(1000))];
        send_droppable(&session, &Encoded { head, attachments });
        number += 1;
        test.server.metrics().outbox_dropped > 100
    })
    .await;
    let mut last = 0;
    while last + 1 < number {
        last = number_of(&lazy.reader.receive().await);
        assert_eq!(lazy.reader.receive().await, Message::Binary(last.to_be_bytes().repeat(1000)));
    }
}

#[tokio::test]
async fn a_peer_that_pings_and_never_reads_fills_nothing() {
    let mut test = start(policy(SlowReader::Disconnect, 20_000)).await;
    let (mut lazy, session) = open_lazy(&mut test).await;
    let pings = frame(0x89, &[b'p'; 125]).repeat(500);
    for _ in 0..100 {
        lazy.writer.raw(&pings).await;
    }
    lazy.writer.text("4done").await;
    assert_eq!(test.heard.text().await, "done");
    assert!(session.is_open());
}

/// What may not be dropped gets as much again, and no more.
#[tokio::test]
async fn what_may_not_be_dropped_cannot_grow_an_outbox_without_bound() {
    for policy_at_bound in [SlowReader::DropNewest, SlowReader::DropOldest] {
        let mut test = start(policy(policy_at_bound, 100_000)).await;
        let (_lazy, session) = open_lazy(&mut test).await;
        let options = SendOptions { is_droppable: false, ..SendOptions::default() };
        let answer = "x".repeat(50_000);
        eventually(|| {
            session.send(&Data::Text(&answer), options);
            test.server.metrics().slow_readers_closed > 0
        })
        .await;
        assert_eq!(test.heard.reason().await, "slow reader", "{policy_at_bound:?}");
        assert_eq!(test.server.metrics().outbox_dropped, 0, "{policy_at_bound:?}");
    }
}

// Options.

#[test]
fn options_out_of_their_bounds_are_refused_by_name() {
    let none = Transports { polling: false, websocket: false };
    let named = |name: &str| Some(Cookie { name: name.to_owned(), ..Cookie::default() });
    let cases = [
        ("path", Config { path: "engine.io".to_owned(), ..Config::default() }),
        ("transports", Config { transports: none, ..Config::default() }),
        ("ping_interval", Config { ping_interval: Duration::ZERO, ..Config::default() }),
        ("ping_timeout", Config { ping_timeout: Duration::from_secs(86_401), ..Config::default() }),
        ("upgrade_timeout", Config { upgrade_timeout: Duration::ZERO, ..Config::default() }),
        ("max_http_buffer_size", Config { max_http_buffer_size: (1 << 30) + 1, ..Config::default() }),
        ("cookie.name", Config { cookie: named("a b"), ..Config::default() }),
        ("limits.max_packets_per_poll", limited(Limits { max_packets_per_poll: 0, ..Limits::default() })),
        ("outbox.max_bytes", policy(SlowReader::Disconnect, 1023)),
    ];
    for (option, config) in cases {
        let (recorder, _) = Recorder::new(Manner::default());
        let error = Server::new(config, recorder).expect_err("it is refused");
        assert_eq!(error.option(), option);
    }
}
