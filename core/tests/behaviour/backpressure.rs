//! More messages than the host can take: who waits, who does not, and how much the server keeps meanwhile.

use ferrio::{AckRequest, Config, Flags, HostEvent, Limits, Payload, Writes};
use futures_util::FutureExt as _;
use http::Method;
use http_body_util::StreamBody;

use crate::support::{
    Client, SOON, TestServer,
    client::{EntryPoint, Message, websocket},
    eventually,
    http::{Http, assert_refused, head, text},
    start,
};

fn limited(limits: Limits) -> Config {
    Config { limits, ..Config::default() }
}

/// Room for little: sixteen events in all, four of each client.
fn narrow() -> Limits {
    Limits { host_queue: 16, host_queue_share: 4, ..Limits::default() }
}

fn depth(test: &TestServer) -> u64 {
    test.server.metrics().socket_io.host_queue_depth
}

/// A body with so many events.
fn body(n_events: usize) -> String {
    let packets: Vec<_> = (0..n_events).map(|number| format!(r#"42["n",{number}]"#)).collect();
    packets.join("\x1e")
}

/// A WebSocket client that is sending so many events, by a task of its own.
fn flood(mut client: Client, n_events: usize) -> tokio::task::JoinHandle<Client> {
    tokio::spawn(async move {
        for number in 0..n_events {
            client.send(&format!(r#"42["n",{number}]"#)).await;
        }
        client
    })
}

async fn take_flood(test: &mut TestServer, n_events: usize) {
    for number in 0..n_events {
        assert_eq!(test.host.event().await.1.text(), format!(r#"["n",{number}]"#));
    }
}

#[tokio::test]
async fn one_post_does_not_exceed_the_bound() {
    for (entry_point, limits) in [
        (EntryPoint::Handle, Limits { host_queue: 16, ..Limits::default() }),
        (EntryPoint::Port, Limits { host_queue: 16, ..Limits::default() }),
        (EntryPoint::Handle, narrow()),
    ] {
        let mut test = start(limited(limits)).await;
        let (client, _) = test.join(entry_point).await;
        let polling = client.polling();
        let (http, query) = (polling.http.clone(), polling.query.clone());
        let posting = tokio::spawn(async move { http.post(&query, body(2000).as_bytes()).await });
        let bound = limits.host_queue.min(limits.host_queue_share) as u64;
        eventually(|| depth(&test) == bound).await;
        for number in 0..2000 {
            assert!(depth(&test) <= bound, "{} events wait", depth(&test));
            assert_eq!(test.host.event().await.1.text(), format!(r#"["n",{number}]"#));
        }
        assert_eq!(text(&posting.await.unwrap()), "ok");
    }
}

#[tokio::test]
async fn a_flooder_has_its_share_and_others_have_theirs() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let mut test = start(limited(narrow())).await;
        let (flooder, _) = test.join(entry_point).await;
        let (mut quiet, socket) = test.join(entry_point).await;
        let flooding = flood(flooder, 1000);
        eventually(|| depth(&test) == 4).await;
        quiet.send(r#"42["quiet"]"#).await;
        eventually(|| depth(&test) == 5).await;
        let mut n_before = 0;
        while test.host.event().await.0.key() != socket.key() {
            n_before += 1;
        }
        // Those that were there before it, and those that came for each that was taken.
        assert!(n_before <= 8, "{n_before} events came first");
        for _ in n_before..1000 {
            test.host.event().await;
        }
        flooding.await.unwrap();
    }
}

#[tokio::test]
async fn clients_that_wait_for_a_full_queue_take_turns() {
    let mut test = start(limited(Limits { host_queue: 16, ..Limits::default() })).await;
    let (mut late, socket) = test.join(EntryPoint::Listen).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(test.join(EntryPoint::Listen).await.0);
    }
    let _flooding: Vec<_> = clients.into_iter().map(|client| flood(client, 200)).collect();
    eventually(|| test.server.metrics().socket_io.host_queue_pauses >= 4).await;
    late.send(r#"42["late"]"#).await;
    eventually(|| test.server.metrics().socket_io.host_queue_pauses >= 5).await;
    let mut n_before = 0;
    while test.host.event().await.0.key() != socket.key() {
        n_before += 1;
        // What it has freed goes to whose turn it is.
        eventually(|| depth(&test) == 16).await;
    }
    // What was queued, and a turn of each other.
    assert!(n_before <= 16 + 4, "{n_before} events came first");
}

#[tokio::test]
async fn heartbeats_are_taken_while_the_queue_is_full() {
    let config = Config {
        engine: ferrio_engine::Config {
            ping_interval: SOON,
            ping_timeout: 10 * SOON,
            ..limited(narrow()).engine
        },
        ..limited(narrow())
    };
    for entry_point in [EntryPoint::Handle, EntryPoint::Listen, EntryPoint::Messages] {
        let mut test = start(config.clone()).await;
        let (mut quiet, _) = test.join(entry_point).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(test.join(EntryPoint::Listen).await.0);
        }
        let _flooding: Vec<_> = clients.into_iter().map(|client| flood(client, 100)).collect();
        eventually(|| depth(&test) == 16).await;
        // Longer than a ping timeout; the host takes nothing meanwhile.
        for _ in 0..15 {
            assert_eq!(quiet.receive().await, Message::Text("2".to_owned()), "{entry_point:?}");
            quiet.send("3").await;
        }
        // Nobody was closed: neither the quiet client nor those that wait.
        for _ in 0..500 {
            test.host.event().await;
        }
        quiet.send(r#"42["still here"]"#).await;
        assert_eq!(test.host.event().await.1.text(), r#"["still here"]"#, "{entry_point:?}");
    }
}

#[tokio::test]
async fn what_the_host_is_at_work_on_counts_for_its_own_client_only() {
    let mut test = start(limited(narrow())).await;
    let (busy, _) = test.join(EntryPoint::Listen).await;
    let (mut other, _) = test.join(EntryPoint::Listen).await;
    let flooding = flood(busy, 100);
    let mut under_way = Vec::new();
    for _ in 0..4 {
        let HostEvent::Event { credit, .. } = test.host.next().await else { panic!("an event is due") };
        under_way.push(credit);
    }
    // All that was taken is under way, and nothing more of this client comes until some of it is dealt with.
    for number in 0..50 {
        other.send(&format!(r#"42["other",{number}]"#)).await;
        assert_eq!(test.host.event().await.1.text(), format!(r#"["other",{number}]"#));
    }
    for number in 4..100 {
        under_way.pop();
        let HostEvent::Event { credit, payload, .. } = test.host.next().await else {
            panic!("an event is due")
        };
        assert_eq!(payload.text(), format!(r#"["n",{number}]"#));
        under_way.push(credit);
    }
    flooding.await.unwrap();
}

#[tokio::test]
async fn a_handler_at_work_gets_the_ack_that_it_waits_for() {
    for entry_point in [EntryPoint::Handle, EntryPoint::Listen, EntryPoint::Messages] {
        let mut test = start(limited(narrow())).await;
        let (mut client, socket) = test.join(entry_point).await;
        let mut under_way = Vec::new();
        for number in 0..4 {
            client.send(&format!(r#"42["n",{number}]"#)).await;
            let HostEvent::Event { credit, .. } = test.host.next().await else { panic!("an event is due") };
            under_way.push(credit);
        }
        let ack = AckRequest { token: 7, timeout: None };
        socket.emit_with_ack(&Payload::event("sure", []), Flags::default(), ack, &mut Writes::new());
        let asked = client.text().await;
        let id: String = asked[2..].chars().take_while(char::is_ascii_digit).collect();
        client.send(&format!(r#"43{id}["yes"]"#)).await;
        let (token, outcome) = test.host.ack().await;
        assert_eq!((token, outcome.answers[0].text()), (7, r#"["yes"]"#), "{entry_point:?}");
    }
}

#[tokio::test]
async fn attachments_do_not_wait_for_room_while_their_time_runs() {
    let limits = Limits { attachments_timeout: 10 * SOON, ..narrow() };
    let config = Config {
        engine: ferrio_engine::Config {
            ping_interval: 20 * SOON,
            ping_timeout: 100 * SOON,
            ..limited(limits).engine
        },
        ..limited(limits)
    };
    let mut test = start(config).await;
    let (mut client, _) = test.join(EntryPoint::Listen).await;
    let mut flooding = Vec::new();
    for _ in 0..4 {
        flooding.push(test.join(EntryPoint::Listen).await.0);
    }
    // The text of the packet has room; before its attachments come the queue is full.
    client.send(r#"451-["one",{"_placeholder":true,"num":0}]"#).await;
    let _flooding: Vec<_> = flooding.into_iter().map(|client| flood(client, 10)).collect();
    eventually(|| depth(&test) == 16).await;
    client.send_binary(b"1").await;
    // The next ping comes when the time for attachments has been up for long.
    assert_eq!(client.receive().await, Message::Text("2".to_owned()));
    for _ in 0..41 {
        test.host.event().await;
    }
    client.send(r#"42["still here"]"#).await;
    assert_eq!(test.host.event().await.1.text(), r#"["still here"]"#);
}

#[tokio::test]
async fn a_long_event_counts_as_several() {
    let limits =
        Limits { host_queue: 16, host_queue_bytes: 16_000, host_queue_share: 4, ..Limits::default() };
    let mut test = start(limited(limits)).await;
    let (mut client, _) = test.join(EntryPoint::Listen).await;
    let long = format!(r#"42["{}"]"#, "x".repeat(100_000));
    client.send(&long).await;
    client.send(&long).await;
    eventually(|| test.server.metrics().socket_io.host_queue_pauses > 0).await;
    assert_eq!(depth(&test), 1);
    test.host.event().await;
    test.host.event().await;
    assert_eq!(depth(&test), 0);
}

#[tokio::test]
async fn handshakes_wait_for_a_busy_host_and_are_bounded_in_number() {
    let limits = Limits { host_queue: 16, max_waiting_requests: 3, ..Limits::default() };
    let mut test = start(limited(limits)).await;
    let (client, _) = test.join(EntryPoint::Listen).await;
    let flooding = flood(client, 16);
    eventually(|| depth(&test) == 16).await;
    let http = Http::memory(&test);
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let http = http.clone();
            tokio::spawn(async move { http.get("EIO=4&transport=polling").await.status().as_u16() })
        })
        .collect();
    eventually(|| test.server.metrics().socket_io.requests_waiting == 3).await;
    let refused = http.get("EIO=4&transport=polling").await;
    assert_refused(&refused, 503, r#"{"code":3,"message":"Too many requests"}"#);
    let refused = websocket(&test, EntryPoint::Listen, "EIO=4&transport=websocket").await;
    assert_eq!(text(&refused.err().expect("it is refused")), "Too many requests");
    assert_eq!(test.server.engine().n_sessions(), 1);
    take_flood(&mut test, 16).await;
    // Each waits until the host has got as far as the place that the one before it took.
    for handshake in waiting {
        let mut opened = std::pin::pin!(handshake);
        loop {
            test.host.assert_silent();
            if let Ok(status) = tokio::time::timeout(SOON, &mut opened).await {
                assert_eq!(status.unwrap(), 200);
                break;
            }
        }
    }
    assert_eq!((test.server.engine().n_sessions(), test.server.metrics().socket_io.requests_waiting), (4, 0));
    flooding.await.unwrap();
}

#[tokio::test]
async fn sessions_whose_clients_ask_for_nothing_are_bounded_while_the_host_is_busy() {
    let limits = Limits { host_queue: 32, max_waiting_requests: 1, ..Limits::default() };
    let test = start(limited(limits)).await;
    let http = Http::memory(&test);
    let handshake = || {
        let http = http.clone();
        async move { http.get("EIO=4&transport=polling").await.status().as_u16() }
    };
    // As many as it need not see, and one for each place.
    for _ in 0..2 + 32 {
        assert_eq!(handshake().await, 200);
    }
    let waiting = tokio::spawn(handshake());
    eventually(|| test.server.metrics().socket_io.requests_waiting == 1).await;
    assert_eq!(handshake().await, 503);
    test.host.assert_silent();
    assert_eq!(waiting.await.unwrap(), 200);
    for _ in 0..100 {
        assert_eq!(handshake().await, 200);
        test.host.assert_silent();
    }
}

#[tokio::test]
async fn a_host_that_says_nothing_about_a_request_refuses_it_in_the_end() {
    let config = Config { ask_allow_request: true, connect_timeout: SOON, ..Config::default() };
    let mut test = start(config).await;
    let http = Http::tcp(&test);
    let handshake = tokio::spawn(async move { http.get("EIO=4&transport=polling").await });
    let HostEvent::Request { answer, .. } = test.host.next().await else { panic!("it asks") };
    assert_refused(&handshake.await.unwrap(), 403, r#"{"code":4,"message":"Forbidden"}"#);
    assert!(answer.is_abandoned());
    assert_eq!(test.server.metrics().socket_io.requests_waiting, 0);
}

#[tokio::test]
async fn a_question_knows_when_its_client_has_gone() {
    let mut test = start(Config { ask_allow_request: true, ..Config::default() }).await;
    let request = head(&Method::GET, "EIO=4&transport=polling", &[]);
    let mut handshake =
        Box::pin(test.server.engine().handle(request, http_body_util::Empty::<bytes::Bytes>::new()));
    assert!((&mut handshake).now_or_never().is_none());
    let HostEvent::Request { answer, .. } = test.host.next().await else { panic!("it asks") };
    assert!(!answer.is_abandoned());
    drop(handshake);
    assert!(answer.is_abandoned());
    assert_eq!(test.server.metrics().socket_io.requests_waiting, 0);
}

#[tokio::test]
async fn nothing_of_a_socket_comes_after_the_host_has_put_it_out() {
    for close in [false, true] {
        let mut test = start(Config::default()).await;
        let (mut client, socket) = test.join(EntryPoint::Listen).await;
        let (mut other, _) = test.join(EntryPoint::Listen).await;
        for name in ["one", "two", "three"] {
            client.send(&format!(r#"42["{name}"]"#)).await;
        }
        eventually(|| depth(&test) == 3).await;
        assert_eq!(test.host.event().await.1.text(), r#"["one"]"#);
        drop(socket.disconnect(close, &mut Writes::new()));
        other.send(r#"42["other"]"#).await;
        assert_eq!(test.host.event().await.1.text(), r#"["other"]"#);
        assert_eq!(depth(&test), 0);
    }
}

#[tokio::test]
async fn a_post_that_is_given_up_ends_its_session() {
    let mut test = start(limited(narrow())).await;
    // In the middle of its body.
    let (client, _) = test.join(EntryPoint::Handle).await;
    let request = head(&Method::POST, &client.polling().query, &[]);
    let endless = StreamBody::new(futures_util::stream::pending::<
        Result<http_body::Frame<bytes::Bytes>, std::convert::Infallible>,
    >());
    let mut posting = Box::pin(test.server.engine().handle(request, endless));
    assert!((&mut posting).now_or_never().is_none());
    drop(posting);
    assert_eq!(test.host.reason().await, "transport error");
    // While its packets wait for the host.
    let (client, _) = test.join(EntryPoint::Port).await;
    let polling = client.polling();
    let posting = {
        let (http, query) = (polling.http.clone(), polling.query.clone());
        tokio::spawn(async move { http.post(&query, body(100).as_bytes()).await })
    };
    eventually(|| depth(&test) == 4).await;
    posting.abort();
    assert!(posting.await.is_err());
    test.emptied().await;
    take_flood(&mut test, 4).await;
    assert_eq!(test.host.reason().await, "transport error");
}

#[tokio::test]
async fn a_post_does_not_outlive_its_session() {
    let mut test = start(limited(narrow())).await;
    let (client, socket) = test.join(EntryPoint::Handle).await;
    let polling = client.polling();
    let (http, query) = (polling.http.clone(), polling.query.clone());
    let posting = tokio::spawn(async move { http.post(&query, body(100).as_bytes()).await });
    eventually(|| depth(&test) == 4).await;
    drop(socket.disconnect(true, &mut Writes::new()));
    assert_eq!(text(&posting.await.unwrap()), "ok");
    test.host.assert_silent();
}

#[tokio::test]
async fn a_body_of_many_closes_is_answered_at_once() {
    let mut test = start(Config::default()).await;
    let (client, _) = test.join(EntryPoint::Port).await;
    let closes = vec!["1"; 100_000].join("\x1e");
    let polling = client.polling();
    assert_eq!(text(&polling.http.post(&polling.query, closes.as_bytes()).await), "ok");
    assert_eq!(test.host.reason().await, "transport close");
    test.emptied().await;
}

#[tokio::test]
async fn a_client_that_has_gone_while_its_messages_wait_is_noticed() {
    let config = Config {
        engine: ferrio_engine::Config { ping_interval: SOON, ping_timeout: SOON, ..limited(narrow()).engine },
        ..limited(narrow())
    };
    let mut test = start(config).await;
    let (client, socket) = test.join(EntryPoint::Listen).await;
    let flooding = flood(client, 50);
    let mut under_way = Vec::new();
    for _ in 0..4 {
        under_way.push(test.host.next().await);
    }
    drop(flooding.await.unwrap());
    // What it has sent is never read, but it cannot be written to any more.
    let disconnected = test.host.disconnected().await;
    assert_eq!(disconnected.socket().key(), socket.key());
    drop(disconnected);
    test.emptied().await;
}
