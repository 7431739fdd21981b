//! The one way out of JavaScript: batches of what is asked of the core.

use std::{result, sync::Arc};

use bytes::Bytes;
use ferrio::{
    AckRequest, AckStatus, Flags, Frame, Namespace, Payload, Room, Selection, SendOptions, Server, Socket,
    SocketPacketType, Writes,
};
use napi::{
    JsString, Result,
    bindgen_prelude::{Float64ArraySlice, Uint8ArraySlice},
};
use napi_derive::napi;

use crate::{
    batch::{self, Batch, Misfit},
    crossing::Report,
    error::misuse,
    room,
    server::NativeServer,
    state::{Held, ParsedSession, State},
};

/// What can be asked: the same as `Command` in `native.ts`, which a test compares with what is exported here.
#[napi(js_name = "Command")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandKind {
    /// Send an event to one socket.
    Emit = 0,
    /// The same, and report its answer.
    EmitWithAck = 1,
    /// Answer an event of a socket.
    Answer = 2,
    /// Send an event to every socket of a selection.
    Broadcast = 3,
    /// The same, and report their answers.
    BroadcastWithAck = 4,
    /// Put a socket into rooms.
    Join = 5,
    /// Take a socket out of rooms.
    Leave = 6,
    /// Put every socket of a selection into rooms.
    JoinMany = 7,
    /// Take every socket of a selection out of rooms.
    LeaveMany = 8,
    /// Forget a socket that has disconnected.
    Release = 9,
    /// Send a packet to a session of the engine, whose id is in the place of rooms. The packet's type is in the detail, above
    /// the flags.
    SendPacket = 10,
    /// Take a packet that a parser of the application's has read: the id of its session in the place of rooms, its namespace
    /// in that of those left out, its type in the detail, its ack in the token.
    Receive = 11,
    /// A session is over, and all its packets have been received. Its id is in the place of rooms.
    EndSession = 12,
}

impl CommandKind {
    /// By their numbers.
    const ALL: [Self; 13] = [
        Self::Emit,
        Self::EmitWithAck,
        Self::Answer,
        Self::Broadcast,
        Self::BroadcastWithAck,
        Self::Join,
        Self::Leave,
        Self::JoinMany,
        Self::LeaveMany,
        Self::Release,
        Self::SendPacket,
        Self::Receive,
        Self::EndSession,
    ];

    fn from_number(number: u64) -> result::Result<Self, Problem> {
        let kind = usize::try_from(number).ok().and_then(|number| Self::ALL.get(number).copied());
        kind.ok_or_else(|| format!("there is no command {number}"))
    }
}

/// The flags' bits: the same as `Flag` in `native.ts`.
const VOLATILE: u64 = 1;
const LOCAL: u64 = 2;
const UNCOMPRESSED: u64 = 4;
/// Of a packet: that it is told, like those that the core makes.
const TOLD: u64 = 8;

/// Where a packet's type begins in the detail of its command.
const PACKET_TYPE: u32 = 8;

/// The packets that can be received, by their numbers.
const SOCKET_PACKETS: [SocketPacketType; 5] = [
    SocketPacketType::Connect,
    SocketPacketType::Disconnect,
    SocketPacketType::Event,
    SocketPacketType::Ack,
    SocketPacketType::ConnectError,
];

/// Why a command could not be carried out. The fault is ours.
type Problem = String;

type Outcome = result::Result<(), Problem>;

type Command<'a> = batch::Command<'a, Uint8ArraySlice<'a>>;

#[napi]
impl NativeServer {
    /// Carries out a batch of commands in order; see [`batch`] for its form. What cannot be carried out
    /// is reported by a record of the next batch that is drained, and keeps nothing else from being carried out.
    /// Returns whether there is something to drain.
    ///
    /// Batches of one `turn` make one moment to volatile events.
    #[napi(catch_unwind)]
    pub fn flush(
        &self,
        turn: u32,
        numbers: Float64ArraySlice<'_>,
        length: u32,
        texts: JsString<'_>,
        large: Option<Vec<String>>,
        attachments: Option<Vec<Uint8ArraySlice<'_>>>,
    ) -> Result<bool> {
        let texts = texts.into_utf8()?;
        let large = large.unwrap_or_default();
        let attachments = attachments.unwrap_or_default();
        let numbers = numbers.get(..length as usize).ok_or_else(|| misuse("the batch is too short"))?;
        let batch = Batch::read(numbers, texts.as_str()?, &large, &attachments);
        let batch = batch.map_err(|misfit| misuse(&misfit.to_string()))?;
        let (has_reports, is_due) = self.waker.inside(|| self.carry_out(turn, batch));
        Ok(has_reports || is_due)
    }
}

