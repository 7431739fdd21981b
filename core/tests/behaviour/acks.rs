//! Acks: given once, awaited with and without a limit, by one socket or by many.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ferrio::{AckRequest, AckStatus, Config, Flags, HostEvent, Limits, Payload, Selection, Socket, Writes};

use crate::support::{SOON, client::EntryPoint, eventually, start, start_default};

const LONG: Option<Duration> = Some(Duration::from_secs(60));

fn ask(socket: &Arc<Socket>, token: u64, timeout: Option<Duration>) {
    let ack = AckRequest { token, timeout };
    socket.emit_with_ack(&Payload::event("ask", []), Flags::default(), ack, &mut Writes::new());
}

fn array(text: &str) -> Payload {
    Payload::new(text, Vec::new())
}

#[tokio::test]
async fn acks_may_come_in_any_order() {
    let mut test = start_default().await;
    let (mut client, socket) = test.join(EntryPoint::Listen).await;
    for token in 10..13 {
        ask(&socket, token, LONG);
    }
    for id in 0..3 {
        assert_eq!(client.text().await, format!(r#"42{id}["ask"]"#));
    }
    for id in [1, 2, 0] {
        client.send(&format!("43{id}[{id}]")).await;
        let (token, outcome) = test.host.ack().await;
        assert_eq!((token, outcome.status), (10 + id, AckStatus::Complete));
        assert_eq!(outcome.answers, [array(&format!("[{id}]"))]);
    }
}

#[tokio::test]
async fn an_ack_may_carry_binary() {
    let mut test = start_default().await;
    let (mut client, socket) = test.join(EntryPoint::Handle).await;
    ask(&socket, 1, None);
    client.text().await;
    let text = r#"[{"_placeholder":true,"num":0}]"#;
    client.send(&format!("461-0{text}")).await;
    client.send_binary(b"abc").await;
    let (_, outcome) = test.host.ack().await;
    assert_eq!(outcome.answers, [Payload::new(text, vec![Bytes::from_static(b"abc")])]);
}

#[tokio::test]
async fn an_ack_that_does_not_come_in_time_is_reported_and_a_late_one_is_not() {
    let mut test = start_default().await;
    let (mut client, socket) = test.join(EntryPoint::Channel).await;
    ask(&socket, 1, Some(SOON));
    client.text().await;
    let (token, outcome) = test.host.ack().await;
    assert_eq!((token, outcome.status, outcome.answers.len()), (1, AckStatus::TimedOut, 0));
    client.send("430[]").await;
    eventually(|| test.server.metrics().socket_io.acks_unexpected == 1).await;
    assert_eq!(test.server.metrics().socket_io.acks_timed_out, 1);
    test.host.assert_silent();
}

#[tokio::test]
async fn a_double_or_forged_ack_is_counted_and_ignored() {
    let mut test = start_default().await;
    let (mut client, socket) = test.join(EntryPoint::Channel).await;
    let (mut other, _) = test.join(EntryPoint::Channel).await;
    ask(&socket, 1, LONG);
    client.text().await;
    other.send("430[\"forged\"]").await;
    other.send("43999[]").await;
    client.send("43[\"without a number\"]").await;
    client.send("430[1]").await;
    client.send("430[2]").await;
    let (_, outcome) = test.host.ack().await;
    assert_eq!(outcome.answers, [array("[1]")]);
    eventually(|| test.server.metrics().socket_io.acks_unexpected == 4).await;
    test.host.assert_silent();
}

#[tokio::test]
async fn a_socket_that_leaves_owes_no_ack() {
    for has_left_before in [false, true] {
        let mut test = start_default().await;
        let (client, socket) = test.join(EntryPoint::Channel).await;
        if has_left_before {
            drop(socket.disconnect(true, &mut Writes::new()));
            ask(&socket, 1, None);
        } else {
            ask(&socket, 1, None);
            client.close().await;
        }
        let (token, outcome) = test.host.ack().await;
        assert_eq!((token, outcome.status), (1, AckStatus::Disconnected), "left before: {has_left_before}");
    }
}

#[tokio::test]
async fn with_a_limit_a_socket_that_left_times_out() {
    let mut test = start_default().await;
    let (client, socket) = test.join(EntryPoint::Channel).await;
    ask(&socket, 1, Some(SOON));
    client.close().await;
    assert_eq!(test.host.reason().await, "transport close");
    let (token, outcome) = test.host.ack().await;
    assert_eq!((token, outcome.status), (1, AckStatus::TimedOut));
}

#[tokio::test]
async fn a_socket_that_left_is_not_kept_for_an_ack_that_is_due_later() {
    let mut test = start_default().await;
    let (client, socket) = test.join(EntryPoint::Channel).await;
    ask(&socket, 1, LONG);
    client.close().await;
    drop(test.host.disconnected().await);
    let kept = Arc::downgrade(&socket);
    drop(socket);
    eventually(|| kept.upgrade().is_none()).await;
    test.host.assert_silent();
    test.server.close();
    let (token, outcome) = test.host.ack().await;
    assert_eq!((token, outcome.status), (1, AckStatus::TimedOut));
}

#[tokio::test]
async fn a_time_that_is_up_at_once_is_reported() {
    let mut test = start_default().await;
    let (_client, socket) = test.join(EntryPoint::Channel).await;
    for token in 0..1000 {
        ask(&socket, token, Some(Duration::ZERO));
    }
    let mut tokens = Vec::new();
    for _ in 0..1000 {
        let (token, outcome) = test.host.ack().await;
        assert_eq!(outcome.status, AckStatus::TimedOut);
        tokens.push(token);
    }
    tokens.sort_unstable();
    assert!(tokens.into_iter().eq(0..1000));
}

#[tokio::test]
async fn very_many_acks_may_come_in_reverse_and_not_at_all() {
    const N: u64 = 20_000;
    let mut test = start_default().await;
    let (mut client, socket) = test.join(EntryPoint::Channel).await;
    for token in 0..2 * N {
        ask(&socket, token, None);
    }
    for _ in 0..2 * N {
        client.text().await;
    }
    for id in (N..2 * N).rev() {
        client.send(&format!("43{id}[]")).await;
        let (token, outcome) = test.host.ack().await;
        assert_eq!((token, outcome.status), (id, AckStatus::Complete));
    }
    client.close().await;
    for id in 0..N {
        let (token, outcome) = test.host.ack().await;
        assert_eq!((token, outcome.status), (id, AckStatus::Disconnected));
    }
}

#[tokio::test]
async fn a_broadcast_gathers_its_acks() {
    let mut test = start_default().await;
    let mut clients = Vec::new();
    for entry_point in EntryPoint::ALL {
        let (client, socket) = test.join(entry_point).await;
        socket.join(["asked"]);
        clients.push(client);
    }
    let everyone = Selection::all().to("asked");
    let event = Payload::event("ask", []);
    let ack = AckRequest { token: 1, timeout: LONG };
    test.main().emit_with_ack(&everyone, &event, Flags::default(), ack, &mut Writes::new());
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.text().await, r#"420["ask"]"#);
        test.host.assert_silent();
        client.send(&format!("430[{number}]")).await;
    }
    let (token, outcome) = test.host.ack().await;
    assert_eq!((token, outcome.status), (1, AckStatus::Complete));
    let mut answers: Vec<_> = outcome.answers.iter().map(|answer| answer.text().to_owned()).collect();
    answers.sort_unstable();
    assert_eq!(answers, ["[0]", "[1]", "[2]", "[3]", "[4]", "[5]", "[6]"]);
}

#[tokio::test]
async fn a_broadcast_that_times_out_has_the_answers_so_far() {
    let mut test = start_default().await;
    let (mut quick, _) = test.join(EntryPoint::Channel).await;
    let (_silent, _) = test.join(EntryPoint::Channel).await;
    let ack = AckRequest { token: 1, timeout: Some(4 * SOON) };
    let event = Payload::event("ask", []);
    test.main().emit_with_ack(&Selection::all(), &event, Flags::default(), ack, &mut Writes::new());
    quick.text().await;
    quick.send("430[\"quick\"]").await;
    let (token, outcome) = test.host.ack().await;
    assert_eq!((token, outcome.status), (1, AckStatus::TimedOut));
    assert_eq!(outcome.answers, [array("[\"quick\"]")]);
}

#[tokio::test]
async fn answers_that_are_too_large_end_the_wait_with_those_before() {
    const OVERHEAD: usize = 96;
    let answer = format!(r#"["{}"]"#, "x".repeat(1000));
    let room = 3 * (answer.len() + OVERHEAD);
    let ample = usize::MAX;
    for (max_ack_bytes, max_total_ack_bytes) in [(room, ample), (ample, room)] {
        let limits = Limits { max_ack_bytes, max_total_ack_bytes, ..Limits::default() };
        let mut test = start(Config { limits, ..Config::default() }).await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(test.join(EntryPoint::Channel).await.0);
        }
        let event = Payload::event("ask", []);
        // What is over holds nothing back, however often it happens.
        for token in 0..3 {
            let ack = AckRequest { token, timeout: LONG };
            test.main().emit_with_ack(&Selection::all(), &event, Flags::default(), ack, &mut Writes::new());
            for client in &mut clients {
                client.text().await;
                client.send(&format!("43{token}{answer}")).await;
            }
            let (reported, outcome) = test.host.ack().await;
            assert_eq!((reported, outcome.status), (token, AckStatus::TooLarge));
            assert_eq!(outcome.answers, vec![array(&answer); 3]);
        }
        // Nor does what nobody can answer any more.
        let ack = AckRequest { token: 9, timeout: LONG };
        test.main().emit_with_ack(&Selection::all(), &event, Flags::default(), ack, &mut Writes::new());
        for client in &mut clients[..3] {
            client.text().await;
            client.send(&format!("433{answer}")).await;
        }
        clients[3].send("433[]").await;
        let (_, outcome) = test.host.ack().await;
        assert_eq!(outcome.status, AckStatus::TooLarge, "tiny ones take their place, too");
    }
}

#[tokio::test]
async fn a_broadcast_to_nobody_is_complete_at_once() {
    let mut test = start_default().await;
    let ack = AckRequest { token: 1, timeout: LONG };
    let event = Payload::event("ask", []);
    test.main().emit_with_ack(&Selection::all(), &event, Flags::default(), ack, &mut Writes::new());
    let (token, outcome) = test.host.ack().await;
    assert_eq!((token, outcome.status, outcome.answers.len()), (1, AckStatus::Complete, 0));
}

#[tokio::test]
async fn a_reply_to_a_client_that_left_does_nothing() {
    let mut test = start_default().await;
    let (mut client, _) = test.join(EntryPoint::Channel).await;
    client.send(r#"427["question"]"#).await;
    let (_, _, ack) = test.host.event().await;
    client.close().await;
    drop(test.host.disconnected().await);
    ack.unwrap().send(&array("[]"), &mut Writes::new());
    test.host.assert_silent();
}

#[tokio::test]
async fn each_ack_of_a_broadcast_can_be_reported_by_itself_and_then_its_end() {
    let mut test = start_default().await;
    let (mut first, socket) = test.join(EntryPoint::Listen).await;
    let (mut second, _) = test.join(EntryPoint::Handle).await;
    let (third, _) = test.join(EntryPoint::Channel).await;
    let ask = |selection: &Selection, timeout| {
        let ack = AckRequest { token: 7, timeout };
        let namespace = socket.namespace();
        namespace.emit_with_each_ack(
            selection,
            &Payload::event("ask", []),
            Flags::default(),
            ack,
            &mut Writes::new(),
        )
    };
    assert_eq!(ask(&Selection::all(), None), 3);
    assert_eq!(first.text().await, r#"420["ask"]"#);
    second.text().await;
    for (client, answer) in [(&mut second, "[2]"), (&mut first, "[1]")] {
        client.send(&format!("430{answer}")).await;
        // Nobody answers twice.
        client.send(&format!("430{answer}")).await;
        let (token, outcome) = test.host.ack().await;
        assert_eq!((token, outcome.status), (7, AckStatus::OneOfMany));
        assert_eq!(outcome.answers, [array(answer)]);
    }
    // The last who could answer leaves.
    third.close().await;
    let last = [test.host.next().await, test.host.next().await];
    let ends = last.iter().any(|event| {
        matches!(event, HostEvent::Ack { token: 7, outcome } if outcome.status == AckStatus::Complete && outcome.answers.is_empty())
    });
    assert!(ends, "{last:?}");
    drop(last);

    assert_eq!(ask(&Selection::all().to("nobody"), LONG), 0);
    assert_eq!(test.host.ack().await.1.status, AckStatus::Complete);
    assert_eq!(ask(&Selection::all(), Some(SOON)), 2);
    first.text().await;
    first.send("432[1]").await;
    assert_eq!(test.host.ack().await.1.status, AckStatus::OneOfMany);
    assert_eq!(test.host.ack().await.1.status, AckStatus::TimedOut);
    second.text().await;
    second.send("432[1]").await;
    eventually(|| test.server.metrics().socket_io.acks_unexpected == 3).await;
    test.host.assert_silent();
}

#[tokio::test]
async fn acks_that_the_core_does_not_expect_are_told_to_a_host_that_does() {
    let limits = Limits { host_queue: 16, host_queue_share: 4, ..Limits::default() };
    let mut test = start(Config { limits, ..Config::default() }).await;
    let (mut client, socket) = test.join(EntryPoint::Channel).await;
    let ids = [socket.namespace().next_ack_id(), socket.namespace().next_ack_id()];
    assert_ne!(ids[0], ids[1]);
    test.server.tell_unexpected_acks();
    ask(&socket, 1, LONG);
    assert_eq!(client.text().await, format!(r#"42{}["ask"]"#, ids[1] + 1), "a number of its own");
    client.send("43999[1]").await;
    match test.host.next().await {
        HostEvent::UnexpectedAck { socket: from, id, payload, .. } => {
            assert_eq!((from.id(), id, payload), (socket.id(), 999, array("[1]")));
        }
        other => panic!("an ack was due, not {other:?}"),
    }
    // A client may send any number of them: half of the queue stays to the others.
    for _ in 0..100 {
        client.send("43999[1]").await;
    }
    eventually(|| test.server.metrics().socket_io.acks_unexpected > 0).await;
    let mut waiting = Vec::new();
    test.host.drain(&mut waiting);
    assert_eq!(waiting.len(), 8);
    drop(waiting);
    client.send("43999[2]").await;
    assert!(matches!(test.host.next().await, HostEvent::UnexpectedAck { .. }));
}
