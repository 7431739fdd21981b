//! What the host is told of an engine's session, besides what Socket.IO makes of its messages.

use std::sync::Arc;

use ferrio_engine::{self as engine, Data, Message, Watch};

use crate::{
    event::{HostEvent, SessionEvent},
    queue::backpressure::Credit,
    reason::DisconnectReason,
    socket_io::Connection,
};

/// Watches a connection for these events, and no others. Returns `false` when its end has been told, or would have been:
/// nothing comes any more.
pub(crate) fn watch(connection: &Connection, events: Watch) -> bool {
    // Under the lock, so that the end is told or seen here.
    let inbound = connection.state().inbound.lock();
    connection.watch(events);
    inbound.is_open
}

/// Queues an event.
pub(crate) fn push(connection: &Arc<Connection>, event: SessionEvent) {
    let connection = connection.clone();
    connection.layer().clone().queue.push(HostEvent::Session { connection, event });
}

/// Passes a message on as it is.
pub(super) fn message(connection: &Arc<Connection>, message: &Data<'_>) {
    let message = Message::from(message);
    // Under the lock, so that none comes behind the end: another thread may have told that since the message was taken.
    let inbound = connection.state().inbound.lock();
    if !inbound.is_open || inbound.is_ending {
        return;
    }
    let credit = Credit::new(&connection.state().share, &connection.layer().queue.budget, message.len());
    push(connection, SessionEvent::Message(message, credit));
}

/// Tells that no more messages will come, before the sockets leave for this reason.
pub(super) fn ending(connection: &Arc<Connection>, reason: DisconnectReason) {
    let mut inbound = connection.state().inbound.lock();
    inbound.is_ending = true;
    push(connection, SessionEvent::Ending(reason));
}

/// Passes an event of the engine on. It may hold a lock: this only queues.
pub(super) fn event(connection: &Arc<Connection>, event: engine::SessionEvent<'_>) {
    let event = match event {
        engine::SessionEvent::Packet(kind, data) => SessionEvent::Packet(kind, Message::from(data)),
        engine::SessionEvent::PacketCreate(kind, data, compress) => {
            SessionEvent::PacketCreate(kind, Message::from(data), compress)
        }
        engine::SessionEvent::Heartbeat => SessionEvent::Heartbeat,
        engine::SessionEvent::Flush => SessionEvent::Flush,
        engine::SessionEvent::Drain => SessionEvent::Drain,
        engine::SessionEvent::Upgrading => SessionEvent::Upgrading,
        engine::SessionEvent::Upgrade => SessionEvent::Upgrade,
        engine::SessionEvent::UpgradeFailed => SessionEvent::UpgradeFailed,
        engine::SessionEvent::Told => SessionEvent::Told,
        _ => return,
    };
    push(connection, event);
}
