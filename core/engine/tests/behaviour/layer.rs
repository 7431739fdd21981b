//! What a layer may do where it is called, and what happens when it never answers.

use std::sync::Arc;

use ferrio_engine::{Admitted, CloseReason, Config};
use ferrio_testing::Target as _;
use tokio::io::AsyncWriteExt as _;

use crate::support::{
    Client, TestServer,
    client::{EntryPoint, Message, adopted, websocket},
    eventually,
    http::{Http, assert_refused, text},
    in_time,
    recorder::{Manner, Session, Told},
    send, start_with,
    websocket::frame,
};

const POLLING: &str = "EIO=4&transport=polling";
const WEBSOCKET: &str = "EIO=4&transport=websocket";

fn close(session: &Arc<Session>) {
    session.close(CloseReason::ForcedClose);
}

async fn start_manner(manner: Manner) -> TestServer {
    start_with(Config::default(), manner).await
}

#[tokio::test]
async fn a_layer_may_close_a_session_from_within_its_message() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_manner(Manner { message: Some(close), ..Manner::default() }).await;
        let (client, session) = test.open(entry_point).await;
        let packets = ["4first", "4second", "4third"];
        let mut client = match client {
            Client { carrier: crate::support::client::Carrier::WebSocket(mut websocket), open } => {
                // All of them in one read.
                let frames = packets.map(|packet| frame(0x81, packet.as_bytes()));
                websocket.writer.raw(&frames.concat()).await;
                Client { carrier: crate::support::client::Carrier::WebSocket(websocket), open }
            }
            mut client if entry_point.is_polling() => {
                client.send(&packets.join("\x1e")).await;
                client
            }
            mut client => {
                for packet in packets {
                    client.send(packet).await;
                }
                client
            }
        };
        assert_eq!(test.heard.text().await, "first", "{entry_point:?}");
        assert_eq!(test.heard.reason().await, "forced close", "{entry_point:?}");
        assert!(matches!(client.closed().await.last(), Some(Message::Closed(_))), "{entry_point:?}");
        assert!(!session.is_open());
        test.emptied().await;
        test.heard.assert_silent();
    }
}

#[tokio::test]
async fn a_layer_may_close_a_session_as_it_opens() {
    for entry_point in [EntryPoint::Handle, EntryPoint::Port] {
        let mut test = start_manner(Manner { opened: Some(close), ..Manner::default() }).await;
        let http = if entry_point == EntryPoint::Handle { Http::memory(&test) } else { Http::tcp(&test) };
        let opened = in_time(http.get(POLLING)).await;
        assert!(text(&opened).starts_with("0{"), "{entry_point:?}: {}", text(&opened));
        test.heard.opened().await;
        assert_eq!(test.heard.reason().await, "forced close", "{entry_point:?}");
        test.emptied().await;
        let query = format!("{POLLING}&sid={}", crate::support::member(text(&opened), "sid"));
        assert_eq!(text(&http.get(&query).await), "6\x1e1", "{entry_point:?}");
    }
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver, EntryPoint::Messages] {
        let mut test = start_manner(Manner { opened: Some(close), ..Manner::default() }).await;
        // It hears that it was let in, and then that it is over.
        let mut client = Client::open(&test, entry_point).await;
        test.heard.opened().await;
        assert_eq!(test.heard.reason().await, "forced close", "{entry_point:?}");
        assert!(matches!(client.receive().await, Message::Closed(_)), "{entry_point:?}");
        test.emptied().await;
        test.heard.assert_silent();
    }
}

#[tokio::test]
async fn what_a_layer_sends_as_a_session_opens_follows_its_open_packet() {
    // An upgrade has read it by polling.
    for entry_point in EntryPoint::ALL.into_iter().filter(|entry_point| *entry_point != EntryPoint::Upgraded)
    {
        let welcome = |session: &Arc<Session>| send(session, "welcome");
        let test = start_manner(Manner { opened: Some(welcome), ..Manner::default() }).await;
        let mut client = Client::open(&test, entry_point).await;
        assert!(client.open.starts_with("0{"), "{entry_point:?}");
        assert_eq!(client.text().await, "4welcome", "{entry_point:?}");
    }
}

#[tokio::test]
async fn what_a_layer_sends_to_a_session_that_is_over_is_for_nobody() {
    let talkative = |session: &Arc<Session>| {
        send(session, "late");
        close(session);
        session.discard(CloseReason::ForcedClose);
        session.wake_layer_at(std::time::Instant::now());
        assert!(!session.is_open());
    };
    for entry_point in EntryPoint::ALL {
        let mut test = start_manner(Manner { closed: Some(talkative), ..Manner::default() }).await;
        let (mut client, session) = test.open(entry_point).await;
        close(&session);
        assert_eq!(test.heard.reason().await, "forced close", "{entry_point:?}");
        let received = client.closed().await;
        let is_message = |message: &Message| matches!(message, Message::Text(text) if text.starts_with('4'));
        assert!(!received.iter().any(is_message), "{entry_point:?}: {received:?}");
        test.emptied().await;
        test.heard.assert_silent();
    }
}

