//! Peers that mean harm: each loses its own connection and nothing else happens.

use ferrio::{Config, SocketIo};
use ferrio_engine::Layer as _;

use crate::support::{
    client::{EntryPoint, Message, websocket},
    start, start_default,
    websocket::BINARY,
};

#[tokio::test]
async fn packets_that_nobody_sends_in_good_faith_end_their_own_connection() {
    let deep = format!("42[{}{}]", "[".repeat(100_000), "]".repeat(100_000));
    let unclosed = format!("42{}", "[".repeat(400_000));
    let packets = [
        r#"459999999999-["a"]"#,
        r#"4510000000000-["a",{"_placeholder":true,"num":0}]"#,
        r#"451-["a",{"_placeholder":true,"num":9}]"#,
        r#"451-["a",{"_placeholder":true,"num":-1}]"#,
        r#"451-["a",{"_placeholder":true,"num":"0"}]"#,
        r#"45-["a"]"#,
        r#"42["error"#,
        r#"42["connect"]"#,
        r#"42["connect_error"]"#,
        r#"42["disconnect"]"#,
        r#"42["disconnecting"]"#,
        r#"42["newListener"]"#,
        r#"42["removeListener"]"#,
        r#"42[{"toString":1}]"#,
        r"42[null]",
        r"42[]",
        r"42",
        r#"42"text""#,
        r"42[1,]",
        r#"42["a"] x"#,
        r#"4299999999999999999999["a"]"#,
        r"43{}",
        r#"44{"message":"from a client"}"#,
        r"40[]",
        r#"40,{"a":"#,
        "4",
        "4x",
        "\u{1f980}",
        "",
        deep.as_str(),
        unclosed.as_str(),
    ];
    let mut test = start_default().await;
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::Messages] {
        for packet in packets {
            let (mut client, socket) = test.join(entry_point).await;
            client.send(packet).await;
            let disconnected = test.host.disconnected().await;
            let start: String = packet.chars().take(60).collect();
            assert_eq!(disconnected.socket().key(), socket.key(), "{start} by {entry_point:?}");
            drop(disconnected);
            assert!(matches!(client.closed().await.last(), Some(Message::Closed(_))), "{start}");
        }
    }
    test.assert_alive().await;
    test.emptied().await;
    assert_eq!(test.server.metrics().socket_io.host_queue_depth, 0);
}

#[tokio::test]
async fn names_that_are_dangerous_in_some_language_are_just_names() {
    let mut test = start_default().await;
    let (mut client, socket) = test.join(EntryPoint::Listen).await;
    for event in [
        r#"["__proto__",{"__proto__":{"polluted":true}}]"#,
        r#"["constructor",{"constructor":{"prototype":{"a":1}}}]"#,
        r#"["hasOwnProperty"]"#,
        r#"["",{"":""}]"#,
        r#"["\u0000\ud83e\udd80"]"#,
        r"[7]",
    ] {
        client.send(&format!("42{event}")).await;
        assert_eq!(test.host.event().await.1.text(), event);
    }
    socket.join(["__proto__"]);
    assert_eq!(test.main().members("__proto__").len(), 1);
    client.send("40/__proto__,").await;
    assert_eq!(client.text().await, r#"44/__proto__,{"message":"Invalid namespace"}"#);
}

#[tokio::test]
async fn attachments_out_of_place_end_the_connection() {
    for has_namespace in [true, false] {
        let mut test = start_default().await;
        let (client, _) = test.join(EntryPoint::Channel).await;
        let mut websocket = client.into_websocket();
        if has_namespace {
            websocket.writer.frame(BINARY, b"unexpected").await;
            assert_eq!(test.host.reason().await, "forced close");
        } else {
            // Announced for a namespace it is not in: nothing may be kept for it.
            let head = r#"451-/unknown,["a",{"_placeholder":true,"num":0}]"#;
            websocket.writer.text(head).await;
            assert_eq!(test.host.reason().await, "forced server close");
        }
        assert!(matches!(websocket.reader.receive().await, Message::Closed(_)));
    }
    let mut test = start_default().await;
    let (mut client, _) = test.join(EntryPoint::Channel).await;
    client.send(r#"451-["a",{"_placeholder":true,"num":0}]"#).await;
    client.send(r#"42["instead"]"#).await;
    assert_eq!(test.host.reason().await, "forced close");
}

#[tokio::test]
async fn an_older_client_that_asks_before_it_is_told_of_is_in_its_namespace_once() {
    let mut config = Config::default();
    config.engine.allow_eio3 = true;
    let mut test = start(config).await;
    let client = websocket(&test, EntryPoint::Channel, "EIO=3&transport=websocket").await.unwrap();
    let socket = test.host.accept().await;
    // As on another thread, while a message for an id that the host has chosen came first.
    SocketIo::opened(socket.connection());
    drop(client);
    test.host.disconnected().await;
    test.host.assert_silent();
}
