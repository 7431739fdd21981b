//! The move from long-polling to WebSocket: nothing is lost, doubled or out of order, and a failed one changes nothing.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use ferrio_engine::{
    CloseReason, Config, Encoded, Frame, OutboxLimits, Outgoing, Protocol, SendOptions, Writes,
};
use futures_util::FutureExt as _;
use http::Method;

use crate::support::{
    Client, SOON, TestServer,
    client::{Carrier, EntryPoint, Message, Polling, websocket},
    eventually,
    http::{UPGRADE, assert_refused, head, text},
    push,
    recorder::{Heard, Session},
    send, start, start_default,
    websocket::{PING, WebSocket},
};

const BAD_REQUEST: &str = r#"{"code":3,"message":"Bad request"}"#;

/// Messages that each thread of the host sends, and that the client sends.
const N_EVENTS: usize = 1500;
const N_THREADS: usize = 3;

#[tokio::test]
async fn nothing_is_lost_or_reordered_while_traffic_flows_both_ways() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let mut test = start_default().await;
        let (client, session) = test.open(EntryPoint::Handle).await;
        let emitting: Vec<_> = (0..N_THREADS).map(|thread| send_numbers(thread, session.clone())).collect();
        let (received, _websocket) = upgrade_under_traffic(&test, client, entry_point).await;
        let numbers = heard(&mut test.heard).await;
        assert_eq!(numbers, (0..N_EVENTS).collect::<Vec<_>>(), "{entry_point:?}: what the layer heard");
        assert_in_order(&received);
        for thread in emitting {
            thread.join().unwrap();
        }
        assert_eq!(session.transport().as_str(), "websocket");
        let metrics = test.server.metrics();
        assert_eq!((metrics.connections_polling, metrics.connections_websocket), (0, 1), "{entry_point:?}");
        assert_eq!((metrics.upgrades_tried, metrics.upgrades_failed), (1, 0), "{entry_point:?}");
    }
}

/// Sends numbered messages from a thread of its own, some with an attachment.
fn send_numbers(thread: usize, session: Arc<Session>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for number in 0..N_EVENTS {
            let message = if number % 7 == 0 {
                let head = Frame::message_text(&format!("attached,{thread},{number}"));
                Encoded { head, attachments: vec![Frame::binary(Protocol::V4, &number.to_be_bytes())] }
            } else {
                Frame::message_text(&format!("alone,{thread},{number}")).into()
            };
            session.push(&message, SendOptions::default(), &mut Writes::new());
            if number % 50 == 0 {
                thread::yield_now();
            }
        }
    })
}

/// The numbers that the layer gets.
async fn heard(heard: &mut Heard) -> Vec<usize> {
    let mut numbers = Vec::new();
    while numbers.len() < N_EVENTS {
        numbers.push(heard.text().await.parse().unwrap());
    }
    numbers
}

/// Does what an official client does: polls and posts, probes meanwhile, waits for what is under way, and upgrades.
async fn upgrade_under_traffic(
    test: &TestServer,
    mut client: Client,
    entry_point: EntryPoint,
) -> (Vec<Message>, WebSocket) {
    let query = client.upgrade_query();
    let Carrier::Polling(polling) = &mut client.carrier else { panic!("it polls") };
    let mut posting = Polling::new(polling.http.clone(), polling.query.clone());
    let is_paused = AtomicBool::new(false);
    let n_received = AtomicUsize::new(0);
    let poll = async {
        let mut received = Vec::new();
        while !is_paused.load(Ordering::Relaxed) {
            received.extend(polling.batch().await);
            n_received.store(received.len(), Ordering::Relaxed);
        }
        received
    };
    let post = async {
        let mut number = 0;
        while !is_paused.load(Ordering::Relaxed) && number < N_EVENTS / 2 {
            posting.post(format!("4{number}\x1e4{}", number + 1).as_bytes()).await;
            number += 2;
        }
        number
    };
    let probe = async {
        eventually(|| n_received.load(Ordering::Relaxed) > 100).await;
        let mut websocket = websocket(test, entry_point, &query).await.expect("it is accepted");
        websocket.writer.text("2probe").await;
        assert_eq!(websocket.reader.receive().await, Message::Text("3probe".to_owned()));
        is_paused.store(true, Ordering::Relaxed);
        websocket
    };
    let (mut received, n_posted, websocket) = tokio::join!(poll, post, probe);
    let WebSocket { mut reader, mut writer, headers } = websocket;
    writer.text("5").await;
    let send = async {
        for number in n_posted..N_EVENTS {
            writer.text(&format!("4{number}")).await;
        }
    };
    let receive = async {
        while n_events(&received) < N_THREADS * N_EVENTS {
            received.push(reader.receive().await);
        }
    };
    tokio::join!(send, receive);
    (received, WebSocket { reader, writer, headers })
}