impl NativeServer {
    /// Returns whether something has to be reported.
    fn carry_out(&self, turn: u32, mut batch: Batch<'_, Uint8ArraySlice<'_>>) -> bool {
        let mut state = self.state.borrow_mut();
        let mut writes = Writes::in_turn(turn);
        loop {
            match batch.next() {
                Ok(None) => break,
                Ok(Some(command)) => state.carry_out(&self.server, &command, &mut writes),
                Err(misfit) => {
                    state.crossing.reports.push(Report::Problem(misfit.to_string()));
                    if misfit != Misfit::Numbers {
                        break;
                    }
                }
            }
        }
        // For the whole batch at once.
        writes.finish();
        !state.crossing.reports.is_empty()
    }
}

/// A method for each command. What is asked of those who have gone is not done.
impl State {
    fn carry_out(&mut self, server: &Server, command: &Command<'_>, writes: &mut Writes) {
        if let Err(problem) = self.try_carry_out(server, command, writes) {
            self.crossing.reports.push(Report::Problem(problem));
            self.report_unasked(command);
        }
    }

    fn try_carry_out(&mut self, server: &Server, command: &Command<'_>, writes: &mut Writes) -> Outcome {
        match CommandKind::from_number(command.kind)? {
            CommandKind::Emit => self.emit(command, writes),
            CommandKind::EmitWithAck => self.emit_with_ack(command, writes),
            CommandKind::Answer => self.answer(command, writes),
            CommandKind::Broadcast => self.broadcast(command, writes)?,
            CommandKind::BroadcastWithAck => self.broadcast_with_ack(command, writes)?,
            CommandKind::Join => self.join(command)?,
            CommandKind::Leave => self.leave_rooms(command)?,
            CommandKind::JoinMany => self.join_many(command)?,
            CommandKind::LeaveMany => self.leave_many(command)?,
            CommandKind::Release => self.depart(command.subject),
            CommandKind::SendPacket => send_packet(server, command, writes)?,
            CommandKind::Receive => self.receive(server, command)?,
            CommandKind::EndSession => self.end_session(server, command),
        }
        Ok(())
    }

    fn emit(&self, command: &Command<'_>, writes: &mut Writes) {
        if let Some(socket) = self.socket(command) {
            socket.emit(&payload(command), flags(command), writes);
        }
    }

    fn emit_with_ack(&mut self, command: &Command<'_>, writes: &mut Writes) {
        match self.socket(command) {
            Some(socket) => {
                socket.emit_with_ack(&payload(command), flags(command), ack_request(command), writes);
            }
            None => self.report_unasked(command),
        }
    }

    fn answer(&self, command: &Command<'_>, writes: &mut Writes) {
        if let Some(socket) = self.socket(command) {
            socket.answer(command.detail, &payload(command), writes);
        }
    }

    fn broadcast(&mut self, command: &Command<'_>, writes: &mut Writes) -> Outcome {
        let selection = self.read_selection(command)?;
        if let Some(namespace) = self.namespace(command) {
            namespace.emit(&selection, &payload(command), flags(command), writes);
        }
        Ok(())
    }

    fn broadcast_with_ack(&mut self, command: &Command<'_>, writes: &mut Writes) -> Outcome {
        let selection = self.read_selection(command)?;
        match self.namespace(command) {
            Some(namespace) => {
                let (payload, ack) = (payload(command), ack_request(command));
                namespace.emit_with_ack(&selection, &payload, flags(command), ack, writes);
            }
            None => self.report_unasked(command),
        }
        Ok(())
    }

    fn join(&mut self, command: &Command<'_>) -> Outcome {
        let rooms = self.read_rooms(command.payload)?;
        if let Some(socket) = self.socket(command) {
            socket.join(rooms);
        }
        Ok(())
    }

    fn leave_rooms(&mut self, command: &Command<'_>) -> Outcome {
        let rooms = self.read_rooms(command.payload)?;
        if let Some(socket) = self.socket(command) {
            for room in rooms {
                socket.leave(room);
            }
        }
        Ok(())
    }

    fn join_many(&mut self, command: &Command<'_>) -> Outcome {
        let (selection, rooms) = (self.read_selection(command)?, self.read_rooms(command.payload)?);
        if let Some(namespace) = self.namespace(command) {
            namespace.join(&selection, &rooms, flags(command).local);
        }
        Ok(())
    }

    fn leave_many(&mut self, command: &Command<'_>) -> Outcome {
        let (selection, rooms) = (self.read_selection(command)?, self.read_rooms(command.payload)?);
        if let Some(namespace) = self.namespace(command) {
            namespace.leave(&selection, &rooms, flags(command).local);
        }
        Ok(())
    }

