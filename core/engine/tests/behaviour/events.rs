//! What a session tells besides its messages: in order, and only to those who ask.

use ferrio_engine::{CloseReason, Config, Watch};

use crate::support::{
    Client, SOON, TestServer,
    client::{EntryPoint, Message, websocket},
    eventually,
    http::{Http, text},
    recorder::Told,
    send, start, start_default,
};

const EVERYTHING: [Watch; 7] = [
    Watch::PACKET,
    Watch::PACKET_CREATE,
    Watch::HEARTBEAT,
    Watch::FLUSH,
    Watch::DRAIN,
    Watch::UPGRADING,
    Watch::UPGRADE,
];

async fn start_watching(config: Config) -> TestServer {
    let test = start(config).await;
    test.server.watch_new_sessions(EVERYTHING.into_iter().fold(Watch::default(), |all, one| all | one));
    test
}

/// Sees that these come next, and nothing else before them.
async fn assert_events<'a>(test: &mut TestServer, expected: impl IntoIterator<Item = &'a str>) {
    for event in expected {
        assert_eq!(test.heard.event().await, event);
    }
}

#[tokio::test]
async fn everything_of_a_polling_session_is_told_in_order() {
    for entry_point in [EntryPoint::Handle, EntryPoint::Port] {
        let mut test = start_watching(Config::default()).await;
        let (mut client, session) = test.open(entry_point).await;
        assert_events(&mut test, ["flush", "drain"]).await;

        client.send("4hello").await;
        assert_events(&mut test, ["packet Message hello"]).await;
        assert_eq!(test.heard.text().await, "hello");

        // Nobody polls yet.
        send(&session, "one");
        send(&session, "two");
        assert_events(&mut test, ["packetCreate Message one", "packetCreate Message two"]).await;
        test.heard.assert_silent();
        assert_eq!(text(&client.polling().get().await), "4one\x1e4two");
        assert_events(&mut test, ["flush", "drain"]).await;

        client.send_binary(&[1, 2]).await;
        assert_events(&mut test, ["packet Message [1, 2]"]).await;
        assert_eq!(test.heard.binary().await, [1, 2]);
        client.send("3").await;
        assert_events(&mut test, ["packet Pong", "heartbeat"]).await;

        client.close().await;
        assert_events(&mut test, ["packet Close"]).await;
        assert_eq!(test.heard.reason().await, "transport close");
        test.heard.assert_silent();
    }
}

#[tokio::test]
async fn everything_of_a_websocket_session_is_told_in_order() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver, EntryPoint::Messages] {
        let mut test = start_watching(Config::default()).await;
        let (mut client, session) = test.open(entry_point).await;
        assert_events(&mut test, ["flush", "drain"]).await;

        client.send("4hello").await;
        assert_events(&mut test, ["packet Message hello"]).await;
        assert_eq!(test.heard.text().await, "hello");

        send(&session, "one");
        assert_eq!(client.text().await, "4one");
        assert_events(&mut test, ["packetCreate Message one", "flush", "drain"]).await;

        client.send_binary(&[1, 2]).await;
        assert_events(&mut test, ["packet Message [1, 2]"]).await;
        assert_eq!(test.heard.binary().await, [1, 2]);
        client.send("3").await;
        assert_events(&mut test, ["packet Pong", "heartbeat"]).await;

        session.close(CloseReason::ForcedClose);
        assert_eq!(test.heard.reason().await, "forced close", "{entry_point:?}");
        client.closed().await;
        test.emptied().await;
        test.heard.assert_silent();
    }
}

#[tokio::test]
async fn a_ping_of_the_server_is_told_as_what_it_sends() {
    for entry_point in [EntryPoint::Listen, EntryPoint::Messages] {
        let mut test = start_watching(Config { ping_interval: 3 * SOON, ..Config::default() }).await;
        let (mut client, _) = test.open(entry_point).await;
        assert_events(&mut test, ["flush", "drain"]).await;
        assert_eq!(client.receive().await, Message::Text("2".to_owned()));
        assert_events(&mut test, ["packetCreate Ping", "flush", "drain"]).await;
        client.send("3").await;
        assert_events(&mut test, ["packet Pong", "heartbeat"]).await;
    }
}

#[tokio::test]
async fn a_ping_of_an_older_client_is_told_with_its_answer() {
    let mut test = start_watching(Config { allow_eio3: true, ..Config::default() }).await;
    let client = Client::poll(Http::memory(&test), "EIO=3&transport=polling").await;
    test.heard.opened().await;
    assert_events(&mut test, ["flush", "drain"]).await;
    assert_eq!(text(&client.polling().http.post(&client.polling().query, b"1:2").await), "ok");
    assert_events(&mut test, ["packet Ping", "packetCreate Pong", "heartbeat"]).await;
    assert_eq!(text(&client.polling().get().await), "1:3");
    assert_events(&mut test, ["flush", "drain"]).await;
}

