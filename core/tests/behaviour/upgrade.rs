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

use bytes::Bytes;
use ferrio::{Config, Flags, HostEvent, OutboxLimits, Outgoing, Payload, Socket, Writes};
use http::Method;

use crate::support::{
    Client, SOON, TestServer,
    client::{Carrier, EntryPoint, Message, Polling, websocket},
    eventually,
    http::{UPGRADE, assert_refused, head, text},
    in_time, start, start_default,
    websocket::WebSocket,
};

const BAD_REQUEST: &str = r#"{"code":3,"message":"Bad request"}"#;

/// Events that each thread of the host sends, and that the client sends.
const N_EVENTS: usize = 1500;
const N_THREADS: usize = 3;

#[tokio::test]
async fn nothing_is_lost_or_reordered_while_traffic_flows_both_ways() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let mut test = start_default().await;
        let (client, socket) = test.join(EntryPoint::Handle).await;
        let emitting: Vec<_> = (0..N_THREADS).map(|thread| emit_numbers(thread, socket.clone())).collect();
        let ((received, _websocket), numbers) =
            tokio::join!(upgrade_under_traffic(&test, client, entry_point), heard(&test));
        assert_eq!(numbers, (0..N_EVENTS).collect::<Vec<_>>(), "{entry_point:?}: what the host heard");
        assert_in_order(&received);
        for thread in emitting {
            thread.join().unwrap();
        }
        assert_eq!(socket.transport().as_str(), "websocket");
        let metrics = test.server.metrics();
        assert_eq!(
            (metrics.engine.connections_polling, metrics.engine.connections_websocket),
            (0, 1),
            "{entry_point:?}"
        );
        assert_eq!(
            (metrics.engine.upgrades_tried, metrics.engine.upgrades_failed),
            (1, 0),
            "{entry_point:?}"
        );
    }
}

/// Sends numbered events from a thread of its own, some with an attachment.
fn emit_numbers(thread: usize, socket: Arc<Socket>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for number in 0..N_EVENTS {
            let event = if number % 7 == 0 {
                let text = format!(r#"["b",{thread},{number},{{"_placeholder":true,"num":0}}]"#);
                Payload::new(text, vec![Bytes::from(number.to_be_bytes().to_vec())])
            } else {
                Payload::event("n", [thread.to_string().as_str(), number.to_string().as_str()])
            };
            socket.emit(&event, Flags::default(), &mut Writes::new());
            if number % 50 == 0 {
                thread::yield_now();
            }
        }
    })
}

