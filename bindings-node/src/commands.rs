//! The one way out of JavaScript: batches of what is asked of the core.

use std::sync::Arc;

use bytes::Bytes;
use ferrio::{
    AckRequest, AckStatus, Flags, Namespace, NumberedRooms, Payload, Room, Selection, Socket, Writes,
};
use napi::{
    JsString, Result,
    bindgen_prelude::{Float64ArraySlice, Uint8ArraySlice},
};
use napi_derive::napi;

use crate::{
    batch::{Batch, Command, Misfit},
    error::misuse,
    records::Report,
    room,
    server::{Held, NativeServer, State},
};

/// The flags' bits: the same as `Flag` in `native.ts`.
const VOLATILE: u64 = 1;
const LOCAL: u64 = 2;
const UNCOMPRESSED: u64 = 4;

#[napi]
impl NativeServer {
    /// Carries out a batch of commands in order; see [`batch`](crate::batch) for its form. What cannot be carried out
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

type Attachment<'a> = Uint8ArraySlice<'a>;

impl NativeServer {
    /// Returns whether something has to be reported.
    fn carry_out(&self, turn: u32, mut batch: Batch<'_, Attachment<'_>>) -> bool {
        let mut state = self.state.borrow_mut();
        let mut writes = Writes::in_turn(turn);
        loop {
            match batch.next() {
                Ok(None) => break,
                Ok(Some(command)) => {
                    if let Err(problem) = carry_out(&mut state, &command, &mut writes) {
                        let reports = &mut state.crossing.reports;
                        reports.push(Report::Problem(problem));
                        reports.extend(unasked(&command));
                    }
                }
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

/// The kinds are the same as `Command` in `native.ts`. What is asked of those who have gone is not done.
fn carry_out(
    state: &mut State,
    command: &Command<'_, Attachment<'_>>,
    writes: &mut Writes,
) -> std::result::Result<(), String> {
    let flags = flags(command.detail);
    match command.kind {
        0 | 1 => match (socket(state, command), ack_request(command)) {
            (Some(socket), Some(ack)) => socket.emit_with_ack(&payload(command), flags, ack, writes),
            (Some(socket), None) => socket.emit(&payload(command), flags, writes),
            (None, _) => state.crossing.reports.extend(unasked(command)),
        },
        2 => {
            if let Some(socket) = socket(state, command) {
                socket.answer(command.detail, &payload(command), writes);
            }
        }
        3 | 4 => {
            let selection = selection(&mut state.rooms, command)?;
            match (namespace(state, command), ack_request(command)) {
                (Some(namespace), Some(ack)) => {
                    namespace.emit_with_ack(&selection, &payload(command), flags, ack, writes);
                }
                (Some(namespace), None) => namespace.emit(&selection, &payload(command), flags, writes),
                (None, _) => state.crossing.reports.extend(unasked(command)),
            }
        }
        5 => {
            let rooms = rooms(&mut state.rooms, command.payload)?;
            if let Some(socket) = socket(state, command) {
                socket.join(rooms);
            }
        }
        6 => {
            let rooms = rooms(&mut state.rooms, command.payload)?;
            if let Some(socket) = socket(state, command) {
                for room in rooms {
                    socket.leave(room);
                }
            }
        }
        7 | 8 => {
            let selection = selection(&mut state.rooms, command)?;
            let rooms = rooms(&mut state.rooms, command.payload)?;
            match namespace(state, command) {
                Some(namespace) if command.kind == 7 => namespace.join(&selection, &rooms, flags.local),
                Some(namespace) => namespace.leave(&selection, &rooms, flags.local),
                None => {}
            }
        }
        9 => state.depart(command.subject),
        unknown => return Err(format!("there is no command {unknown}")),
    }
    Ok(())
}

/// Nobody was asked: whoever waits for acks is told so.
fn unasked(command: &Command<'_, Attachment<'_>>) -> Option<Report> {
    let AckRequest { token, timeout } = ack_request(command)?;
    let status = match command.kind {
        1 if timeout.is_some() => AckStatus::TimedOut,
        1 => AckStatus::Gone,
        _ => AckStatus::Complete,
    };
    Some(Report::Unasked { token, status })
}

fn socket<'a>(state: &'a State, command: &Command<'_, Attachment<'_>>) -> Option<&'a Arc<Socket>> {
    state.sockets.get(&command.subject).map(Held::socket)
}

fn namespace<'a>(state: &'a State, command: &Command<'_, Attachment<'_>>) -> Option<&'a Arc<Namespace>> {
    state.namespaces.get(&command.subject)
}

fn payload(command: &Command<'_, Attachment<'_>>) -> Payload {
    let attachments = command.attachments.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
    Payload::new(command.payload.unwrap_or("[]"), attachments)
}

fn selection(
    known: &mut NumberedRooms,
    command: &Command<'_, Attachment<'_>>,
) -> std::result::Result<Selection, String> {
    let mut selection = Selection::all();
    if command.rooms.is_some() {
        selection.rooms = rooms(known, command.rooms)?.into();
    }
    if command.except.is_some() {
        selection.except = rooms(known, command.except)?.into();
    }
    Ok(selection)
}

fn rooms(known: &mut NumberedRooms, text: Option<&str>) -> std::result::Result<Vec<Room>, String> {
    room::read_list(known, text.unwrap_or("[]")).map_err(|error| format!("rooms cannot be read: {error}"))
}

/// `None` where no ack is wanted.
fn ack_request(command: &Command<'_, Attachment<'_>>) -> Option<AckRequest> {
    (command.token != 0).then_some(AckRequest { token: command.token, timeout: command.timeout })
}

fn flags(bits: u64) -> Flags {
    Flags { volatile: bits & VOLATILE != 0, compress: bits & UNCOMPRESSED == 0, local: bits & LOCAL != 0 }
}