    fn receive(&self, server: &Server, command: &Command<'_>) -> Outcome {
        let kind = usize::try_from(command.detail).ok().and_then(|kind| SOCKET_PACKETS.get(kind));
        let kind = *kind.ok_or_else(|| format!("there is no packet {}", command.detail))?;
        let session = command.rooms.and_then(|id| self.parsed.as_ref()?.get(id));
        if let Some(ParsedSession { connection, .. }) = session {
            let id = (command.token != 0).then_some(command.token);
            let namespace = command.except.unwrap_or_default();
            server.receive(connection, kind, namespace, id, payload(command));
        }
        Ok(())
    }

    fn end_session(&mut self, server: &Server, command: &Command<'_>) {
        let session = command.rooms.and_then(|id| self.parsed.as_mut()?.remove(id));
        if let Some(ParsedSession { connection, ending: Some(reason) }) = session {
            server.end(&connection, reason);
        }
    }

    /// Nobody was asked: whoever waits for acks is told so.
    fn report_unasked(&mut self, command: &Command<'_>) {
        let AckRequest { token, timeout } = ack_request(command);
        let status = match CommandKind::from_number(command.kind) {
            Ok(CommandKind::EmitWithAck) if timeout.is_some() => AckStatus::TimedOut,
            Ok(CommandKind::EmitWithAck) => AckStatus::Disconnected,
            Ok(CommandKind::BroadcastWithAck) => AckStatus::Complete,
            _ => return,
        };
        self.crossing.reports.push(Report::Unasked { token, status });
    }
}

/// What the commands speak of.
impl State {
    fn socket(&self, command: &Command<'_>) -> Option<&Arc<Socket>> {
        self.sockets.get(&command.subject).map(Held::socket)
    }

    fn namespace(&self, command: &Command<'_>) -> Option<&Arc<Namespace>> {
        self.namespaces.get(&command.subject)
    }

    fn read_selection(&mut self, command: &Command<'_>) -> result::Result<Selection, Problem> {
        let mut selection = Selection::all();
        if command.rooms.is_some() {
            selection.rooms = self.read_rooms(command.rooms)?.into();
        }
        if command.except.is_some() {
            selection.except = self.read_rooms(command.except)?.into();
        }
        Ok(selection)
    }

    fn read_rooms(&mut self, text: Option<&str>) -> result::Result<Vec<Room>, Problem> {
        room::read_list(&mut self.rooms, text.unwrap_or("[]"))
            .map_err(|error| format!("rooms cannot be read: {error}"))
    }
}

/// Sends a packet to a session: a message with bytes, or any packet with text.
fn send_packet(server: &Server, command: &Command<'_>, writes: &mut Writes) -> Outcome {
    let Some(session) = server.engine().session(command.rooms.unwrap_or_default()) else { return Ok(()) };
    let frame = if let Some(bytes) = command.attachments.first() {
        Frame::binary(session.protocol(), bytes)
    } else {
        let digit = u8::try_from(command.detail >> PACKET_TYPE).ok().filter(|digit| *digit <= 6);
        let digit = digit.ok_or_else(|| format!("there is no packet {}", command.detail))?;
        let text = command.payload.unwrap_or_default();
        Frame::text(1 + text.len(), |out| {
            out.push(char::from(b'0' + digit));
            out.push_str(text);
        })
    };
    let is_told = command.detail & TOLD != 0;
    let options = SendOptions { compress: flags(command).compress, is_told, ..SendOptions::default() };
    session.push(&frame.into(), options, writes);
    Ok(())
}

fn payload(command: &Command<'_>) -> Payload {
    let attachments = command.attachments.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
    Payload::new(command.payload.unwrap_or("[]"), attachments)
}

fn ack_request(command: &Command<'_>) -> AckRequest {
    AckRequest { token: command.token, timeout: command.timeout }
}

fn flags(command: &Command<'_>) -> Flags {
    flags_of(command.detail)
}

/// The flags that these bits are.
pub(crate) fn flags_of(bits: u64) -> Flags {
    Flags { volatile: bits & VOLATILE != 0, compress: bits & UNCOMPRESSED == 0, local: bits & LOCAL != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_by_their_numbers_and_others_are_an_error() {
        for (number, kind) in (0..).zip(CommandKind::ALL) {
            assert_eq!(kind as u64, number);
            assert_eq!(CommandKind::from_number(number), Ok(kind));
        }
        for unknown in [CommandKind::ALL.len() as u64, u64::MAX] {
            assert_eq!(CommandKind::from_number(unknown), Err(format!("there is no command {unknown}")));
        }
    }
}