#[tokio::test]
async fn an_upgrade_is_told_and_its_probe_is_not() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let mut test = start_watching(Config::default()).await;
        let (client, session) = test.open(EntryPoint::Handle).await;
        assert_events(&mut test, ["flush", "drain"]).await;
        let mut probe = websocket(&test, entry_point, &client.upgrade_query()).await.expect("it is accepted");
        probe.writer.text("2probe").await;
        assert_eq!(probe.reader.receive().await, Message::Text("3probe".to_owned()));
        assert_events(&mut test, ["upgrading"]).await;
        send(&session, "waits");
        assert_events(&mut test, ["packetCreate Message waits"]).await;
        test.heard.assert_silent();
        probe.writer.text("5").await;
        assert_eq!(probe.reader.receive().await, Message::Text("4waits".to_owned()));
        assert_events(&mut test, ["upgrade", "flush", "drain"]).await;
        probe.writer.text("4hello").await;
        assert_events(&mut test, ["packet Message hello"]).await;
        assert_eq!(test.heard.text().await, "hello", "{entry_point:?}");
    }
}

#[tokio::test]
async fn nothing_is_told_that_nobody_asks_for() {
    for entry_point in EntryPoint::ALL {
        let mut test = start(Config { ping_interval: SOON, ..Config::default() }).await;
        let (mut client, session) = test.open(entry_point).await;
        assert!(!session.is_watched());
        for _ in 0..2 {
            assert_eq!(client.receive().await, Message::Text("2".to_owned()));
            client.send("3").await;
        }
        client.send("4hello").await;
        send(&session, "hello");
        assert_eq!(client.text().await, "4hello");
        client.close().await;
        assert_eq!(test.heard.text().await, "hello");
        assert_eq!(test.heard.reason().await, "transport close");
        test.heard.assert_silent();
    }
}

#[tokio::test]
async fn each_event_is_told_to_those_who_ask_for_it_alone() {
    for (event, expected) in [
        (Watch::PACKET, vec!["packet Message hello", "packet Pong"]),
        (Watch::PACKET_CREATE, vec!["packetCreate Message news"]),
        (Watch::HEARTBEAT, vec!["heartbeat"]),
        (Watch::FLUSH, vec!["flush"]),
        (Watch::DRAIN, vec!["drain"]),
        // Those are the layer's own.
        (Watch::MESSAGE, vec![]),
        (Watch::CLOSE, vec![]),
    ] {
        let mut test = start_default().await;
        let (mut client, session) = test.open(EntryPoint::Listen).await;
        session.watch(event);
        assert!(session.is_watched() && session.watches(event));
        client.send("4hello").await;
        client.send("3").await;
        eventually(|| test.server.metrics().packets_in == 2).await;
        send(&session, "news");
        assert_eq!(client.text().await, "4news");
        client.close().await;
        let mut events = Vec::new();
        loop {
            match test.heard.next().await {
                Told::Event(event) => events.push(event),
                Told::Message(..) => {}
                Told::Closed(..) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(events, expected, "{event:?}");
    }
}

#[tokio::test]
async fn watching_can_end_at_any_time() {
    let mut test = start_watching(Config::default()).await;
    let (mut client, session) = test.open(EntryPoint::Handle).await;
    assert_events(&mut test, ["flush", "drain"]).await;
    session.watch(Watch::default());
    test.server.watch_new_sessions(Watch::default());
    client.send("4hello").await;
    assert_eq!(test.heard.text().await, "hello");
    let (_other, session) = test.open(EntryPoint::Handle).await;
    send(&session, "hello");
    test.heard.assert_silent();
}

/// Others that came in the same read are of nobody.
#[tokio::test]
async fn nothing_is_told_behind_the_end() {
    let mut test = start_watching(Config::default()).await;
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        let (client, session) = test.open(entry_point).await;
        assert_events(&mut test, ["flush", "drain"]).await;
        let mut websocket = client.into_websocket();
        let frames =
            ["1", "4late", "3"].map(|packet| crate::support::websocket::frame(0x81, packet.as_bytes()));
        websocket.writer.raw(&frames.concat()).await;
        assert_events(&mut test, ["packet Close"]).await;
        assert_eq!(test.heard.reason().await, "transport close");
        send(&session, "late");
        while !matches!(websocket.reader.receive().await, Message::Closed(_) | Message::Lost) {}
        test.emptied().await;
        test.heard.assert_silent();
    }
}
