//! The order of things: a socket's events, its acks, its disconnect, and broadcasts of many threads.

use std::thread;

use ferrio::{AckRequest, Flags, HostEvent, Payload, Selection, Writes};

use crate::support::{
    client::{Carrier, EntryPoint, Message},
    start_default,
};

const N_EVENTS: usize = 1000;

#[tokio::test]
async fn events_and_replies_keep_their_order() {
    for entry_point in EntryPoint::ALL {
        let mut test = start_default().await;
        let (mut client, _) = test.join(entry_point).await;
        // Each request over TCP has a connection of its own.
        let n_batches = if entry_point == EntryPoint::Port { 3 } else { N_EVENTS / 20 };
        for batch in 0..n_batches {
            let numbers = batch * 20..(batch + 1) * 20;
            for number in numbers.clone() {
                client.send(&format!(r#"42{number}["n",{number}]"#)).await;
            }
            let mut writes = Writes::new();
            for number in numbers.clone() {
                let (_, payload, ack) = test.host.event().await;
                assert_eq!(payload.text(), format!(r#"["n",{number}]"#), "{entry_point:?}");
                ack.unwrap().send(&Payload::new("[]", Vec::new()), &mut writes);
            }
            writes.finish();
            for number in numbers {
                assert_eq!(client.text().await, format!("43{number}[]"), "{entry_point:?}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_comes_after_a_disconnect() {
    for entry_point in EntryPoint::ALL {
        for ending in ["41", "1", "42broken", "7"] {
            let mut test = start_default().await;
            let (mut client, socket) = test.join(entry_point).await;
            let packets = [r#"42["before"]"#, ending, r#"42["after"]"#];
            match &mut client.carrier {
                Carrier::Polling(polling) => {
                    polling.http.post(&polling.query, packets.join("\x1e").as_bytes()).await;
                }
                Carrier::WebSocket(websocket) => {
                    let frames =
                        packets.map(|packet| crate::support::websocket::frame(0x81, packet.as_bytes()));
                    websocket.writer.raw(&frames.concat()).await;
                }
                Carrier::Messages { socket, .. } => {
                    for packet in packets {
                        socket.receive_text(packet).await;
                    }
                }
            }
            assert_eq!(test.host.event().await.1.text(), r#"["before"]"#, "{entry_point:?}");
            let disconnected = test.host.disconnected().await;
            assert_eq!(disconnected.socket().key(), socket.key(), "{ending} by {entry_point:?}");
            drop(disconnected);
            test.emptied().await;
            test.host.assert_silent();
        }
    }
}

#[tokio::test]
async fn nothing_is_heard_from_a_socket_that_the_server_has_put_out() {
    let mut test = start_default().await;
    let (mut client, socket) = test.join(EntryPoint::Channel).await;
    let (mut other, _) = test.join(EntryPoint::Channel).await;
    drop(socket.disconnect(false, &mut Writes::new()));
    // It was on its way already; socket.io closes the connection for it.
    client.send(r#"42["crossing"]"#).await;
    client.closed().await;
    other.send(r#"42["other"]"#).await;
    assert_eq!(test.host.event().await.1.text(), r#"["other"]"#);
}

#[tokio::test]
async fn all_receivers_see_the_broadcasts_of_many_threads_in_one_order() {
    const N_THREADS: usize = 4;
    let mut test = start_default().await;
    let mut clients = Vec::new();
    for entry_point in [
        EntryPoint::Channel,
        EntryPoint::Listen,
        EntryPoint::TakeOver,
        EntryPoint::Handle,
        EntryPoint::Messages,
        EntryPoint::Upgraded,
    ] {
        clients.push(test.join(entry_point).await.0);
    }
    let threads: Vec<_> = (0..N_THREADS)
        .map(|thread| {
            let main = test.main();
            thread::spawn(move || {
                for number in 0..N_EVENTS / 4 {
                    let event =
                        Payload::event("n", [thread.to_string().as_str(), number.to_string().as_str()]);
                    let mut writes = Writes::new();
                    main.emit(&Selection::all(), &event, Flags::default(), &mut writes);
                    if number % 3 == 0 {
                        let ack = AckRequest { token: 1, timeout: None };
                        main.emit_with_ack(&Selection::all(), &event, Flags::default(), ack, &mut writes);
                    }
                }
            })
        })
        .collect();
    let n_messages = N_THREADS * (N_EVENTS / 4 + (N_EVENTS / 4).div_ceil(3));
    let reading: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                let mut received = Vec::new();
                while received.len() < n_messages {
                    received.push(client.text().await);
                }
                (received, client)
            })
        })
        .collect();
    let mut orders = Vec::new();
    let mut clients = Vec::new();
    for reading in reading {
        let (order, client) = reading.await.unwrap();
        orders.push(order);
        clients.push(client);
    }
    for thread in threads {
        thread.join().unwrap();
    }
    for order in &orders {
        assert!(order == &orders[0], "all see one order");
    }
    for thread in 0..N_THREADS {
        let start = format!(r#"42["n",{thread},"#);
        let own: Vec<_> = orders[0].iter().filter_map(|packet| packet.strip_prefix(start.as_str())).collect();
        let expected: Vec<_> = (0..N_EVENTS / 4).map(|number| format!("{number}]")).collect();
        assert_eq!(own, expected, "each thread's own order");
    }
}

#[tokio::test]
async fn a_connect_comes_before_the_events_that_follow_it() {
    let mut test = start_default().await;
    let client = test.open(EntryPoint::Listen).await;
    let mut websocket = client.into_websocket();
    // Without waiting for the CONNECT answer, as soon as the host has decided.
    websocket.writer.text("40").await;
    let socket = test.host.accept().await;
    websocket.writer.text(r#"42["first"]"#).await;
    websocket.writer.frame(crate::support::websocket::CLOSE, &[]).await;
    assert_eq!(test.host.event().await.0.key(), socket.key());
    let HostEvent::Disconnect(disconnected) = test.host.next().await else { panic!("it left") };
    assert_eq!(disconnected.socket().key(), socket.key());
    let Message::Text(connect) = websocket.reader.receive().await else { panic!("it was let in") };
    assert!(connect.starts_with("40{"), "{connect}");
}

#[tokio::test]
async fn batches_of_one_turn_are_one_moment_to_volatile_events() {
    let mut test = start_default().await;
    let (mut client, socket) = test.join(EntryPoint::Channel).await;
    let volatile = Flags { volatile: true, ..Flags::default() };
    socket.emit(&Payload::event("first", []), Flags::default(), &mut Writes::new());
    assert_eq!(client.text().await, r#"42["first"]"#);
    for (turn, name, is_sent) in
        [(7, "a", true), (7, "b", false), (8, "c", true), (0, "d", true), (8, "e", false)]
    {
        let mut writes = if turn == 0 { Writes::new() } else { Writes::in_turn(turn) };
        socket.emit(&Payload::event(name, []), volatile, &mut writes);
        writes.finish();
        if is_sent {
            assert_eq!(client.text().await, format!(r#"42["{name}"]"#));
        }
    }
    assert_eq!(test.server.metrics().engine.volatile_dropped, 2);
}
