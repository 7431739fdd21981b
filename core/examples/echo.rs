//! A server in Rust alone: every event is echoed, with its ack if the client wants one.
//!
//! `cargo run -p ferrio --example echo -- 127.0.0.1:3000`

use ferrio::{Config, Flags, HostEvent, ListenOptions, Selection, Server, Writes};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let (server, mut events) = Server::new(
        Config {
            engine: ferrio_engine::Config { allow_eio3: true, ..Config::default().engine },
            ..Config::default()
        },
        || {},
    )?;
    let main = server.namespace("/");
    let listener = server.engine().listen(ListenOptions::new(address.as_str())).await?;
    println!("listening on {}", listener.local_addr());
    while let Some(event) = events.next().await {
        let mut writes = Writes::new();
        match event {
            HostEvent::Connect { connect_request, .. } => _ = connect_request.accept(&mut writes),
            HostEvent::Event { payload, ack: Some(ack), .. } => {
                // An ack has no event name.
                let arguments = payload.values()?.split_off(1);
                let text = serde_json::to_string(&arguments)?;
                ack.send(&ferrio::Payload::new(text, payload.attachments().to_vec()), &mut writes);
            }
            HostEvent::Event { payload, .. } => {
                main.emit(&Selection::all(), &payload, Flags::default(), &mut writes);
            }
            HostEvent::Disconnect(disconnected) => {
                println!("{} left: {}", disconnected.socket().id(), disconnected.reason());
            }
            _ => {}
        }
    }
    Ok(())
}