// A layer that never answers.

#[tokio::test]
async fn a_handshake_that_is_never_decided_ends_with_its_client() {
    let mut test = start_manner(Manner { asks_to_admit: true, ..Manner::default() }).await;
    // As a value, its host drops it; on a port, and taken over, the client is seen to go.
    for http in [Http::memory(&test), Http::tcp(&test)] {
        let asking = tokio::spawn(async move { http.get(POLLING).await });
        let (_, mut answer) = test.heard.admit().await;
        asking.abort();
        in_time(answer.closed()).await;
    }
    for entry_point in [EntryPoint::Listen, EntryPoint::TakeOver] {
        let reach = test.reach();
        let asking = tokio::spawn(async move { websocket(&reach, entry_point, WEBSOCKET).await.is_ok() });
        let (_, mut answer) = test.heard.admit().await;
        asking.abort();
        in_time(answer.closed()).await;
    }
    assert_eq!(test.server.n_sessions(), 0);
    test.heard.assert_silent();
}

/// What it has sent hides its end, which is seen when the layer has decided.
#[tokio::test]
async fn a_handshake_with_bytes_behind_it_ends_when_it_is_decided() {
    let mut test = start_manner(Manner { asks_to_admit: true, ..Manner::default() }).await;
    let mut stream = adopted(&test.server, WEBSOCKET).await;
    stream.write_all(&frame(0x81, b"4early")).await.unwrap();
    let (_, answer) = test.heard.admit().await;
    drop(stream);
    answer.send(Ok(Admitted::default())).unwrap();
    eventually(|| test.server.metrics().connections_opened == test.server.metrics().connections_closed).await;
    let told = test.heard.waiting();
    let is_expected = matches!(&told[..], [] | [Told::Opened(_), .., Told::Closed(..)]);
    assert!(is_expected, "{told:?}");
}

#[tokio::test]
async fn a_handshake_that_is_decided_after_the_close_is_refused() {
    let mut test = start_manner(Manner { asks_to_admit: true, ..Manner::default() }).await;
    for is_closed in [false, true] {
        let http = Http::memory(&test);
        let asking = tokio::spawn(async move { http.get(POLLING).await });
        let (_, polling) = test.heard.admit().await;
        let reach = test.reach();
        let probing = tokio::spawn(async move { websocket(&reach, EntryPoint::Channel, WEBSOCKET).await });
        let (_, over_websocket) = test.heard.admit().await;
        test.server.refuse_new_sessions();
        if is_closed {
            test.server.close();
        }
        polling.send(Ok(Admitted::default())).unwrap();
        let expected = r#"{"code":3,"message":"Server is shutting down"}"#;
        assert_refused(&in_time(asking).await.unwrap(), 503, expected);
        over_websocket.send(Ok(Admitted::default())).unwrap();
        let refused = in_time(probing).await.unwrap().err().expect("it is refused");
        assert_refused(&refused, 400, "Server is shutting down");
        test.heard.assert_silent();
        assert_eq!(test.server.n_sessions(), 0);
        test = start_manner(Manner { asks_to_admit: true, ..Manner::default() }).await;
    }
}

/// The WebSocket of an upgrade whose headers are never decided is given up with the upgrade.
#[tokio::test]
async fn an_upgrade_whose_headers_are_never_decided_changes_nothing() {
    let config = Config { upgrade_timeout: crate::support::SOON, ..Config::default() };
    let mut test = start_with(config, Manner { asks_for_headers: true, ..Manner::default() }).await;
    let (mut client, session) = test.open(EntryPoint::Handle).await;
    test.server.ask_for_headers(true);
    let (reach, query) = (test.reach(), client.upgrade_query());
    let probing = tokio::spawn(async move { websocket(&reach, EntryPoint::Listen, &query).await.is_ok() });
    let (_, _, mut answer) = test.heard.headers().await;
    eventually(|| test.server.metrics().upgrades_failed == 1).await;
    test.server.ask_for_headers(false);
    client.send("4still here").await;
    assert_eq!(test.heard.text().await, "still here");
    assert!(session.is_open() && !session.is_upgrading());
    probing.abort();
    in_time(answer.closed()).await;
    client.close().await;
    assert_eq!(test.heard.reason().await, "transport close");
}
