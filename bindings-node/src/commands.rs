//! The one way out of JavaScript: batches of what is asked of the core.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ferrio::{AckRequest, Flags, NumberedRooms, Payload, Room, Selection, Writes};
use napi::{
    JsString, Result,
    bindgen_prelude::{Float64ArraySlice, Uint8ArraySlice},
};
use napi_derive::napi;

use crate::{
    error::misuse,
    room,
    server::{Held, NativeServer, State, number},
};

/// The flags' bits: the same as `Flag` in `native.ts`.
const VOLATILE: u64 = 1;
const LOCAL: u64 = 2;
const HAS_ROOMS: u64 = 4;
const HAS_EXCEPT: u64 = 8;
const UNCOMPRESSED: u64 = 16;

#[napi]
impl NativeServer {
    /// Carries out commands in order: `numbers` holds them, their texts stand line by line in `texts`. Returns
    /// whether there is something to drain.
    #[napi(catch_unwind)]
    pub fn flush(
        &self,
        numbers: Float64ArraySlice<'_>,
        length: u32,
        texts: JsString<'_>,
        attachments: Option<Vec<Uint8ArraySlice<'_>>>,
    ) -> Result<bool> {
        let texts = texts.into_utf8()?;
        let attachments = attachments.unwrap_or_default();
        let mut commands = Commands {
            numbers: numbers.get(..length as usize).ok_or_else(|| misuse("the batch is too short"))?.iter(),
            texts: texts.as_str()?.split('\n'),
            attachments: attachments.iter(),
            writes: Writes::new(),
        };
        let (result, is_due) = self.waker.inside(|| {
            let mut state = self.state.borrow_mut();
            while let Some(&command) = commands.numbers.next() {
                commands.carry_out(&mut state, number(command))?;
            }
            // For the whole batch at once.
            commands.writes.finish();
            Ok(())
        });
        result.map(|()| is_due)
    }
}

/// What is left of a batch.
struct Commands<'a> {
    numbers: std::slice::Iter<'a, f64>,
    texts: std::str::Split<'a, char>,
    attachments: std::slice::Iter<'a, Uint8ArraySlice<'a>>,
    writes: Writes,
}

impl Commands<'_> {
    /// The commands' numbers are the same as `Command` in `native.ts`.
    fn carry_out(&mut self, state: &mut State, command: u64) -> Result<()> {
        let subject = self.number()?;
        let detail = self.number()?;
        let n_attachments = self.number()?;
        let socket = state.sockets.get(&subject).map(Held::socket);
        match command {
            0 => {
                let payload = self.payload(n_attachments)?;
                if let Some(socket) = socket {
                    socket.emit(&payload, flags(detail), &mut self.writes);
                }
            }
            1 => {
                let payload = self.payload(n_attachments)?;
                let ack = self.ack_request()?;
                if let Some(socket) = socket {
                    socket.emit_with_ack(&payload, flags(detail), ack, &mut self.writes);
                }
            }
            2 => {
                let payload = self.payload(n_attachments)?;
                if let Some(socket) = socket {
                    socket.answer(detail, &payload, &mut self.writes);
                }
            }
            3 => {
                let selection = self.selection(&mut state.rooms, detail)?;
                let payload = self.payload(n_attachments)?;
                if let Some(namespace) = state.namespaces.get(&subject) {
                    namespace.emit(&selection, &payload, flags(detail), &mut self.writes);
                }
            }
            4 => {
                let selection = self.selection(&mut state.rooms, detail)?;
                let payload = self.payload(n_attachments)?;
                let ack = self.ack_request()?;
                if let Some(namespace) = state.namespaces.get(&subject) {
                    namespace.emit_with_ack(&selection, &payload, flags(detail), ack, &mut self.writes);
                }
            }
            5 => {
                let rooms = self.rooms(&mut state.rooms)?;
                if let Some(socket) = socket {
                    socket.join(rooms);
                }
            }
            6 => {
                let rooms = self.rooms(&mut state.rooms)?;
                if let Some(socket) = socket {
                    for room in rooms {
                        socket.leave(room);
                    }
                }
            }
            7 => {
                let selection = self.selection(&mut state.rooms, detail)?;
                let rooms = self.rooms(&mut state.rooms)?;
                if let Some(namespace) = state.namespaces.get(&subject) {
                    namespace.join(&selection, &rooms, detail & LOCAL != 0);
                }
            }
            8 => {
                let selection = self.selection(&mut state.rooms, detail)?;
                let rooms = self.rooms(&mut state.rooms)?;
                if let Some(namespace) = state.namespaces.get(&subject) {
                    namespace.leave(&selection, &rooms, detail & LOCAL != 0);
                }
            }
            9 => state.depart(subject),
            _ => return Err(misuse("unknown command")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<u64> {
        self.numbers.next().map(|&value| number(value)).ok_or_else(|| misuse("the batch ends in a command"))
    }

    fn text(&mut self) -> Result<&str> {
        self.texts.next().ok_or_else(|| misuse("the batch lacks a text"))
    }

    fn payload(&mut self, n_attachments: u64) -> Result<Payload> {
        let text: Arc<str> = self.text()?.into();
        let mut attachments = Vec::new();
        for _ in 0..n_attachments {
            let bytes = self.attachments.next().ok_or_else(|| misuse("the batch lacks bytes"))?;
            attachments.push(Bytes::copy_from_slice(bytes));
        }
        Ok(Payload::new(text, attachments))
    }

    fn rooms(&mut self, known: &mut NumberedRooms) -> Result<Vec<Room>> {
        room::read_list(known, self.text()?)
    }

    fn selection(&mut self, known: &mut NumberedRooms, bits: u64) -> Result<Selection> {
        let mut selection = Selection::all();
        if bits & HAS_ROOMS != 0 {
            selection.rooms = self.rooms(known)?.into();
        }
        if bits & HAS_EXCEPT != 0 {
            selection.except = self.rooms(known)?.into();
        }
        Ok(selection)
    }

    fn ack_request(&mut self) -> Result<AckRequest> {
        let milliseconds = *self.numbers.next().ok_or_else(|| misuse("the batch lacks a timeout"))?;
        let timeout = Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
        Ok(AckRequest { token: self.number()?, timeout })
    }
}

fn flags(bits: u64) -> Flags {
    Flags { volatile: bits & VOLATILE != 0, compress: bits & UNCOMPRESSED == 0, local: bits & LOCAL != 0 }
}
