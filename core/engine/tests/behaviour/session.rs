//! One session, seen from its layer: its states, its ends, packets that leave alone, and the layer's own timer.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use ferrio_engine::{CloseReason, Frame, Outgoing, ReadyState, Writes};
use futures_util::FutureExt as _;

use crate::support::{
    Client, SOON, TestServer,
    client::{Carrier, EntryPoint, Message, websocket},
    eventually,
    http::text,
    in_time, push,
    recorder::{Session, Told},
    send, start_default,
};

const HOUR: Duration = Duration::from_secs(3600);

/// The entry points whose WebSocket a task drives.
const DRIVEN: [EntryPoint; 4] =
    [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver, EntryPoint::Upgraded];

// States.

#[tokio::test]
async fn a_websocket_session_is_open_then_closing_then_closed() {
    for entry_point in DRIVEN.into_iter().chain([EntryPoint::Messages]) {
        let mut test = start_default().await;
        let (mut client, session) = test.open(entry_point).await;
        eventually(|| session.transport().as_str() == "websocket").await;
        assert_eq!(session.ready_state(), ReadyState::Open, "{entry_point:?}");
        if entry_point == EntryPoint::Channel {
            // More than its channel takes.
            send(&session, &"x".repeat(100_000));
        }
        session.close(CloseReason::ForcedClose);
        if matches!(entry_point, EntryPoint::Channel | EntryPoint::Messages) {
            assert_eq!(
                session.ready_state(),
                ReadyState::Closing,
                "{entry_point:?}: its end is not read yet"
            );
        }
        assert!(!session.is_open() && !session.is_writable());
        assert!(matches!(client.closed().await.last(), Some(Message::Closed(_))), "{entry_point:?}");
        drop(client);
        eventually(|| session.ready_state() == ReadyState::Closed).await;
        assert_eq!(session.ready_state().as_str(), "closed");
    }
}

#[tokio::test]
async fn a_polling_session_is_closed_at_once() {
    for entry_point in [EntryPoint::Handle, EntryPoint::Port] {
        let mut test = start_default().await;
        let (_client, session) = test.open(entry_point).await;
        assert_eq!(session.ready_state().as_str(), "open");
        session.close(CloseReason::ForcedClose);
        assert_eq!(session.ready_state(), ReadyState::Closed, "{entry_point:?}");
    }
}

#[tokio::test]
async fn a_session_is_upgrading_from_its_request_to_its_upgrade() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    assert!(!session.is_upgrading());
    let mut probe = websocket(&test, EntryPoint::Listen, &client.upgrade_query()).await.expect("accepted");
    assert!(session.is_upgrading());
    probe.writer.text("2probe").await;
    assert_eq!(probe.reader.receive().await, Message::Text("3probe".to_owned()));
    assert!(session.is_upgrading());
    assert_eq!((session.ready_state(), session.transport().as_str()), (ReadyState::Open, "polling"));
    probe.writer.text("5").await;
    eventually(|| !session.is_upgrading()).await;
    assert_eq!((session.ready_state(), session.transport().as_str()), (ReadyState::Open, "websocket"));
}

#[tokio::test]
async fn a_message_would_leave_at_once_while_a_poll_waits_or_a_websocket_takes_more() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    assert!(!session.is_writable(), "nobody polls");
    let mut poll = pin!(client.polling().get());
    assert!((&mut poll).now_or_never().is_none(), "it waits");
    assert!(session.is_writable());
    send(&session, "1");
    assert!(!session.is_writable());
    assert_eq!(text(&poll.await), "41");

    let (mut client, session) = test.open(EntryPoint::Channel).await;
    assert!(session.is_writable());
    let long = "x".repeat(100_000);
    send(&session, &long);
    assert!(!session.is_writable(), "its channel is full");
    assert_eq!(client.text().await.len(), 1 + long.len());
    eventually(|| session.is_writable()).await;
}

// Ends.

/// A session with one message on its way, of which a part has left if it has bytes, and another one behind it.
async fn with_two_messages(test: &mut TestServer, entry_point: EntryPoint) -> (Client, Arc<Session>) {
    let (client, session) = test.open(entry_point).await;
    if entry_point == EntryPoint::Upgraded {
        eventually(|| session.transport().as_str() == "websocket").await;
    }
    send(&session, &"x".repeat(100_000));
    send(&session, "second");
    (client, session)
}

