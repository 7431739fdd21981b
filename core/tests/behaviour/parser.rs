//! A parser of the application's own: the host decodes messages and encodes packets.

use std::{sync::Arc, time::Instant};

use ferrio::{
    AckRequest, AckStatus, Config, Connection, Flags, HostEvent, Message, Parser, Payload, Selection,
    SessionEvent, SocketIo, SocketPacketType as PacketType, Writes,
};
use ferrio_engine::{CloseReason, Data, Layer as _, SendOptions};

use crate::support::{
    TestServer,
    client::{self, EntryPoint},
    start,
};

/// A packet in a form of its own: `kind namespace id payload`.
fn read(test: &TestServer, connection: &Arc<Connection>, text: &str) {
    let mut fields = text.splitn(4, ' ');
    let mut next = || fields.next().unwrap();
    let kind = match next() {
        "connect" => PacketType::Connect,
        "event" => PacketType::Event,
        "ack" => PacketType::Ack,
        "disconnect" => PacketType::Disconnect,
        other => panic!("{other}"),
    };
    let (namespace, id) = (next(), next().parse().ok());
    test.server.receive(connection, kind, namespace, id, Payload::new(next(), Vec::new()));
}

async fn message(test: &mut TestServer) -> (Arc<Connection>, String) {
    match test.host.next().await {
        HostEvent::Session { connection, event: SessionEvent::Message(Message::Text(text), _) } => {
            (connection, text.to_string())
        }
        other => panic!("a message was due, not {other:?}"),
    }
}

async fn receive(test: &mut TestServer) -> Arc<Connection> {
    let (connection, text) = message(test).await;
    read(test, &connection, &text);
    connection
}

/// Takes the end of a connection, and has its sockets leave.
async fn end(test: &mut TestServer) {
    match test.host.next().await {
        HostEvent::Session { connection, event: SessionEvent::Ending(reason) } => {
            test.server.end(&connection, reason);
        }
        other => panic!("an end was due, not {other:?}"),
    }
}

/// Takes the last that is told of a connection.
async fn ended(test: &mut TestServer) {
    let event = test.host.next().await;
    let is_last = matches!(event, HostEvent::Session { event: SessionEvent::Ended, .. });
    assert!(is_last, "the last was due, not {event:?}");
}

fn encoded(messages: &[&str]) -> Payload {
    Payload::encoded(messages.iter().map(|text| Message::Text(Arc::from(*text))))
}

#[tokio::test]
async fn the_host_reads_and_writes_every_packet() {
    for entry_point in EntryPoint::ALL {
        let mut test = start(Config { parser: Parser::Application, ..Config::default() }).await;
        let mut client = test.open(entry_point).await;
        client.send("4connect / - {}").await;
        let connection = receive(&mut test).await;
        let (socket, auth, connect_request) = test.host.connect().await;
        assert_eq!(auth.text(), "{}");
        connection.send(&Data::Text("welcome"), SendOptions::default());
        connect_request.accept(&mut Writes::new()).unwrap();
        assert_eq!(client.text().await, "4welcome", "{entry_point:?}");

        client.send("4event / 3 [1]").await;
        receive(&mut test).await;
        let (_, payload, ack) = test.host.event().await;
        assert_eq!(payload.text(), "[1]");
        ack.unwrap().send(&encoded(&["answer 3"]), &mut Writes::new());
        assert_eq!(client.text().await, "4answer 3");

        test.server.namespace("/").emit(
            &Selection::all(),
            &encoded(&["first", "second"]),
            Flags::default(),
            &mut Writes::new(),
        );
        assert_eq!([client.text().await, client.text().await], ["4first", "4second"]);

        let ack = AckRequest { token: 77, timeout: None };
        socket.emit_with_ack(&encoded(&["asked 77"]), Flags::default(), ack, &mut Writes::new());
        assert_eq!(client.text().await, "4asked 77");
        client.send("4ack / 77 [\"yes\"]").await;
        receive(&mut test).await;
        let (token, outcome) = test.host.ack().await;
        assert_eq!((token, outcome.status), (77, AckStatus::Complete));

        client.send("4disconnect / - ").await;
        receive(&mut test).await;
        assert_eq!(test.host.reason().await, "client namespace disconnect");
        client.close().await;
        end(&mut test).await;
        ended(&mut test).await;
        test.emptied().await;
    }
}

