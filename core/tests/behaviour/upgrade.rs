//! The end of a socket in the middle of its client's upgrade.

use std::{sync::Arc, time::Duration};

use ferrio::{Config, Flags, Payload, Socket, Writes};

use crate::support::{
    Client, TestServer,
    client::{EntryPoint, Message, websocket},
    start,
    websocket::WebSocket,
};

/// Nothing that ends in time can have ended by the timeout of the upgrade.
fn patient() -> Config {
    Config {
        engine: ferrio_engine::Config {
            upgrade_timeout: Duration::from_secs(3600),
            ..Config::default().engine
        },
        ..Config::default()
    }
}

/// A polling client whose probe was answered, and the WebSocket.
async fn probed(test: &mut TestServer, entry_point: EntryPoint) -> (Client, Arc<Socket>, WebSocket) {
    let (client, socket) = test.join(EntryPoint::Handle).await;
    let mut probe = websocket(test, entry_point, &client.upgrade_query()).await.expect("it is accepted");
    probe.writer.text("2probe").await;
    assert_eq!(probe.reader.receive().await, Message::Text("3probe".to_owned()));
    (client, socket, probe)
}

#[tokio::test]
async fn a_client_that_stopped_polling_for_its_upgrade_hears_of_the_end_on_the_websocket() {
    let last = Payload::event("last", []);
    for entry_point in [EntryPoint::Channel, EntryPoint::Listen, EntryPoint::TakeOver] {
        for is_servers_end in [false, true] {
            let mut test = start(patient()).await;
            let (_client, socket, mut probe) = probed(&mut test, entry_point).await;
            socket.emit(&last, Flags::default(), &mut Writes::new());
            if is_servers_end {
                test.server.close();
            } else {
                socket.disconnect(true, &mut Writes::new());
            }
            assert_eq!(test.server.engine().n_sessions(), 0);
            // Official clients have stopped polling by now, and do not begin again when their WebSocket is closed.
            probe.writer.text("5").await;
            assert_eq!(probe.reader.receive().await, Message::Text(r#"42["last"]"#.to_owned()));
            if !is_servers_end {
                assert_eq!(probe.reader.receive().await, Message::Text("41".to_owned()));
            }
            assert!(matches!(probe.reader.receive().await, Message::Closed(_)), "{entry_point:?}");
        }
    }
}