/// Entry points at which what is sent waits until somebody reads.
const WAITING: [EntryPoint; 5] =
    [EntryPoint::Handle, EntryPoint::Port, EntryPoint::Channel, EntryPoint::Messages, EntryPoint::Upgraded];

fn texts(received: &[Message]) -> Vec<usize> {
    let lens = received.iter().filter_map(|message| match message {
        Message::Text(text) if text != "6" => Some(text.len()),
        _ => None,
    });
    lens.collect()
}

#[tokio::test]
async fn a_close_lets_leave_what_was_queued_before() {
    for entry_point in WAITING {
        let mut test = start_default().await;
        let (mut client, session) = with_two_messages(&mut test, entry_point).await;
        session.close(CloseReason::ForcedClose);
        assert_eq!(test.heard.reason().await, "forced close");
        let received = client.closed().await;
        assert_eq!(texts(&received), [100_001, 7], "{entry_point:?}");
        assert!(matches!(received.last(), Some(Message::Closed(_))), "{entry_point:?}");
    }
}

#[tokio::test]
async fn a_discarded_session_says_nothing_more_but_its_end() {
    for entry_point in WAITING {
        let mut test = start_default().await;
        let (mut client, session) = with_two_messages(&mut test, entry_point).await;
        session.discard(CloseReason::ForcedClose);
        assert_eq!(test.heard.reason().await, "forced close");
        let received = client.closed().await;
        // A frame of which a part has left is finished, or the next could not be read.
        let is_begun = matches!(entry_point, EntryPoint::Channel | EntryPoint::Upgraded);
        assert_eq!(texts(&received), if is_begun { vec![100_001] } else { vec![] }, "{entry_point:?}");
        if entry_point.is_polling() {
            assert_eq!(received, [Message::Lost], "{entry_point:?}: its session is unknown");
        } else {
            assert!(matches!(received.last(), Some(Message::Closed(_))), "{entry_point:?}");
        }
        session.discard(CloseReason::ParseError);
        test.heard.assert_silent();
    }
}

#[tokio::test]
async fn a_poll_that_waits_is_told_of_a_discarded_session() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    let mut poll = pin!(client.polling().get());
    assert!((&mut poll).now_or_never().is_none(), "it waits");
    let mut writes = Writes::new();
    push(&session, "for nobody", &mut writes);
    session.discard(CloseReason::ForcedClose);
    drop(writes);
    assert_eq!(text(&poll.await), "1");
}

// Packets that leave alone.

fn push_alone(session: &Arc<Session>, message: &str, pause: Duration) {
    session.push_alone(&Frame::message_text(message).into(), pause, &mut Writes::new());
}

/// The texts of one write.
fn written(outgoing: Option<Vec<Outgoing>>) -> Vec<String> {
    let text = |outgoing| match outgoing {
        Outgoing::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
        other => panic!("a text was due, not {other:?}"),
    };
    outgoing.expect("there is more").into_iter().map(text).collect()
}

#[tokio::test]
async fn a_packet_that_leaves_alone_leaves_in_a_write_of_its_own() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Messages).await;
    let Carrier::Messages { socket, .. } = &client.carrier else { panic!("its messages are carried") };
    let mut writes = Writes::new();
    push(&session, "before", &mut writes);
    session.push_alone(&Frame::message_text("alone").into(), Duration::ZERO, &mut writes);
    push(&session, "behind", &mut writes);
    writes.finish();
    assert_eq!(written(in_time(socket.next()).await), ["4before", "4alone"]);
    assert_eq!(written(in_time(socket.next()).await), ["4behind"]);
}

#[tokio::test]
async fn without_a_pause_nothing_is_kept_back() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (mut client, session) = test.open(entry_point).await;
        push_alone(&session, "alone", Duration::ZERO);
        send(&session, "behind");
        assert_eq!(client.text().await, "4alone", "{entry_point:?}");
        assert_eq!(client.text().await, "4behind", "{entry_point:?}");
    }
}