#[tokio::test]
async fn what_a_client_sends_before_it_leaves_is_heard() {
    for entry_point in EntryPoint::ALL {
        let mut test = start(Config { parser: Parser::Application, ..Config::default() }).await;
        let mut client = test.open(entry_point).await;
        client.send("4connect / - {}").await;
        receive(&mut test).await;
        test.host.accept().await;
        client.send("4event / - [1]").await;
        client.send("4disconnect / - ").await;
        client.close().await;
        // The host is late.
        test.emptied().await;
        receive(&mut test).await;
        receive(&mut test).await;
        end(&mut test).await;
        let (_, payload, _) = test.host.event().await;
        assert_eq!(payload.text(), "[1]", "{entry_point:?}");
        assert_eq!(test.host.reason().await, "client namespace disconnect");
        ended(&mut test).await;
        test.host.assert_silent();
    }
}

#[tokio::test]
async fn sockets_leave_when_the_host_has_heard_of_the_end() {
    let mut test = start(Config { parser: Parser::Application, ..Config::default() }).await;
    let mut client = test.open(EntryPoint::Channel).await;
    client.send("4connect / - {}").await;
    receive(&mut test).await;
    test.host.accept().await;
    client.close().await;
    end(&mut test).await;
    assert_eq!(test.host.reason().await, "transport close");
    ended(&mut test).await;
    test.host.assert_silent();
}

#[tokio::test]
async fn the_host_is_told_whom_the_core_refuses() {
    let mut test = start(Config { parser: Parser::Application, ..Config::default() }).await;
    let mut client = test.open(EntryPoint::Channel).await;
    client.send("4connect /unknown - {}").await;
    receive(&mut test).await;
    match test.host.next().await {
        HostEvent::Session { event: SessionEvent::Refused(namespace, data), .. } => {
            assert_eq!((&*namespace, &*data), ("/unknown", r#"{"message":"Invalid namespace"}"#));
        }
        other => panic!("a refusal was due, not {other:?}"),
    }
}

#[tokio::test]
async fn a_packet_out_of_place_ends_its_connection() {
    let mut test = start(Config { parser: Parser::Application, ..Config::default() }).await;
    let mut client = test.open(EntryPoint::Channel).await;
    client.send("4event / - [1]").await;
    receive(&mut test).await;
    assert!(matches!(client.receive().await, client::Message::Closed(_)));
    test.emptied().await;
    end(&mut test).await;
    ended(&mut test).await;
    test.host.assert_silent();
}

#[tokio::test]
async fn no_message_comes_behind_the_end() {
    for parser in [Parser::Application, Parser::None] {
        let mut test = start(Config { parser, ..Config::default() }).await;
        test.server.engine().watch_new_sessions(ferrio::Watch::MESSAGE | ferrio::Watch::CLOSE);
        let mut client = test.open(EntryPoint::Channel).await;
        client.send("4first").await;
        let opened = test.host.next().await;
        assert!(matches!(opened, HostEvent::Session { event: SessionEvent::Opened, .. }), "{opened:?}");
        let (connection, _) = message(&mut test).await;
        connection.close(CloseReason::ForcedClose);
        // As on a thread that took it just before the session was closed on another.
        SocketIo::message(&connection, Data::Text("late"), Instant::now());
        if parser == Parser::Application {
            end(&mut test).await;
            SocketIo::message(&connection, Data::Text("later"), Instant::now());
        }
        let closed = test.host.next().await;
        assert!(matches!(closed, HostEvent::Session { event: SessionEvent::Closed(_), .. }), "{closed:?}");
        if parser == Parser::Application {
            ended(&mut test).await;
        }
        test.host.assert_silent();
    }
}
