//! The end of a server: at once, or after its clients have left.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ferrio_engine::{CloseReason, Config, Server};
use http::Method;

use crate::support::{
    SOON,
    client::{EntryPoint, Message, websocket},
    eventually,
    http::{Http, UPGRADE, assert_refused, head},
    in_time,
    recorder::{Manner, Recorder},
    send, start_default,
    websocket::{TEXT, frame},
};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_close_ends_everything_and_says_why() {
    for entry_point in EntryPoint::WITHOUT_PORT {
        let mut test = start_default().await;
        let (mut client, session) = test.open(entry_point).await;
        client.send("4before").await;
        assert_eq!(test.heard.text().await, "before", "{entry_point:?}");
        test.server.close();
        let (closed, reason) = test.heard.closed().await;
        assert!(Arc::ptr_eq(&closed, &session));
        assert_eq!(reason, CloseReason::ServerShutdown);
        test.heard.assert_silent();
        assert!(matches!(client.closed().await.last(), Some(Message::Closed(_))), "{entry_point:?}");
        assert_eq!(test.server.n_sessions(), 0);
        test.server.close();
    }
}

#[tokio::test]
async fn a_closed_server_lets_nobody_in() {
    let test = start_default().await;
    test.server.close();
    let answer = Http::memory(&test).get("EIO=4&transport=polling").await;
    assert_refused(&answer, 503, r#"{"code":3,"message":"Server is shutting down"}"#);
    for entry_point in [EntryPoint::Channel, EntryPoint::TakeOver] {
        let refused =
            websocket(&test, entry_point, "EIO=4&transport=websocket").await.err().expect("it is refused");
        assert_refused(&refused, 400, "Server is shutting down");
    }
}

#[tokio::test]
async fn a_close_while_busy_is_clean() {
    let mut test = start_default().await;
    let (mut clients, mut sessions) = (Vec::new(), Vec::new());
    for entry_point in EntryPoint::WITHOUT_PORT {
        let (client, session) = test.open(entry_point).await;
        clients.push(client);
        sessions.push(session);
    }
    let sending = std::thread::spawn(move || {
        for _ in 0..2000 {
            for session in &sessions {
                send(session, "busy");
            }
        }
    });
    let reading: Vec<_> =
        clients.into_iter().map(|mut client| tokio::spawn(async move { client.closed().await })).collect();
    eventually(|| test.server.metrics().packets_out > 100).await;
    test.server.close();
    for reading in reading {
        let received = reading.await.unwrap();
        assert!(matches!(received.last(), Some(Message::Closed(_) | Message::Lost)));
    }
    sending.join().unwrap();
    for _ in EntryPoint::WITHOUT_PORT {
        assert_eq!(test.heard.reason().await, "server shutting down");
    }
    test.heard.assert_silent();
}

#[tokio::test]
async fn a_session_that_ends_while_the_server_closes_is_told_once() {
    for _ in 0..50 {
        let mut test = start_default().await;
        let mut clients = Vec::new();
        for _ in 0..8 {
            clients.push(test.open(EntryPoint::Listen).await.0);
        }
        let leaving = tokio::spawn(async move { drop(clients) });
        test.server.close();
        for _ in 0..8 {
            test.heard.closed().await;
        }
        leaving.await.unwrap();
        test.heard.assert_silent();
    }
}

#[tokio::test]
async fn a_server_that_refuses_new_sessions_serves_those_it_has_until_they_leave() {
    let mut test = start_default().await;
    let (quick, _) = test.open(EntryPoint::Listen).await;
    let (mut slow, session) = test.open(EntryPoint::Handle).await;
    test.server.refuse_new_sessions();
    let server = test.server.clone();
    let draining = tokio::spawn(async move { server.drained(LONG).await });
    let answer = Http::memory(&test).get("EIO=4&transport=polling").await;
    assert_refused(&answer, 503, r#"{"code":3,"message":"Server is shutting down"}"#);
    let refused = websocket(&test, EntryPoint::Listen, "EIO=4&transport=websocket").await;
    assert_refused(&refused.err().expect("it is refused"), 400, "Server is shutting down");
    quick.close().await;
    assert_eq!(test.heard.reason().await, "transport close");
    slow.send("4not yet").await;
    assert_eq!(test.heard.text().await, "not yet");
    send(&session, "served");
    assert_eq!(slow.text().await, "4served");
    // An upgrade is no new session.
    slow.upgrade(&test).await;
    eventually(|| session.transport().as_str() == "websocket").await;
    assert!(!draining.is_finished());
    slow.close().await;
    assert_eq!(in_time(draining).await.unwrap(), 0);
    assert_eq!(test.heard.reason().await, "transport close");
}

#[tokio::test]
async fn waiting_for_the_last_session_ends_by_its_deadline() {
    let mut test = start_default().await;
    let (mut client, _) = test.open(EntryPoint::Channel).await;
    assert_eq!(in_time(test.server.drained(SOON)).await, 1);
    // It has closed nothing.
    client.send("4still here").await;
    assert_eq!(test.heard.text().await, "still here");
    test.server.close();
    assert_eq!(test.heard.reason().await, "server shutting down");
    assert!(matches!(client.receive().await, Message::Closed(_)));
}

#[tokio::test]
async fn an_empty_server_is_drained_at_once() {
    let test = start_default().await;
    assert_eq!(in_time(test.server.drained(LONG)).await, 0);
}

/// A wake-up that comes between the look at the number and the wait must not be lost.
#[tokio::test]
async fn the_last_session_ends_the_wait_whenever_it_goes() {
    let mut test = start_default().await;
    for _ in 0..200 {
        let (_client, session) = test.open(EntryPoint::Messages).await;
        let closing = tokio::task::spawn_blocking(move || session.close(CloseReason::ForcedClose));
        assert_eq!(in_time(test.server.drained(LONG)).await, 0);
        closing.await.unwrap();
        assert_eq!(test.heard.reason().await, "forced close");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_does_not_outlive_the_server_for_long() {
    let (recorder, mut heard) = Recorder::new(Manner::default());
    let server = Server::new(Config::default(), recorder).unwrap();
    // It never reads anything: not even the answer to its request fits.
    let (_near, far) = tokio::io::duplex(300);
    let early = frame(TEXT, b"4early");
    server.serve_channel(far, head(&Method::GET, "EIO=4&transport=websocket", &UPGRADE), Bytes::from(early));
    let session = heard.opened().await;
    assert_eq!(heard.text().await, "early");
    for _ in 0..100 {
        send(&session, "maintenance");
    }
    let watched = Arc::downgrade(&session);
    drop(session);
    server.close();
    assert_eq!(heard.reason().await, "server shutting down");
    eventually(|| watched.upgrade().is_none()).await;
}

#[tokio::test]
async fn closed_servers_leave_nothing_behind() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (client, session) = test.open(entry_point).await;
        let watched = Arc::downgrade(&session);
        drop(session);
        test.server.close();
        assert_eq!(test.heard.reason().await, "server shutting down");
        let layer = Arc::downgrade(test.server.layer());
        drop(test);
        // Not even the client reads its end; but a host that carries its messages has a handle.
        let client = Some(client).filter(|_| entry_point != EntryPoint::Messages);
        eventually(|| watched.upgrade().is_none()).await;
        drop(client);
        eventually(|| layer.upgrade().is_none()).await;
    }
}