fn n_events(received: &[Message]) -> usize {
    received.iter().filter(|message| matches!(message, Message::Text(text) if text.starts_with('4'))).count()
}

/// Sees that each thread's events came in order, with their attachments behind them.
fn assert_in_order(received: &[Message]) {
    let mut next = [0; N_THREADS];
    let mut due: Option<usize> = None;
    for message in received {
        match message {
            Message::Binary(data) => {
                let number = due.take().expect("an attachment is due");
                assert_eq!(data[..], number.to_be_bytes());
            }
            Message::Text(noop) if noop == "6" => assert!(due.is_none()),
            Message::Text(text) => {
                assert!(due.is_none(), "an attachment is due, not {text}");
                let (head, numbers) = text.split_once(',').unwrap();
                let numbers: Vec<usize> = numbers.split(',').map(|number| number.parse().unwrap()).collect();
                assert_eq!(next[numbers[0]], numbers[1], "{text}");
                next[numbers[0]] += 1;
                due = (head == "4attached").then_some(numbers[1]);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(next, [N_EVENTS; N_THREADS]);
}

#[tokio::test]
async fn messages_go_by_polling_until_the_upgrade() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    let mut probe =
        websocket(&test, EntryPoint::Channel, &client.upgrade_query()).await.expect("it is accepted");
    let mut poll = pin!(client.polling().get());
    assert!((&mut poll).now_or_never().is_none(), "it waits");
    probe.writer.text("2probe").await;
    assert_eq!(probe.reader.receive().await, Message::Text("3probe".to_owned()));
    assert_eq!(text(&poll.await), "6", "the client has to stop polling");

    send(&session, "1");
    assert_eq!(text(&client.polling().get().await), "41");
    assert_eq!(text(&client.polling().get().await), "6", "a poll is not kept any more");
    let posted = client.polling().http.post(&client.polling().query, b"4by polling").await;
    assert_eq!(text(&posted), "ok");
    assert_eq!(test.heard.text().await, "by polling");
    assert_eq!(session.transport().as_str(), "polling");

    send(&session, "2");
    send(&session, "3");
    probe.writer.text("5").await;
    for expected in ["42", "43"] {
        assert_eq!(probe.reader.receive().await, Message::Text(expected.to_owned()));
    }
    assert_eq!(session.transport().as_str(), "websocket");
    assert_refused(&client.polling().get().await, 400, BAD_REQUEST);
    let posted = client.polling().http.post(&client.polling().query, b"4late").await;
    assert_refused(&posted, 400, BAD_REQUEST);
    probe.writer.text("4by WebSocket").await;
    assert_eq!(test.heard.text().await, "by WebSocket");
}

/// Sees that polling goes on as if no upgrade had been tried, and that the next one works.
async fn assert_polling_goes_on(test: &mut TestServer, mut client: Client, session: &Arc<Session>) {
    eventually(|| test.server.metrics().upgrades_failed > 0).await;
    assert_eq!(session.transport().as_str(), "polling");
    send(session, "still here");
    assert_eq!(client.text().await, "4still here");
    client.send("4me too").await;
    assert_eq!(test.heard.text().await, "me too");
    client.upgrade(test).await;
    send(session, "moved");
    assert_eq!(client.text().await, "4moved");
    client.close().await;
    assert_eq!(test.heard.reason().await, "transport close");
}

#[tokio::test]
async fn what_is_no_probe_fails_the_upgrade_only() {
    for wrong in ["2", "2other", "3probe", "40", "4early", "1", "garbage"] {
        let mut test = start_default().await;
        let (client, session) = test.open(EntryPoint::Handle).await;
        let mut probe =
            websocket(&test, EntryPoint::Listen, &client.upgrade_query()).await.expect("it is accepted");
        probe.writer.text(wrong).await;
        assert!(matches!(probe.reader.receive().await, Message::Closed(_)), "{wrong}");
        assert_polling_goes_on(&mut test, client, &session).await;
    }
}

#[tokio::test]
async fn a_probe_that_takes_too_long_is_dropped() {
    for is_probed in [false, true] {
        let mut test = start(Config { upgrade_timeout: SOON, ..Config::default() }).await;
        let (client, session) = test.open(EntryPoint::Handle).await;
        let mut probe =
            websocket(&test, EntryPoint::Listen, &client.upgrade_query()).await.expect("it is accepted");
        if is_probed {
            probe.writer.text("2probe").await;
            assert_eq!(probe.reader.receive().await, Message::Text("3probe".to_owned()));
        }
        assert!(matches!(probe.reader.receive().await, Message::Closed(_)));
        probe.writer.text("5").await;
        assert_polling_goes_on_without_upgrade(&mut test, client, &session).await;
    }
}

/// As [`assert_polling_goes_on`], where an upgrade has too little time on a busy machine.
async fn assert_polling_goes_on_without_upgrade(
    test: &mut TestServer,
    mut client: Client,
    session: &Arc<Session>,
) {
    eventually(|| test.server.metrics().upgrades_failed == 1).await;
    send(session, "still here");
    assert_eq!(client.text().await, "4still here");
    client.send("4me too").await;
    assert_eq!(test.heard.text().await, "me too");
    assert_eq!(session.transport().as_str(), "polling");
}

#[tokio::test]
async fn a_probe_that_is_lost_fails_the_upgrade_only() {
    for is_probed in [false, true] {
        for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
            let mut test = start_default().await;
            let (client, session) = test.open(EntryPoint::Handle).await;
            let mut probe =
                websocket(&test, entry_point, &client.upgrade_query()).await.expect("it is accepted");
            if is_probed {
                probe.writer.text("2probe").await;
                assert_eq!(probe.reader.receive().await, Message::Text("3probe".to_owned()));
            }
            drop(probe);
            assert_polling_goes_on(&mut test, client, &session).await;
        }
    }
}

#[tokio::test]
async fn a_second_probe_is_closed_and_the_first_goes_on() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    let query = client.upgrade_query();
    let mut first = websocket(&test, EntryPoint::Channel, &query).await.expect("it is accepted");
    first.writer.text("2probe").await;
    assert_eq!(first.reader.receive().await, Message::Text("3probe".to_owned()));
    let mut second = websocket(&test, EntryPoint::Listen, &query).await.expect("it is accepted");
    assert!(matches!(second.reader.receive().await, Message::Closed(_)));
    first.writer.text("5").await;
    eventually(|| session.transport().as_str() == "websocket").await;
    let mut third = websocket(&test, EntryPoint::TakeOver, &query).await.expect("it is accepted");
    assert!(matches!(third.reader.receive().await, Message::Closed(_)));
    let fourth = test.server.serve_messages(head(&Method::GET, &query, &UPGRADE)).await.unwrap();
    assert_eq!(fourth.next().await, Some(vec![Outgoing::Close(1000)]));
    assert_eq!(fourth.next().await, None);
    drop(fourth);
    first.writer.text("4well").await;
    assert_eq!(test.heard.text().await, "well");
}

