//! Messages that wait for their turn: nothing behind them is read, and everything else goes on.

use ferrio_engine::{CloseReason, Config};

use crate::support::{
    SOON, TestServer,
    client::{EntryPoint, Message},
    eventually, in_time,
    recorder::Told,
    send, start, start_default,
};

/// Those whose messages come one by one.
const WEBSOCKETS: [EntryPoint; 5] = [
    EntryPoint::Channel,
    EntryPoint::Listen,
    EntryPoint::TakeOver,
    EntryPoint::Messages,
    EntryPoint::Upgraded,
];

/// Gives a turn, sees which message takes it, and that the turn is over with it.
async fn give_turn_to(test: &mut TestServer, text: &str) {
    test.server.layer().gate.give_turns(1);
    assert_eq!(test.heard.text().await, text);
    assert!(matches!(test.heard.next().await, Told::TurnOver));
}

#[tokio::test]
async fn a_message_waits_for_its_turn_and_others_behind_it() {
    for entry_point in WEBSOCKETS {
        let mut test = start_default().await;
        let (mut client, _) = test.open(entry_point).await;
        let gate = test.server.layer().gate.clone();
        gate.shut();
        let sending = tokio::spawn(async move {
            for packet in ["4a", "4b", "4c"] {
                client.send(packet).await;
            }
            client
        });
        eventually(|| gate.n_waited() == 1).await;
        test.heard.assert_silent();
        give_turn_to(&mut test, "a").await;
        // It was a turn for one message.
        eventually(|| gate.n_waited() == 2).await;
        test.heard.assert_silent();
        gate.open();
        give_turn_to(&mut test, "b").await;
        assert_eq!(test.heard.text().await, "c", "{entry_point:?}: it need not wait");
        let mut client = in_time(sending).await.unwrap();
        client.send("4d").await;
        assert_eq!(test.heard.text().await, "d", "{entry_point:?}");
        assert_eq!(gate.n_waited(), 2, "{entry_point:?}");
    }
}

#[tokio::test]
async fn a_post_is_answered_when_all_its_messages_had_their_turns() {
    for entry_point in [EntryPoint::Handle, EntryPoint::Port] {
        let mut test = start_default().await;
        let (client, _) = test.open(entry_point).await;
        let gate = test.server.layer().gate.clone();
        gate.shut();
        let polling = client.polling();
        let (http, query) = (polling.http.clone(), polling.query.clone());
        let posting = tokio::spawn(async move { http.post(&query, b"4a\x1e4b").await });
        for (n_waited, text) in [(1, "a"), (2, "b")] {
            eventually(|| gate.n_waited() == n_waited).await;
            test.heard.assert_silent();
            assert!(!posting.is_finished());
            give_turn_to(&mut test, text).await;
        }
        assert_eq!(in_time(posting).await.unwrap().body(), "ok", "{entry_point:?}");
    }
}

#[tokio::test]
async fn heartbeats_and_what_is_sent_go_on_while_a_message_waits() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver, EntryPoint::Upgraded] {
        let mut test = start(Config { ping_interval: SOON, ping_timeout: SOON, ..Config::default() }).await;
        let (mut client, session) = test.open(entry_point).await;
        let gate = test.server.layer().gate.clone();
        gate.shut();
        client.send("4a").await;
        eventually(|| gate.n_waited() == 1).await;
        // It answers none of them: it is not read, and its silence is not held against it.
        for _ in 0..3 {
            assert_eq!(client.receive().await, Message::Text("2".to_owned()), "{entry_point:?}");
        }
        send(&session, "news");
        assert_eq!(client.text().await, "4news", "{entry_point:?}");
        assert!(session.is_open(), "{entry_point:?}");
        give_turn_to(&mut test, "a").await;
        // Read again, it has to answer.
        assert_eq!(test.heard.reason().await, "ping timeout", "{entry_point:?}");
    }
}

#[tokio::test]
async fn a_session_that_ends_while_a_message_waits_takes_the_message_along() {
    for entry_point in [EntryPoint::Handle].into_iter().chain(WEBSOCKETS) {
        let mut test = start_default().await;
        let (mut client, session) = test.open(entry_point).await;
        let gate = test.server.layer().gate.clone();
        gate.shut();
        let sending = tokio::spawn(async move {
            client.send("4for nobody").await;
            client
        });
        eventually(|| gate.n_waited() == 1).await;
        session.close(CloseReason::ForcedClose);
        assert_eq!(test.heard.reason().await, "forced close", "{entry_point:?}");
        let mut client = in_time(sending).await.unwrap();
        assert!(matches!(client.closed().await.last(), Some(Message::Closed(_))), "{entry_point:?}");
        drop(client);
        test.emptied().await;
        test.heard.assert_silent();
        // It has taken nobody's turn.
        let (mut other, _) = test.open(EntryPoint::Channel).await;
        other.send("4b").await;
        eventually(|| gate.n_waited() == 2).await;
        give_turn_to(&mut test, "b").await;
    }
}

/// Nothing is read from it, so that only a write can show that it has gone.
#[tokio::test]
async fn a_client_that_goes_while_its_message_waits_is_missed() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver, EntryPoint::Messages] {
        let mut test = start(Config { ping_interval: SOON, ping_timeout: SOON, ..Config::default() }).await;
        let (mut client, _) = test.open(entry_point).await;
        let gate = test.server.layer().gate.clone();
        gate.shut();
        let sending = tokio::spawn(async move {
            client.send("4a").await;
            client
        });
        eventually(|| gate.n_waited() == 1).await;
        sending.abort();
        drop(sending.await);
        let (_, reason) = test.heard.closed().await;
        let expected = [CloseReason::TransportError, CloseReason::TransportClose];
        assert!(expected.contains(&reason), "{entry_point:?}: {reason}");
        test.emptied().await;
    }
}

#[tokio::test]
async fn what_is_no_message_never_waits() {
    let mut test = start(Config { ping_interval: SOON, ..Config::default() }).await;
    test.server.layer().gate.shut();
    for entry_point in EntryPoint::ALL {
        let (mut client, _) = test.open(entry_point).await;
        for _ in 0..2 {
            assert_eq!(client.receive().await, Message::Text("2".to_owned()), "{entry_point:?}");
            client.send("3").await;
        }
        client.close().await;
        assert_eq!(test.heard.reason().await, "transport close", "{entry_point:?}");
    }
    assert_eq!(test.server.layer().gate.n_waited(), 0);
}
