//! The same scenarios by every entry point: a behaviour that depends on it is a bug.

use std::{sync::Arc, time::Duration};

use ferrio_engine::{CloseReason, Config, Data, SendOptions};

use crate::support::{
    Client,
    client::{Carrier, EntryPoint, Message},
    eventually,
    recorder::{Content, Manner},
    send, start, start_default, start_with,
};

#[tokio::test]
async fn the_open_packet_announces_the_servers_options() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (client, _) = test.open(entry_point).await;
        let upgrades = if entry_point.is_polling() || entry_point == EntryPoint::Upgraded {
            r#"["websocket"]"#
        } else {
            "[]"
        };
        let sid = client.session_id();
        assert_eq!(
            client.open,
            format!(
                r#"0{{"sid":"{sid}","upgrades":{upgrades},"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#
            ),
            "{entry_point:?}"
        );
        assert_eq!(sid.len(), 20, "120 bits that nobody can guess");
    }
}

#[tokio::test]
async fn a_grace_period_is_announced_with_the_interval() {
    let seconds = Duration::from_secs;
    let config = Config {
        ping_interval: seconds(7),
        ping_timeout: seconds(23),
        ping_grace: seconds(3),
        ..Config::default()
    };
    let mut test = start(config).await;
    let (client, _) = test.open(EntryPoint::Handle).await;
    assert!(client.open.contains(r#""pingInterval":10000,"pingTimeout":20000"#), "{}", client.open);
}

#[tokio::test]
async fn a_session_knows_its_request_and_its_transport() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (_client, session) = test.open(entry_point).await;
        let head = &session.handshake().head;
        assert_eq!(head.query("EIO").as_deref(), Some("4"), "{entry_point:?}");
        assert!(!head.secure, "{entry_point:?}");
        let began_with = if entry_point.is_polling() || entry_point == EntryPoint::Upgraded {
            "polling"
        } else {
            "websocket"
        };
        assert_eq!(head.query("transport").as_deref(), Some(began_with), "{entry_point:?}");
        let transport = if entry_point.is_polling() { "polling" } else { "websocket" };
        eventually(|| session.transport().as_str() == transport).await;
        assert_eq!(test.server.n_sessions(), 1, "{entry_point:?}");
        assert!(Arc::ptr_eq(&test.server.session(session.id()).unwrap(), &session), "{entry_point:?}");
    }
}

#[tokio::test]
async fn text_goes_both_ways() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (mut client, session) = test.open(entry_point).await;
        for text in ["hello", "", "\u{0}é\u{1f980}"] {
            client.send(&format!("4{text}")).await;
            let (from, content) = test.heard.message().await;
            assert!(Arc::ptr_eq(&from, &session), "{entry_point:?}");
            assert_eq!(content, Content::Text(text.to_owned()), "{entry_point:?}");
            send(&session, text);
            assert_eq!(client.text().await, format!("4{text}"), "{entry_point:?}");
        }
    }
}

#[tokio::test]
async fn binary_goes_both_ways() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (mut client, session) = test.open(entry_point).await;
        for data in [&[0, 1, 254, 255][..], &[]] {
            client.send_binary(data).await;
            assert_eq!(test.heard.binary().await, data, "{entry_point:?}");
            session.send(&Data::Binary(data.into()), SendOptions::default());
            assert_eq!(client.binary().await, data, "{entry_point:?}");
        }
    }
}

#[tokio::test]
async fn long_messages_arrive_whole() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (mut client, session) = test.open(entry_point).await;
        for len in [125, 126, 65_535, 65_536, 300_000] {
            let text = "x".repeat(len - 1);
            client.send(&format!("4{text}")).await;
            assert_eq!(test.heard.text().await, text, "{entry_point:?}");
            send(&session, &text);
            assert_eq!(client.text().await, format!("4{text}"), "{entry_point:?}");
        }
    }
}

#[tokio::test]
async fn a_layer_answers_from_within_its_message() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_with(Config::default(), Manner { echoes: true, ..Manner::default() }).await;
        let (mut client, _) = test.open(entry_point).await;
        for number in 0..20 {
            client.send(&format!("4{number}")).await;
            assert_eq!(client.text().await, format!("4{number}"), "{entry_point:?}");
        }
    }
}

#[tokio::test]
async fn a_client_sends_close() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (client, session) = test.open(entry_point).await;
        client.close().await;
        let (closed, reason) = test.heard.closed().await;
        assert!(Arc::ptr_eq(&closed, &session), "{entry_point:?}");
        assert_eq!(reason, CloseReason::TransportClose, "{entry_point:?}");
        assert!(!session.is_open(), "{entry_point:?}");
        test.emptied().await;
        assert!(test.server.session(session.id()).is_none(), "{entry_point:?}");
        test.heard.assert_silent();
    }
}

#[tokio::test]
async fn the_server_closes_a_session() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (mut client, session) = test.open(entry_point).await;
        send(&session, "last");
        session.close(CloseReason::ForcedClose);
        assert_eq!(test.heard.reason().await, "forced close", "{entry_point:?}");
        send(&session, "too late");
        let received = client.closed().await;
        let texts: Vec<_> = received
            .iter()
            .filter_map(|message| match message {
                Message::Text(text) if text != "6" => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(texts, ["4last"], "{entry_point:?}");
        assert!(matches!(received.last(), Some(Message::Closed(_))), "{entry_point:?}: {received:?}");
        test.emptied().await;
        test.heard.assert_silent();
    }
}

#[tokio::test]
async fn a_client_that_vanishes_is_missed() {
    for entry_point in EntryPoint::ALL {
        let mut test = start(Config {
            ping_interval: Duration::from_secs(3),
            ping_timeout: Duration::from_secs(1),
            ..Config::default()
        })
        .await;
        let (client, _) = test.open(entry_point).await;
        vanish(client).await;
        let expected: &[&str] = match entry_point {
            EntryPoint::Handle => &["transport error"],
            // The connection may end before anybody has looked at its request; then the ping is missed.
            EntryPoint::Port => &["transport error", "ping timeout"],
            _ => &["transport close"],
        };
        let reason = test.heard.reason().await;
        assert!(expected.contains(&reason), "{entry_point:?}: {reason}");
        test.emptied().await;
    }
}

/// Goes without a word, in the middle of a poll if it polls.
async fn vanish(client: Client) {
    if let Carrier::Polling(polling) = &client.carrier {
        polling.http.abandon(&polling.query).await;
    }
}