#[tokio::test]
async fn upgrades_can_be_switched_off() {
    let mut test = start(Config { allow_upgrades: false, ..Config::default() }).await;
    let (mut client, _) = test.open(EntryPoint::Handle).await;
    assert!(client.open.contains(r#""upgrades":[]"#), "{}", client.open);
    let refused =
        websocket(&test, EntryPoint::Channel, &client.upgrade_query()).await.err().expect("it is refused");
    assert_refused(&refused, 400, "Bad request");
    client.send("4still here").await;
    assert_eq!(test.heard.text().await, "still here");
    test.open(EntryPoint::Channel).await;
}

#[tokio::test]
async fn a_session_that_ends_takes_its_probe_along() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    let mut poll = pin!(client.polling().get());
    assert!((&mut poll).now_or_never().is_none(), "it waits");
    let mut probe =
        websocket(&test, EntryPoint::Listen, &client.upgrade_query()).await.expect("it is accepted");
    // The answer to the first ping shows that the WebSocket is attached.
    probe.writer.frame(PING, b"there?").await;
    assert_eq!(probe.reader.receive().await, Message::Binary(b"there?".to_vec()));
    let mut writes = Writes::new();
    push(&session, "last", &mut writes);
    session.close(CloseReason::ForcedClose);
    writes.finish();
    assert!(matches!(probe.reader.receive().await, Message::Closed(_)));
    assert_eq!(text(&poll.await), "4last");
    assert_eq!(text(&client.polling().get().await), "6\x1e1");
    assert_eq!(test.server.metrics().upgrades_failed, 1);
    assert_eq!(test.heard.reason().await, "forced close");
    test.emptied().await;
    test.assert_alive().await;
}

/// Nothing that ends in time can have ended by the timeout of the upgrade.
fn patient() -> Config {
    Config { upgrade_timeout: Duration::from_secs(3600), ..Config::default() }
}

/// A polling client whose probe was answered, and the WebSocket.
async fn probed(test: &mut TestServer, entry_point: EntryPoint) -> (Client, Arc<Session>, WebSocket) {
    let (client, session) = test.open(EntryPoint::Handle).await;
    let mut probe = websocket(test, entry_point, &client.upgrade_query()).await.expect("it is accepted");
    probe.writer.text("2probe").await;
    assert_eq!(probe.reader.receive().await, Message::Text("3probe".to_owned()));
    (client, session, probe)
}

#[tokio::test]
async fn a_client_that_stopped_polling_for_its_upgrade_hears_of_the_end_on_the_websocket() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        for is_servers_end in [false, true] {
            let mut test = start(patient()).await;
            let (_client, session, mut probe) = probed(&mut test, entry_point).await;
            send(&session, "last");
            if is_servers_end {
                test.server.close();
            } else {
                session.close(CloseReason::ForcedClose);
            }
            assert_eq!(test.server.n_sessions(), 0);
            // Official clients have stopped polling by now, and do not begin again when their WebSocket is closed.
            probe.writer.text("5").await;
            assert_eq!(probe.reader.receive().await, Message::Text("4last".to_owned()));
            assert!(matches!(probe.reader.receive().await, Message::Closed(_)), "{entry_point:?}");
        }
    }
}

