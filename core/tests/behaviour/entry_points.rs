//! The same scenarios by every entry point: a behaviour that depends on it is a bug.

use bytes::Bytes;
use ferrio::{AckRequest, AckStatus, Config, Flags, Outgoing, Payload, Selection, Writes};
use http::Method;

use crate::support::{
    SOON,
    client::{EntryPoint, Message},
    http::{UPGRADE, head},
    start, start_default,
};

const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":0}"#;

fn binary_event() -> Payload {
    Payload::new(format!(r#"["picture",{PLACEHOLDER}]"#), vec![Bytes::from_static(&[0, 1, 254, 255])])
}

#[tokio::test]
async fn a_client_connects_with_auth() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let mut client = test.open(entry_point).await;
        client.send(r#"40{"token":"secret"}"#).await;
        let (socket, auth, connect_request) = test.host.connect().await;
        assert_eq!(auth.text(), r#"{"token":"secret"}"#, "{entry_point:?}");
        assert!(!socket.is_connected(), "{entry_point:?}");
        assert_eq!(test.main().n_sockets(), 0, "{entry_point:?}: not reachable before it is let in");
        connect_request.accept(&mut Writes::new()).unwrap();
        assert_eq!(client.text().await, format!(r#"40{{"sid":"{}"}}"#, socket.id()), "{entry_point:?}");
        assert_ne!(&**socket.id(), client.session_id(), "{entry_point:?}: the session's id stays secret");
        assert_eq!(
            socket.transport().as_str(),
            if entry_point.is_polling() { "polling" } else { "websocket" }
        );
        assert_eq!(test.server.engine().n_sessions(), 1, "{entry_point:?}");
    }
}

/// A client that begins to listen for events when it has seen CONNECT must not get both at once.
#[tokio::test]
async fn connect_leaves_alone() {
    let mut test = start_default().await;
    let request = head(&Method::GET, "EIO=4&transport=websocket", &UPGRADE);
    let client = test.server.engine().serve_messages(request).await.unwrap();
    client.next().await;
    client.receive_text("40").await;
    let (socket, _, connect_request) = test.host.connect().await;
    socket.emit(&Payload::event("early", ["1"]), Flags::default(), &mut Writes::new());
    connect_request.accept(&mut Writes::new()).unwrap();
    let connect = Outgoing::Text(format!(r#"40{{"sid":"{}"}}"#, socket.id()).into());
    assert_eq!(client.next().await, Some(vec![connect]));
    assert_eq!(client.next().await, Some(vec![Outgoing::Text(r#"42["early",1]"#.into())]));
}

#[tokio::test]
async fn a_pause_after_connect_keeps_back_what_follows_and_loses_nothing() {
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::Messages, EntryPoint::Upgraded] {
        let mut test = start(Config { connect_pause: SOON, ..Config::default() }).await;
        let (mut client, socket) = test.join(entry_point).await;
        for number in ["1", "2"] {
            socket.emit(&Payload::event("n", [number]), Flags::default(), &mut Writes::new());
        }
        assert_eq!(client.text().await, r#"42["n",1]"#, "{entry_point:?}");
        assert_eq!(client.text().await, r#"42["n",2]"#, "{entry_point:?}");

        // The end of the connection ends the pause, too.
        let (mut client, socket) = test.join(entry_point).await;
        socket.emit(&Payload::event("last", []), Flags::default(), &mut Writes::new());
        drop(socket.disconnect(true, &mut Writes::new()));
        assert_eq!(client.text().await, r#"42["last"]"#, "{entry_point:?}");
        assert_eq!(client.text().await, "41", "{entry_point:?}");
        assert!(matches!(client.receive().await, Message::Closed(_)), "{entry_point:?}");
    }
}

#[tokio::test]
async fn a_client_is_refused_with_data() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let mut client = test.open(entry_point).await;
        client.send("40").await;
        let (_, auth, connect_request) = test.host.connect().await;
        assert!(auth.is_empty(), "{entry_point:?}");
        connect_request.refuse("not you", Some(r#"{"retry":false}"#), &mut Writes::new());
        assert_eq!(
            client.text().await,
            r#"44{"message":"not you","data":{"retry":false}}"#,
            "{entry_point:?}"
        );
        assert!(test.server.namespaces().iter().all(|namespace| namespace.n_sockets() == 0));
    }
}

#[tokio::test]
async fn events_and_acks_go_both_ways() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (mut client, socket) = test.join(entry_point).await;
        client.send(r#"427["question",{"a":[1,null,"é🦀\u0000"]}]"#).await;
        let (from, payload, ack) = test.host.event().await;
        assert_eq!(from.key(), socket.key(), "{entry_point:?}");
        assert_eq!(payload.text(), r#"["question",{"a":[1,null,"é🦀\u0000"]}]"#, "{entry_point:?}");
        ack.expect("an ack is wanted").send(&Payload::new("[1,\"é\"]", Vec::new()), &mut Writes::new());
        assert_eq!(client.text().await, "437[1,\"é\"]", "{entry_point:?}");

        let ack = AckRequest { token: 5, timeout: None };
        socket.emit_with_ack(&Payload::event("ask", ["2"]), Flags::default(), ack, &mut Writes::new());
        assert_eq!(client.text().await, r#"420["ask",2]"#, "{entry_point:?}");
        client.send(r#"430["answer"]"#).await;
        let (token, outcome) = test.host.ack().await;
        assert_eq!((token, outcome.status), (5, AckStatus::Complete), "{entry_point:?}");
        assert_eq!(outcome.answers, [Payload::new(r#"["answer"]"#, Vec::new())], "{entry_point:?}");

        let everybody = Selection::all();
        test.main().emit(&everybody, &Payload::event("news", []), Flags::default(), &mut Writes::new());
        assert_eq!(client.text().await, r#"42["news"]"#, "{entry_point:?}");
    }
}

#[tokio::test]
async fn binary_goes_both_ways() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (mut client, socket) = test.join(entry_point).await;
        client.send(&format!(r#"451-3["picture",{PLACEHOLDER}]"#)).await;
        client.send_binary(&[0, 1, 254, 255]).await;
        let (_, payload, ack) = test.host.event().await;
        assert_eq!(payload, binary_event(), "{entry_point:?}");

        let answer = Payload::new(format!("[{PLACEHOLDER}]"), vec![Bytes::new()]);
        ack.expect("an ack is wanted").send(&answer, &mut Writes::new());
        assert_eq!(client.text().await, format!("461-3[{PLACEHOLDER}]"), "{entry_point:?}");
        assert_eq!(client.binary().await, b"", "{entry_point:?}");

        socket.emit(&binary_event(), Flags::default(), &mut Writes::new());
        assert_eq!(client.text().await, format!(r#"451-["picture",{PLACEHOLDER}]"#), "{entry_point:?}");
        assert_eq!(client.binary().await, [0, 1, 254, 255], "{entry_point:?}");
    }
}

#[tokio::test]
async fn a_client_sends_close() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (client, socket) = test.join(entry_point).await;
        client.close().await;
        let disconnected = test.host.disconnected().await;
        assert_eq!(disconnected.socket().key(), socket.key(), "{entry_point:?}");
        assert_eq!(disconnected.reason().as_str(), "transport close", "{entry_point:?}");
        assert!(!socket.is_connected(), "{entry_point:?}");
        assert_eq!(
            socket.rooms(),
            [socket.id().clone().into()],
            "{entry_point:?}: rooms stay for `disconnecting`"
        );
        disconnected.finish();
        assert!(socket.rooms().is_empty(), "{entry_point:?}");
        assert_eq!(test.main().n_sockets(), 0, "{entry_point:?}");
        test.emptied().await;
        assert!(test.server.socket(socket.key()).is_none(), "{entry_point:?}");
    }
}

#[tokio::test]
async fn a_client_leaves_its_namespace_and_comes_back() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (mut client, socket) = test.join(entry_point).await;
        client.send("41").await;
        assert_eq!(test.host.reason().await, "client namespace disconnect", "{entry_point:?}");
        let again = test.join_with(&mut client, "40").await;
        assert_ne!(again.id(), socket.id(), "{entry_point:?}");
        assert_eq!(test.server.engine().n_sessions(), 1, "{entry_point:?}");
    }
}

#[tokio::test]
async fn the_server_puts_a_client_out_of_a_namespace() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (mut client, socket) = test.join(entry_point).await;
        let disconnected_sockets = socket.disconnect(false, &mut Writes::new());
        assert_eq!(disconnected_sockets.len(), 1, "{entry_point:?}");
        assert_eq!(
            disconnected_sockets[0].reason().as_str(),
            "server namespace disconnect",
            "{entry_point:?}"
        );
        drop(disconnected_sockets);
        assert_eq!(client.text().await, "41", "{entry_point:?}");
        test.join_with(&mut client, "40").await;
        test.host.assert_silent();
    }
}

#[tokio::test]
async fn the_server_closes_a_connection() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        test.server.namespace("/other");
        let (mut client, socket) = test.join(entry_point).await;
        let other = test.join_with(&mut client, "40/other,").await;
        socket.emit(&Payload::event("last", []), Flags::default(), &mut Writes::new());
        let disconnected_sockets = socket.disconnect(true, &mut Writes::new());
        let keys: Vec<_> =
            disconnected_sockets.iter().map(|disconnected| disconnected.socket().key()).collect();
        assert_eq!(keys, [socket.key(), other.key()], "{entry_point:?}");
        drop(disconnected_sockets);
        let received = client.closed().await;
        let texts: Vec<_> = received
            .iter()
            .filter_map(|message| match message {
                Message::Text(text) if text != "6" => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(texts, [r#"42["last"]"#, "41", "41/other,"], "{entry_point:?}");
        assert!(matches!(received.last(), Some(Message::Closed(_))), "{entry_point:?}: {received:?}");
        test.emptied().await;
        test.host.assert_silent();
    }
}
