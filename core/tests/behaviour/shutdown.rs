//! The end of a server: at once, or after its clients have left.

use std::{sync::Arc, time::Duration};

use ferrio::{Config, Flags, HostEvent, Payload, Selection, Server, Writes};

use crate::support::{
    SOON,
    client::{EntryPoint, Message},
    eventually,
    http::{Http, assert_refused},
    in_time, start_default,
};

const LONG: Duration = Duration::from_secs(60);

fn notice() -> Payload {
    Payload::event("maintenance", [])
}

#[tokio::test]
async fn a_close_ends_everything_and_says_why() {
    for entry_point in EntryPoint::WITHOUT_PORT {
        let mut test = start_default().await;
        let (mut client, socket) = test.join(entry_point).await;
        client.send(r#"42["before"]"#).await;
        eventually(|| test.server.metrics().socket_io.host_queue_depth == 1).await;
        test.server.close();
        assert_eq!(
            test.host.event().await.1.text(),
            r#"["before"]"#,
            "{entry_point:?}: what was queued still comes"
        );
        let disconnected = test.host.disconnected().await;
        assert_eq!(disconnected.socket().key(), socket.key());
        assert_eq!(disconnected.reason().as_str(), "server shutting down");
        drop(disconnected);
        assert!(test.host.next_or_end().await.is_none(), "{entry_point:?}");
        assert!(matches!(client.closed().await.last(), Some(Message::Closed(_))), "{entry_point:?}");
        assert_eq!(test.server.engine().n_sessions(), 0);
        test.server.close();
    }
}

#[tokio::test]
async fn a_close_while_busy_is_clean() {
    let mut test = start_default().await;
    let mut clients = Vec::new();
    for entry_point in EntryPoint::WITHOUT_PORT {
        clients.push(test.join(entry_point).await.0);
    }
    let main = test.main();
    let emitting = std::thread::spawn(move || {
        let event = Payload::event("busy", ["1"]);
        for _ in 0..2000 {
            main.emit(&Selection::all(), &event, Flags::default(), &mut Writes::new());
        }
    });
    let reading: Vec<_> =
        clients.into_iter().map(|mut client| tokio::spawn(async move { client.closed().await })).collect();
    let pending = test.open(EntryPoint::Channel).await;
    eventually(|| test.server.metrics().engine.packets_out > 100).await;
    test.server.close();
    for reading in reading {
        let received = reading.await.unwrap();
        assert!(matches!(received.last(), Some(Message::Closed(_) | Message::Lost)));
    }
    emitting.join().unwrap();
    let mut n_disconnected_sockets = 0;
    while let Some(event) = test.host.next_or_end().await {
        assert!(matches!(event, HostEvent::Disconnect(_)), "{event:?}");
        n_disconnected_sockets += 1;
    }
    assert_eq!(n_disconnected_sockets, EntryPoint::WITHOUT_PORT.len());
    drop(pending);
}

#[tokio::test]
async fn a_client_that_leaves_while_the_server_closes_is_reported() {
    for _ in 0..50 {
        let mut test = start_default().await;
        let mut clients = Vec::new();
        for _ in 0..8 {
            clients.push(test.join(EntryPoint::Listen).await.0);
        }
        let leaving = tokio::spawn(async move { drop(clients) });
        test.server.close();
        let mut n_disconnected_sockets = 0;
        while let Some(event) = test.host.next_or_end().await {
            assert!(matches!(event, HostEvent::Disconnect(_)), "{event:?}");
            n_disconnected_sockets += 1;
        }
        assert_eq!(n_disconnected_sockets, 8);
        leaving.await.unwrap();
    }
}

#[tokio::test]
async fn a_drain_tells_clients_and_ends_with_the_last_of_them() {
    let mut test = start_default().await;
    let (mut quick, _) = test.join(EntryPoint::Listen).await;
    let (mut slow, _) = test.join(EntryPoint::Handle).await;
    let server = test.server.clone();
    let draining = tokio::spawn(async move { server.drain(Some(&notice()), LONG).await });
    assert_eq!(quick.text().await, r#"42["maintenance"]"#);
    assert_eq!(slow.text().await, r#"42["maintenance"]"#);
    let answer = Http::memory(&test).get("EIO=4&transport=polling").await;
    assert_refused(&answer, 503, r#"{"code":3,"message":"Server is shutting down"}"#);
    quick.close().await;
    drop(test.host.disconnected().await);
    // Those who are still there are served.
    slow.send(r#"42["not yet"]"#).await;
    assert_eq!(test.host.event().await.1.text(), r#"["not yet"]"#);
    assert!(!draining.is_finished());
    slow.close().await;
    assert_eq!(in_time(draining).await.unwrap(), 0);
    assert_eq!(test.host.reason().await, "transport close");
    assert!(test.host.next_or_end().await.is_none());
}

#[tokio::test]
async fn a_drain_ends_by_its_deadline() {
    let mut test = start_default().await;
    let (mut client, _) = test.join(EntryPoint::Channel).await;
    assert_eq!(in_time(test.server.drain(None, SOON)).await, 1);
    assert_eq!(test.host.reason().await, "server shutting down");
    assert!(matches!(client.receive().await, Message::Closed(_)));
}

#[tokio::test]
async fn a_drain_of_an_empty_server_ends_at_once() {
    let test = start_default().await;
    assert_eq!(in_time(test.server.drain(Some(&notice()), LONG)).await, 0);
}

#[tokio::test]
async fn a_pending_client_is_refused_by_a_close() {
    let mut test = start_default().await;
    let mut client = test.open(EntryPoint::Channel).await;
    client.send("40").await;
    let (socket, _, connect_request) = test.host.connect().await;
    test.server.close();
    assert_eq!(test.host.connect_aborted().await.key(), socket.key());
    assert!(connect_request.accept(&mut Writes::new()).is_err());
    assert!(!socket.is_connected());
    assert!(test.host.next_or_end().await.is_none());
}

#[tokio::test]
async fn closed_servers_leave_nothing_behind() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (client, socket) = test.join(entry_point).await;
        let watched = Arc::downgrade(&socket);
        drop(socket);
        test.server.close();
        while test.host.next_or_end().await.is_some() {}
        // Not even the client reads its end.
        drop(test);
        eventually(|| watched.upgrade().is_none()).await;
        drop(client);
    }
}

#[tokio::test]
async fn a_namespace_that_is_asked_for_after_the_close_does_not_keep_the_server() {
    let (server, events) = Server::new(Config::default(), || {}).unwrap();
    server.close();
    let namespace = server.namespace("/late");
    assert_eq!(namespace.n_sockets(), 0);
    let watched = Arc::downgrade(&namespace);
    drop((namespace, server, events));
    assert!(watched.upgrade().is_none());
}