#[tokio::test]
async fn a_session_is_counted_as_what_it_was_when_its_end_and_its_upgrade_meet() {
    let outbox = OutboxLimits { max_bytes: 1024, ..OutboxLimits::default() };
    let mut test = start(Config { outbox, ..patient() }).await;
    let (_client, session, mut websocket) = probed(&mut test, EntryPoint::Channel).await;
    // It is too slow a reader, which is carried out when the batch ends.
    let mut writes = Writes::new();
    let filling = "x".repeat(1000);
    for _ in 0..2 {
        push(&session, &filling, &mut writes);
    }
    websocket.writer.text("5").await;
    assert_eq!(test.heard.reason().await, "slow reader");
    drop(writes);
    test.emptied().await;
    let metrics = test.server.metrics();
    assert_eq!((metrics.connections_polling, metrics.connections_websocket), (0, 0));
}

#[tokio::test]
async fn a_client_that_is_still_polling_during_its_upgrade_hears_of_the_end_there() {
    let mut test = start(patient()).await;
    let (client, session, mut probe) = probed(&mut test, EntryPoint::Listen).await;
    send(&session, "last");
    session.close(CloseReason::ForcedClose);
    assert_eq!(text(&client.polling().get().await), "4last");
    assert_eq!(text(&client.polling().get().await), "6\x1e1");
    assert!(matches!(probe.reader.receive().await, Message::Closed(_)), "the client has been told");
    assert_eq!(client.polling().get().await.status(), 400);
}

#[tokio::test]
async fn an_upgrade_that_is_never_finished_does_not_outlive_its_session_for_long() {
    let mut test = start(Config { upgrade_timeout: SOON, ..Config::default() }).await;
    let (_client, session, mut probe) = probed(&mut test, EntryPoint::Listen).await;
    let watched = Arc::downgrade(&session);
    session.close(CloseReason::ForcedClose);
    drop(session);
    test.server.close();
    assert_eq!(test.heard.reason().await, "forced close");
    assert!(matches!(probe.reader.receive().await, Message::Closed(_)));
    drop(probe);
    eventually(|| watched.upgrade().is_none()).await;
}

#[tokio::test]
async fn an_unknown_session_cannot_be_upgraded() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let test = start_default().await;
        let refused = websocket(&test, entry_point, "EIO=4&transport=websocket&sid=unknown").await;
        assert_refused(&refused.err().expect("it is refused"), 400, "Session ID unknown");
    }
}
