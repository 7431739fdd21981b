//! Whether a client's message has to wait for room on its way to the host.

use std::sync::Arc;

use ferrio_engine::{Data, Turn, Wait};
use ferrio_protocol::socket::{self as codec, PacketType};

use crate::{
    config::Parser,
    queue::backpressure::Pass,
    socket_io::{Connection, SocketIo},
};

/// The room that a message needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// On the queue.
    Queue,
    /// On the queue, and in its connection's share.
    Share,
}

/// The room that a message wants, or a heartbeat of which the host is told. What ends a socket wants none, and neither do
/// attachments: the packet that they belong to had room, and their time is running.
fn wants(server: &SocketIo, message: Option<&Data<'_>>) -> Option<Wants> {
    // Heartbeats have no credit, so they do not wait for handlers.
    let Some(message) = message else { return Some(Wants::Queue) };
    match message {
        _ if matches!(server.config.parser, Parser::Application | Parser::None) => Some(Wants::Share),
        Data::Text(text) => match codec::packet_type(text) {
            Some(PacketType::Ack | PacketType::BinaryAck) => Some(Wants::Queue),
            Some(PacketType::Disconnect) => None,
            _ => Some(Wants::Share),
        },
        Data::Binary(_) => server.is_msgpack().then_some(Wants::Share),
    }
}

/// The wait of a message for which there is no room.
#[inline]
pub(super) fn wait(connection: &Arc<Connection>, message: Option<&Data<'_>>) -> Option<Wait> {
    let server = connection.layer();
    let wants = wants(server, message)?;
    let has_share = wants == Wants::Queue || connection.state().share.has_room();
    if has_share && server.queue.budget.has_room() {
        return None;
    }
    server.counters.host_queue_pauses.add(1);
    let connection = connection.clone();
    Some(Box::pin(async move { Box::new(room(&connection, wants).await) as Turn }))
}

/// Waits until a message may be taken, or the session is over.
async fn room(connection: &Connection, wants: Wants) -> Pass {
    let share = &connection.state().share;
    let is_open = || connection.is_open();
    if wants == Wants::Share && !share.room_while(is_open).await {
        return Pass::free();
    }
    tokio::select! {
        pass = connection.layer().queue.budget.room() => pass,
        () = share.ended(is_open) => Pass::free(),
    }
}
