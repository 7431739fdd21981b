//! Every reason a disconnect can have, in socket.io's words.

use ferrio::{Config, Watch, Writes};

use crate::support::{Client, client::EntryPoint, http::Http, start, start_default};

/// What a client does, sent as one packet, and the reason its socket leaves by.
const BY_PACKET: [(&str, &str); 9] = [
    ("41", "client namespace disconnect"),
    ("1", "transport close"),
    ("7", "parse error"),
    ("49", "forced close"),
    (r#"42{"no":"array"}"#, "forced close"),
    (r#"42["unclosed""#, "forced close"),
    ("40", "forced server close"),
    (r#"42/unknown,["early"]"#, "forced server close"),
    ("2", "transport error"),
];

#[tokio::test]
async fn a_packet_that_ends_a_socket_says_why() {
    for entry_point in EntryPoint::ALL {
        for (packet, reason) in BY_PACKET {
            let mut test = start_default().await;
            let (mut client, socket) = test.join(entry_point).await;
            if !entry_point.is_polling() || packet != "7" {
                client.send(packet).await;
            } else {
                // What cannot be decoded is answered with an error.
                client.polling().http.post(&client.polling().query, packet.as_bytes()).await;
            }
            let disconnected = test.host.disconnected().await;
            assert_eq!(disconnected.reason().as_str(), reason, "{packet} by {entry_point:?}");
            assert_eq!(disconnected.socket().key(), socket.key());
            drop(disconnected);
            test.host.assert_silent();
        }
    }
}

/// What a client sends that cannot be, and what is said to have been wrong.
const FAULTS: [(&str, Option<&str>); 8] = [
    ("49", Some("unknown packet type")),
    (r#"42["unclosed""#, Some("invalid payload")),
    (r#"42["disconnect"]"#, Some("invalid payload")),
    (r#"45x-["a"]"#, Some("Illegal attachments")),
    (r#"4599-["a"]"#, Some("too many attachments")),
    ("2", Some("invalid heartbeat direction")),
    ("40", None),
    ("41", None),
];

#[tokio::test]
async fn what_was_wrong_with_a_client_is_known() {
    for entry_point in EntryPoint::ALL {
        for (packet, fault) in FAULTS {
            let mut test = start_default().await;
            let (mut client, socket) = test.join(entry_point).await;
            assert_eq!(socket.fault(), None);
            client.send(packet).await;
            drop(test.host.disconnected().await);
            assert_eq!(socket.fault(), fault, "{packet} by {entry_point:?}");
        }
    }
}

#[tokio::test]
async fn the_server_ends_sockets_in_its_own_ways() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (_client, socket) = test.join(entry_point).await;
        let reasons = |disconnected_sockets: Vec<ferrio::DisconnectedSocket>| -> Vec<_> {
            disconnected_sockets.iter().map(|disconnected| disconnected.reason().as_str()).collect()
        };
        assert_eq!(reasons(socket.disconnect(true, &mut Writes::new())), ["server namespace disconnect"]);
        let (_client, _socket) = test.join(entry_point).await;
        test.server.close();
        assert_eq!(test.host.reason().await, "server shutting down", "{entry_point:?}");
    }
}

#[tokio::test]
async fn every_socket_of_a_connection_hears_its_end() {
    let mut test = start(Config {
        engine: ferrio_engine::Config { allow_eio3: true, ..Config::default().engine },
        ..Config::default()
    })
    .await;
    test.server.namespace("/other");
    let (mut client, socket) = test.join(EntryPoint::Channel).await;
    let other = test.join_with(&mut client, "40/other,").await;
    drop(client);
    for expected in [socket, other] {
        let disconnected = test.host.disconnected().await;
        assert_eq!(disconnected.socket().key(), expected.key());
        assert_eq!(disconnected.reason().as_str(), "transport close");
    }

    let older = Client::poll(Http::memory(&test), "EIO=3&transport=polling").await;
    test.host.accept().await;
    older.polling().http.post(&older.polling().query, b"1:1").await;
    assert_eq!(test.host.reason().await, "transport close");
}

#[tokio::test]
async fn the_end_of_a_connection_is_told_once_where_the_host_watches_it() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (mut client, socket) = test.join(entry_point).await;
        let connection = test.server.engine().session(socket.connection().id()).unwrap();
        assert!(test.server.watch(&connection, Watch::CLOSE));
        // It has nothing to do with the sockets: this one leaves, and the connection stays.
        client.send("41").await;
        drop(test.host.disconnected().await);
        client.close().await;
        let (id, reason) = test.host.connection_end().await;
        assert_eq!((&id, reason), (connection.id(), "transport close"), "{entry_point:?}");
        assert!(!test.server.watch(&connection, Watch::CLOSE));
        test.emptied().await;
        test.host.assert_silent();
    }
}

#[tokio::test]
async fn a_connection_that_the_host_closes_gives_back_its_sockets() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        test.server.namespace("/other");
        let (mut client, socket) = test.join(entry_point).await;
        client.send("40/other,").await;
        let (waiting, _, connect_request) = test.host.connect().await;
        test.server.watch(socket.connection(), Watch::CLOSE);
        let disconnected_sockets = test.server.force_close(socket.connection());
        let reasons: Vec<_> =
            disconnected_sockets.iter().map(|disconnected| disconnected.reason().as_str()).collect();
        assert_eq!(reasons, ["forced close"], "{entry_point:?}");
        assert_eq!(disconnected_sockets[0].socket().key(), socket.key());
        assert_eq!(test.host.connect_aborted().await.key(), waiting.key());
        assert_eq!(test.host.connection_end().await.1, "forced close");
        assert!(connect_request.accept(&mut Writes::new()).is_err());
        assert!(test.server.force_close(socket.connection()).is_empty());
        assert!(!socket.connection().is_open());
        drop(disconnected_sockets);
        test.emptied().await;
        test.host.assert_silent();
    }
}