/// The numbers of the events that the host gets.
async fn heard(test: &TestServer) -> Vec<usize> {
    let mut numbers = Vec::new();
    let mut batch = Vec::new();
    in_time(async {
        while numbers.len() < N_EVENTS {
            test.host.drain(&mut batch);
            for event in batch.drain(..) {
                let HostEvent::Event { payload, .. } = event else { panic!("{event:?}") };
                numbers.push(usize::try_from(payload.values().unwrap()[1].as_u64().unwrap()).unwrap());
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
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
            posting.post(format!("42[\"n\",{number}]\x1e42[\"n\",{}]", number + 1).as_bytes()).await;
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
    let WebSocket { mut reader, mut writer } = websocket;
    writer.text("5").await;
    let send = async {
        for number in n_posted..N_EVENTS {
            writer.text(&format!(r#"42["n",{number}]"#)).await;
        }
    };
    let receive = async {
        while n_events(&received) < N_THREADS * N_EVENTS {
            received.push(reader.receive().await);
        }
    };
    tokio::join!(send, receive);
    (received, WebSocket { reader, writer })
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
                let (head, arguments) = text.split_once('[').unwrap();
                let numbers: Vec<usize> =
                    arguments.split([',', ']']).filter_map(|argument| argument.parse().ok()).collect();
                assert_eq!(next[numbers[0]], numbers[1], "{text}");
                next[numbers[0]] += 1;
                due = (head == "451-").then_some(numbers[1]);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(next, [N_EVENTS; N_THREADS]);
}

#[tokio::test]
async fn messages_go_by_polling_until_the_upgrade() {
    let mut test = start_default().await;
    let (client, socket) = test.join(EntryPoint::Handle).await;
    let mut probe =
        websocket(&test, EntryPoint::Channel, &client.upgrade_query()).await.expect("it is accepted");
    let mut poll = pin!(client.polling().get());
    assert!(futures_util::FutureExt::now_or_never(&mut poll).is_none(), "it waits");
    probe.writer.text("2probe").await;
    assert_eq!(probe.reader.receive().await, Message::Text("3probe".to_owned()));
    assert_eq!(text(&poll.await), "6", "the client has to stop polling");

    let event = |number: &str| Payload::event("n", [number]);
    socket.emit(&event("1"), Flags::default(), &mut Writes::new());
    assert_eq!(text(&client.polling().get().await), r#"42["n",1]"#);
    assert_eq!(text(&client.polling().get().await), "6", "a poll is not kept any more");
    let posted = client.polling().http.post(&client.polling().query, b"42[\"by polling\"]").await;
    assert_eq!(text(&posted), "ok");
    assert_eq!(test.host.event().await.1.text(), r#"["by polling"]"#);
    assert_eq!(socket.transport().as_str(), "polling");

    socket.emit(&event("2"), Flags::default(), &mut Writes::new());
    socket.emit(&event("3"), Flags::default(), &mut Writes::new());
    probe.writer.text("5").await;
    for expected in [r#"42["n",2]"#, r#"42["n",3]"#] {
        assert_eq!(probe.reader.receive().await, Message::Text(expected.to_owned()));
    }
    assert_eq!(socket.transport().as_str(), "websocket");
    assert_refused(&client.polling().get().await, 400, BAD_REQUEST);
    let posted = client.polling().http.post(&client.polling().query, b"42[\"late\"]").await;
    assert_refused(&posted, 400, BAD_REQUEST);
    probe.writer.text(r#"42["by WebSocket"]"#).await;
    assert_eq!(test.host.event().await.1.text(), r#"["by WebSocket"]"#);
}

/// Sees that polling goes on as if no upgrade had been tried, and that the next one works.
async fn assert_polling_goes_on(test: &mut TestServer, mut client: Client, socket: &Arc<Socket>) {
    eventually(|| test.server.metrics().engine.upgrades_failed > 0).await;
    assert_eq!(socket.transport().as_str(), "polling");
    socket.emit(&Payload::event("still here", []), Flags::default(), &mut Writes::new());
    assert_eq!(client.text().await, r#"42["still here"]"#);
    client.send(r#"42["me too"]"#).await;
    assert_eq!(test.host.event().await.1.text(), r#"["me too"]"#);
    client.upgrade(test).await;
    socket.emit(&Payload::event("moved", []), Flags::default(), &mut Writes::new());
    assert_eq!(client.text().await, r#"42["moved"]"#);
    client.close().await;
    assert_eq!(test.host.reason().await, "transport close");
}

#[tokio::test]
async fn what_is_no_probe_fails_the_upgrade_only() {
    for wrong in ["2", "2other", "3probe", "40", r#"42["early"]"#, "1", "garbage"] {
        let mut test = start_default().await;
        let (client, socket) = test.join(EntryPoint::Handle).await;
        let mut probe =
            websocket(&test, EntryPoint::Listen, &client.upgrade_query()).await.expect("it is accepted");
        probe.writer.text(wrong).await;
        assert!(matches!(probe.reader.receive().await, Message::Closed(_)), "{wrong}");
        assert_polling_goes_on(&mut test, client, &socket).await;
    }
}

#[tokio::test]
async fn a_probe_that_takes_too_long_is_dropped() {
    for is_probed in [false, true] {
        let mut test = start(Config {
            engine: ferrio_engine::Config { upgrade_timeout: SOON, ..Config::default().engine },
            ..Config::default()
        })
        .await;
        let (client, socket) = test.join(EntryPoint::Handle).await;
        let mut probe =
            websocket(&test, EntryPoint::Listen, &client.upgrade_query()).await.expect("it is accepted");
        if is_probed {
            probe.writer.text("2probe").await;
            assert_eq!(probe.reader.receive().await, Message::Text("3probe".to_owned()));
        }
        assert!(matches!(probe.reader.receive().await, Message::Closed(_)));
        probe.writer.text("5").await;
        assert_polling_goes_on_without_upgrade(&mut test, client, &socket).await;
    }
}

/// As [`assert_polling_goes_on`], where an upgrade has too little time on a busy machine.
async fn assert_polling_goes_on_without_upgrade(
    test: &mut TestServer,
    mut client: Client,
    socket: &Arc<Socket>,
) {
    eventually(|| test.server.metrics().engine.upgrades_failed == 1).await;
    socket.emit(&Payload::event("still here", []), Flags::default(), &mut Writes::new());
    assert_eq!(client.text().await, r#"42["still here"]"#);
    client.send(r#"42["me too"]"#).await;
    assert_eq!(test.host.event().await.1.text(), r#"["me too"]"#);
    assert_eq!(socket.transport().as_str(), "polling");
}

#[tokio::test]
async fn a_probe_that_is_lost_fails_the_upgrade_only() {
    for is_probed in [false, true] {
        for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
            let mut test = start_default().await;
            let (client, socket) = test.join(EntryPoint::Handle).await;
            let mut probe =
                websocket(&test, entry_point, &client.upgrade_query()).await.expect("it is accepted");
            if is_probed {
                probe.writer.text("2probe").await;
                assert_eq!(probe.reader.receive().await, Message::Text("3probe".to_owned()));
            }
            drop(probe);
            assert_polling_goes_on(&mut test, client, &socket).await;
        }
    }
}

#[tokio::test]
async fn a_second_probe_is_closed_and_the_first_goes_on() {
    let mut test = start_default().await;
    let (client, socket) = test.join(EntryPoint::Handle).await;
    let query = client.upgrade_query();
    let mut first = websocket(&test, EntryPoint::Channel, &query).await.expect("it is accepted");
    first.writer.text("2probe").await;
    assert_eq!(first.reader.receive().await, Message::Text("3probe".to_owned()));
    let mut second = websocket(&test, EntryPoint::Listen, &query).await.expect("it is accepted");
    assert!(matches!(second.reader.receive().await, Message::Closed(_)));
    first.writer.text("5").await;
    eventually(|| socket.transport().as_str() == "websocket").await;
    let mut third = websocket(&test, EntryPoint::TakeOver, &query).await.expect("it is accepted");
    assert!(matches!(third.reader.receive().await, Message::Closed(_)));
    let fourth = test.server.engine().serve_messages(head(&Method::GET, &query, &UPGRADE)).await.unwrap();
    assert_eq!(fourth.next().await, Some(vec![Outgoing::Close(1000)]));
    assert_eq!(fourth.next().await, None);
    drop(fourth);
    first.writer.text(r#"42["well"]"#).await;
    assert_eq!(test.host.event().await.1.text(), r#"["well"]"#);
}

#[tokio::test]
async fn upgrades_can_be_switched_off() {
    let mut test = start(Config {
        engine: ferrio_engine::Config { allow_upgrades: false, ..Config::default().engine },
        ..Config::default()
    })
    .await;
    let (mut client, _) = test.join(EntryPoint::Handle).await;
    assert!(client.open.contains(r#""upgrades":[]"#), "{}", client.open);
    let refused =
        websocket(&test, EntryPoint::Channel, &client.upgrade_query()).await.err().expect("it is refused");
    assert_refused(&refused, 400, "Bad request");
    client.send(r#"42["still here"]"#).await;
    test.host.event().await;
    test.open(EntryPoint::Channel).await;
}

#[tokio::test]
async fn a_session_that_ends_takes_its_probe_along() {
    let mut test = start_default().await;
    let (client, socket) = test.join(EntryPoint::Handle).await;
    let mut poll = pin!(client.polling().get());
    assert!(futures_util::FutureExt::now_or_never(&mut poll).is_none(), "it waits");
    let mut probe =
        websocket(&test, EntryPoint::Listen, &client.upgrade_query()).await.expect("it is accepted");
    // The answer to the first ping shows that the WebSocket is attached.
    probe.writer.frame(crate::support::websocket::PING, b"there?").await;
    assert_eq!(probe.reader.receive().await, Message::Binary(b"there?".to_vec()));
    drop(socket.disconnect(true, &mut Writes::new()));
    assert!(matches!(probe.reader.receive().await, Message::Closed(_)));
    assert_eq!(text(&poll.await), "41");
    assert_eq!(text(&client.polling().get().await), "6\x1e1");
    assert_eq!(test.server.metrics().engine.upgrades_failed, 1);
    test.emptied().await;
    test.assert_alive().await;
}

/// Nothing that ends in time can have ended by the timeout of the upgrade.
fn patient() -> Config {
    Config {
        engine: ferrio_engine::Config {
            upgrade_timeout: Duration::from_secs(3600),
            ..Config::default().engine
        },
        ..Config::default()
    }
}

/// A polling client whose probe was answered, and the WebSocket.
async fn probed(test: &mut TestServer, entry_point: EntryPoint) -> (Client, Arc<Socket>, WebSocket) {
    let (client, socket) = test.join(EntryPoint::Handle).await;
    let mut probe = websocket(test, entry_point, &client.upgrade_query()).await.expect("it is accepted");
    probe.writer.text("2probe").await;
    assert_eq!(probe.reader.receive().await, Message::Text("3probe".to_owned()));
    (client, socket, probe)
}

#[tokio::test]
async fn a_client_that_stopped_polling_for_its_upgrade_hears_of_the_end_on_the_websocket() {
    let last = Payload::event("last", []);
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        for is_servers_end in [false, true] {
            let mut test = start(patient()).await;
            let (_client, socket, mut probe) = probed(&mut test, entry_point).await;
            socket.emit(&last, Flags::default(), &mut Writes::new());
            if is_servers_end {
                test.server.close();
            } else {
                socket.disconnect(true, &mut Writes::new());
            }
            assert_eq!(test.server.engine().n_sessions(), 0);
            // Official clients have stopped polling by now, and do not begin again when their WebSocket is closed.
            probe.writer.text("5").await;
            assert_eq!(probe.reader.receive().await, Message::Text(r#"42["last"]"#.to_owned()));
            if !is_servers_end {
                assert_eq!(probe.reader.receive().await, Message::Text("41".to_owned()));
            }
            assert!(matches!(probe.reader.receive().await, Message::Closed(_)), "{entry_point:?}");
        }
    }
}

#[tokio::test]
async fn a_session_is_counted_as_what_it_was_when_its_end_and_its_upgrade_meet() {
    let outbox = OutboxLimits { max_bytes: 1024, ..OutboxLimits::default() };
    let mut test =
        start(Config { engine: ferrio_engine::Config { outbox, ..patient().engine }, ..patient() }).await;
    let (_client, socket, mut websocket) = probed(&mut test, EntryPoint::Channel).await;
    // It is too slow a reader, which is carried out when the batch ends.
    let mut writes = Writes::new();
    let filling = "x".repeat(1000);
    for _ in 0..2 {
        socket.emit(&Payload::event("n", [filling.as_str()]), Flags::default(), &mut writes);
    }
    websocket.writer.text("5").await;
    assert_eq!(test.host.reason().await, "slow reader");
    drop(writes);
    test.emptied().await;
    let metrics = test.server.metrics();
    assert_eq!((metrics.engine.connections_polling, metrics.engine.connections_websocket), (0, 0));
}

#[tokio::test]
async fn a_client_that_is_still_polling_during_its_upgrade_hears_of_the_end_there() {
    let mut test = start(patient()).await;
    let (client, socket, mut probe) = probed(&mut test, EntryPoint::Listen).await;
    drop(socket.disconnect(true, &mut Writes::new()));
    assert_eq!(text(&client.polling().get().await), "41");
    assert_eq!(text(&client.polling().get().await), "6\x1e1");
    assert!(matches!(probe.reader.receive().await, Message::Closed(_)), "the client has been told");
    assert_eq!(client.polling().get().await.status(), 400);
}

#[tokio::test]
async fn an_upgrade_that_is_never_finished_does_not_outlive_its_session_for_long() {
    let mut test = start(Config {
        engine: ferrio_engine::Config { upgrade_timeout: SOON, ..Config::default().engine },
        ..Config::default()
    })
    .await;
    let (_client, socket, mut probe) = probed(&mut test, EntryPoint::Listen).await;
    let watched = Arc::downgrade(&socket);
    socket.disconnect(true, &mut Writes::new());
    drop(socket);
    test.server.close();
    while test.host.next_or_end().await.is_some() {}
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
