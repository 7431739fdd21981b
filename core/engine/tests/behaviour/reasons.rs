//! Every reason the end of a session can have that its client or its transport gives.

use std::sync::Arc;

use ferrio_engine::{CloseReason, Config};

use crate::support::{
    SOON,
    client::{EntryPoint, Message},
    start, start_default,
};

/// What a client sends as one packet, and the reason its session ends by.
const BY_PACKET: [(&str, &str); 3] =
    [("1", "transport close"), ("7", "parse error"), ("2", "transport error")];

#[tokio::test]
async fn a_packet_that_ends_a_session_says_why() {
    for entry_point in EntryPoint::ALL {
        for (packet, expected) in BY_PACKET {
            let mut test = start_default().await;
            let (mut client, session) = test.open(entry_point).await;
            if !entry_point.is_polling() || packet != "7" {
                client.send(packet).await;
            } else {
                // What cannot be decoded is answered with an error.
                client.polling().http.post(&client.polling().query, packet.as_bytes()).await;
            }
            let (closed, reason) = test.heard.closed().await;
            assert_eq!(reason.as_str(), expected, "{packet} by {entry_point:?}");
            assert!(Arc::ptr_eq(&closed, &session));
            test.heard.assert_silent();
        }
    }
}

#[tokio::test]
async fn a_session_knows_whether_its_client_said_that_it_leaves() {
    let mut test = start_default().await;
    for is_told in [true, false] {
        let (mut client, session) = test.open(EntryPoint::Channel).await;
        if is_told {
            client.send("1").await;
        } else {
            client.close().await;
        }
        test.emptied().await;
        assert_eq!(test.heard.reason().await, "transport close");
        assert_eq!(session.was_closed_by_packet(), is_told);
    }
}

#[tokio::test]
async fn the_server_ends_sessions_for_its_own_reasons() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        for reason in [CloseReason::ForcedClose, CloseReason::SlowReader, CloseReason::ServerShutdown] {
            let (_client, session) = test.open(entry_point).await;
            session.close(reason);
            // The second has come too late.
            session.close(CloseReason::ParseError);
            session.discard(CloseReason::ParseError);
            assert_eq!(test.heard.closed().await.1, reason, "{entry_point:?}");
        }
        let (_client, _session) = test.open(entry_point).await;
        test.server.close();
        assert_eq!(test.heard.reason().await, "server shutting down", "{entry_point:?}");
        test.heard.assert_silent();
    }
}

#[tokio::test]
async fn a_silent_client_times_out() {
    for entry_point in EntryPoint::ALL {
        let config = Config { ping_interval: 3 * SOON, ping_timeout: SOON, ..Config::default() };
        let mut test = start(config).await;
        let (client, _) = test.open(entry_point).await;
        assert_eq!(test.heard.reason().await, "ping timeout", "{entry_point:?}");
        drop(client);
        test.emptied().await;
    }
}

#[tokio::test]
async fn a_client_that_answers_its_pings_stays() {
    for entry_point in EntryPoint::ALL {
        let mut test = start(Config { ping_interval: SOON / 2, ..Config::default() }).await;
        let (mut client, _) = test.open(entry_point).await;
        for _ in 0..3 {
            assert_eq!(client.receive().await, Message::Text("2".to_owned()), "{entry_point:?}");
            client.send("3").await;
        }
        client.send("4alive").await;
        assert_eq!(test.heard.text().await, "alive", "{entry_point:?}");
    }
}
