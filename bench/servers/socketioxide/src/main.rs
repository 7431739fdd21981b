//! Runs the benchmark application on socketioxide: `bench-socketioxide --port N [--ping-interval SECONDS]`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name| arguments.iter().skip_while(|argument| *argument != name).nth(1);
    let port: u16 =
        option("--port").ok_or("usage: bench-socketioxide --port N [--ping-interval S]")?.parse()?;
    let ping_interval = option("--ping-interval").map_or(Ok(25.0), |seconds| seconds.parse())?;
    let (layer, io) =
        SocketIo::builder().ping_interval(Duration::try_from_secs_f64(ping_interval)?).build_layer();
    let ticks = Arc::new(AtomicU64::new(0));
    io.ns("/", async move |io: SocketIo, socket: SocketRef| handle(&io, &socket, &ticks));

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, axum::Router::new().layer(layer)).await?;
    Ok(())
}

/// Registers the events that every peer has.
fn handle(io: &SocketIo, socket: &SocketRef, ticks: &Arc<AtomicU64>) {
    socket.on("echo", async |Data::<Value>(data), ack: AckSender| {
        let _ = ack.send(&data);
    });
    let counter = Arc::clone(ticks);
    socket.on("tick", async move |Data::<Value>(_)| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let counter = Arc::clone(ticks);
    socket.on("count", async move |ack: AckSender| {
        let _ = ack.send(&counter.swap(0, Ordering::Relaxed));
    });
    let everybody = io.clone();
    socket.on("broadcast", async move |Data::<Value>(data)| {
        let _ = everybody.emit("news", &data).await;
    });
    socket.on("join", async |socket: SocketRef, Data::<String>(room), ack: AckSender| {
        socket.join(room);
        let _ = ack.send(&());
    });
    let everybody = io.clone();
    socket.on("to", async move |Data::<(String, Value)>((room, data))| {
        let _ = everybody.to(room).emit("news", &data).await;
    });
}