#[tokio::test]
async fn a_pause_keeps_back_what_follows_and_loses_nothing() {
    for entry_point in DRIVEN.into_iter().chain([EntryPoint::Messages]) {
        let mut test = start_default().await;
        let (mut client, session) = test.open(entry_point).await;
        eventually(|| session.transport().as_str() == "websocket").await;
        push_alone(&session, "alone", SOON);
        for text in ["1", "2"] {
            send(&session, text);
        }
        for text in ["4alone", "41", "42"] {
            assert_eq!(client.text().await, text, "{entry_point:?}");
        }
    }
}

#[tokio::test]
async fn a_pause_ends_with_the_next_that_leaves_alone_and_with_the_session() {
    for entry_point in DRIVEN.into_iter().chain([EntryPoint::Messages]) {
        for is_discarded in [false, true] {
            let mut test = start_default().await;
            let (mut client, session) = test.open(entry_point).await;
            eventually(|| session.transport().as_str() == "websocket").await;
            push_alone(&session, "first", HOUR);
            send(&session, "kept back");
            push_alone(&session, "second", HOUR);
            for text in ["4first", "4kept back", "4second"] {
                assert_eq!(client.text().await, text, "{entry_point:?}");
            }
            send(&session, "last");
            if is_discarded {
                session.discard(CloseReason::ForcedClose);
            } else {
                session.close(CloseReason::ForcedClose);
            }
            let expected = if is_discarded { vec![] } else { vec![5] };
            assert_eq!(texts(&client.closed().await), expected, "{entry_point:?}");
        }
    }
}

/// A poll takes what there is: its answer is a write of its own anyway.
#[tokio::test]
async fn there_is_no_pause_in_long_polling() {
    let mut test = start_default().await;
    let (client, session) = test.open(EntryPoint::Handle).await;
    let mut poll = pin!(client.polling().get());
    assert!((&mut poll).now_or_never().is_none(), "it waits");
    push_alone(&session, "alone", HOUR);
    send(&session, "behind");
    assert_eq!(text(&poll.await), "4alone");
    assert_eq!(text(&client.polling().get().await), "4behind");
}

// The layer's timer.

#[tokio::test]
async fn the_layer_is_woken_at_its_time() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (_client, session) = test.open(entry_point).await;
        session.wake_layer_at(Instant::now() + SOON);
        match test.heard.next().await {
            Told::Timeout(woken) => assert!(Arc::ptr_eq(&woken, &session), "{entry_point:?}"),
            other => panic!("{other:?}"),
        }
        // It is told once, until it asks again.
        session.wake_layer_at(Instant::now());
        assert!(matches!(test.heard.next().await, Told::Timeout(_)), "{entry_point:?}");
        test.heard.assert_silent();
    }
}

#[tokio::test]
async fn the_layers_last_word_counts() {
    let mut test = start_default().await;
    let (_client, session) = test.open(EntryPoint::Listen).await;
    session.wake_layer_at(Instant::now() + HOUR);
    session.wake_layer_at(Instant::now());
    assert!(matches!(test.heard.next().await, Told::Timeout(_)));
    session.wake_layer_at(Instant::now() + SOON);
    session.wake_layer_at(Instant::now() + HOUR);
    // Another session's comes later than the one that was taken back.
    let (_other, other) = test.open(EntryPoint::Listen).await;
    other.wake_layer_at(Instant::now() + 2 * SOON);
    match test.heard.next().await {
        Told::Timeout(woken) => assert!(Arc::ptr_eq(&woken, &other)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_layer_is_not_woken_for_a_session_that_is_over() {
    let mut test = start_default().await;
    let (_client, session) = test.open(EntryPoint::Handle).await;
    session.wake_layer_at(Instant::now() + SOON);
    session.close(CloseReason::ForcedClose);
    session.wake_layer_at(Instant::now() + SOON);
    assert_eq!(test.heard.reason().await, "forced close");
    let (_other, other) = test.open(EntryPoint::Handle).await;
    other.wake_layer_at(Instant::now() + 2 * SOON);
    match test.heard.next().await {
        Told::Timeout(woken) => assert!(Arc::ptr_eq(&woken, &other)),
        other => panic!("{other:?}"),
    }
}
