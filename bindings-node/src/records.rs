//! The form of what happened: a batch of records, as `native.ts` reads it.

use std::{collections::VecDeque, fmt::Write as _};

use bytes::Bytes;
use ferrio::{AckOutcome, AckStatus, Answer, HostEvent, OpenedSession, Payload, Socket};
use ferrio_host::{Questions, TURN_EVENTS};
use http::Response;

use crate::{
    crossing::{Beside, Report},
    outgoing::Outgoing,
    request,
    state::State,
    value,
};

/// A batch ends beyond this many bytes, so that one turn of JavaScript stays short.
const MAX_BYTES: usize = 256 << 10;

/// A payload of at least this many bytes crosses beside the batch, as a string of its own: a string of V8 has a limit,
/// which one payload keeps but many together do not.
const LARGE: usize = 64 << 10;

/// What belongs to one record is written into the batch's text up to here, and then beside it: a broadcast may bring
/// any number of small answers.
const MAX_TEXT: usize = 8 << 20;

/// Bodies of at least this many bytes cross as bytes: escaping them would cost more than a `Buffer`.
const MAX_TEXT_BODY: usize = 16 << 10;

/// In the place of an ack's number: the client wants none.
const NO_ACK: i64 = -1;

/// The first number of a record: the same as `Kind` in `native.ts`.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Event = 0,
    BinaryEvent = 1,
    Connect = 2,
    Ack = 3,
    Problem = 4,
    Disconnect = 5,
    Forget = 6,
    AskRequest = 7,
    AskOrigin = 8,
    AskNamespace = 9,
    Response = 10,
    ResumeBody = 11,
    StreamData = 12,
    StreamEnd = 13,
    PortClosed = 14,
    ConnectAborted = 15,
    SessionEnd = 16,
    ForgetRequest = 17,
    SessionOpen = 18,
    SessionMessage = 19,
    SessionPacket = 20,
    SessionPacketCreate = 21,
    SessionSign = 22,
    AskHeaders = 23,
    Refused = 24,
    OpeningResponse = 25,
    SessionEnding = 26,
    SessionEnded = 27,
    SessionRefused = 28,
    UnexpectedAck = 29,
}

/// A batch being written.
pub(crate) struct Records {
    pub(crate) text: String,
    beside: Vec<Beside>,
    /// Bytes beside the text.
    n_beside: usize,
    n: usize,
}

impl Records {
    pub(crate) fn new() -> Self {
        // The two digits are set at the end.
        Self { text: String::from("[0,0"), beside: Vec::new(), n_beside: 0, n: 0 }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.n >= TURN_EVENTS || self.text.len() + self.n_beside >= MAX_BYTES
    }

    pub(crate) fn finish(mut self, more_waits: bool) -> (String, Vec<Beside>) {
        self.text.push(']');
        let head = format!("[{},{}", u8::from(more_waits), u8::from(!self.beside.is_empty()));
        self.text.replace_range(..head.len(), &head);
        (self.text, self.beside)
    }

    /// Begins a record; the fourth value follows.
    pub(crate) fn begin(&mut self, kind: Kind, subject: u64, detail: i64) {
        self.n += 1;
        let _ = write!(self.text, ",{},{subject},{detail},", kind as u8);
    }

    pub(crate) fn push_report(&mut self, report: Report) {
        match report {
            Report::Unasked { token, status } => {
                self.push_ack(token, AckOutcome { answers: Vec::new(), status });
            }
            Report::Problem(message) => {
                self.begin(Kind::Problem, 0, 0);
                value::push_json(&mut self.text, &message);
            }
        }
    }

    pub(crate) fn push_event(&mut self, state: &mut State, event: HostEvent) {
        match event {
            HostEvent::Event { socket, payload, ack, .. } => {
                let ack = ack.map_or(NO_ACK, |ack| i64::try_from(ack.id()).unwrap_or(NO_ACK));
                let kind = if payload.attachments().is_empty() { Kind::Event } else { Kind::BinaryEvent };
                self.begin(kind, socket.key().0, ack);
                self.push_payload(payload);
            }
            HostEvent::Ack { token, outcome, .. } => self.push_ack(token, outcome),
            HostEvent::UnexpectedAck { socket, id, payload, .. } => {
                self.begin(Kind::UnexpectedAck, socket.key().0, detail(id));
                self.push_answer(payload);
            }
            HostEvent::Connect { socket, auth, connect_request } => {
                state.expect(connect_request);
                self.begin(Kind::Connect, socket.key().0, 0);
                self.push_connect(&socket, auth);
            }
            HostEvent::ConnectAborted { namespace, socket, .. } => {
                self.begin(Kind::ConnectAborted, socket.as_ref().map_or(0, |socket| socket.key().0), 0);
                value::push_json(&mut self.text, &namespace);
                if let Some(socket) = socket {
                    state.withdraw(socket);
                }
            }
            HostEvent::Disconnect(disconnected) => {
                self.begin(Kind::Disconnect, disconnected.socket().key().0, 0);
                value::push_json(&mut self.text, disconnected.reason().as_str());
                state.leave(disconnected);
            }
            HostEvent::Session { connection, event } => {
                state.note(&connection, &event);
                self.push_session(&connection, event);
            }
            HostEvent::Refused { head, refusal } => self.push_refusal(&head, &refusal),
            HostEvent::Forget { key } => {
                self.begin(Kind::Forget, key.0, 0);
                self.text.push('0');
            }
            // Dropped, they are refused.
            HostEvent::Request { .. }
            | HostEvent::Origin { .. }
            | HostEvent::Headers { .. }
            | HostEvent::Namespace { .. }
                if state.is_closed => {}
            HostEvent::Request { head, answer } => {
                self.push_question(Kind::AskRequest, &mut state.requests, &head, answer);
            }
            HostEvent::Origin { head, answer } => {
                self.push_question(Kind::AskOrigin, &mut state.origins, &head, answer);
            }
            HostEvent::Headers { head, is_first, answer } => {
                self.begin(Kind::AskHeaders, request::tag_of(&head), detail(state.asked_headers.ask(answer)));
                let _ = write!(self.text, r#"{{"isFirst":{is_first},"#);
                request::push_head(&mut self.text, &head);
                self.text.push('}');
            }
            HostEvent::Namespace { name, auth, answer, .. } => {
                self.begin(Kind::AskNamespace, 0, detail(state.asked_namespaces.ask(answer)));
                self.text.push('[');
                value::push_json(&mut self.text, &name);
                self.text.push(',');
                self.push_object(auth);
                self.text.push(']');
            }
            // Room events are switched off, and TypeScript knows no others.
            _ => {}
        }
    }

    pub(crate) fn push_carried(&mut self, waiting: &mut VecDeque<Outgoing>) {
        while !self.is_full()
            && let Some(outgoing) = waiting.pop_front()
        {
            self.push_outgoing(outgoing);
        }
    }

    fn push_outgoing(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Response { tag, response } => {
                let opened = response.extensions().get::<OpenedSession>().cloned();
                let kind = if opened.is_some() { Kind::OpeningResponse } else { Kind::Response };
                self.begin(kind, tag, response.status().as_u16().into());
                self.push_response(response, opened);
            }
            Outgoing::ResumeBody { tag } => {
                self.begin(Kind::ResumeBody, tag, 0);
                self.text.push('0');
            }
            Outgoing::StreamData { tag, data } => {
                self.begin(Kind::StreamData, tag, 0);
                self.push_bytes(data);
            }
            Outgoing::StreamEnd { tag } => {
                self.begin(Kind::StreamEnd, tag, 0);
                self.text.push('0');
            }
            Outgoing::Forget { tag } => {
                self.begin(Kind::ForgetRequest, tag, 0);
                self.text.push('0');
            }
            Outgoing::PortClosed => {
                self.begin(Kind::PortClosed, 0, 0);
                self.text.push('0');
            }
        }
    }

    /// The id of the session that is opened, if one is, the body and the headers. A short text is a text for Node, too, which writes it together with the headers.
    fn push_response(&mut self, response: Response<Bytes>, opened: Option<OpenedSession>) {
        let (parts, body) = response.into_parts();
        self.text.push('[');
        if let Some(OpenedSession(id)) = opened {
            value::push_json(&mut self.text, &id);
            self.text.push(',');
        }
        match std::str::from_utf8(&body) {
            Ok(text) if text.len() < MAX_TEXT_BODY => value::push_json(&mut self.text, text),
            _ => self.push_bytes(body),
        }
        for (name, value) in &parts.headers {
            self.text.push(',');
            value::push_json(&mut self.text, name.as_str());
            self.text.push(',');
            value::push_json(&mut self.text, value.to_str().unwrap_or_default());
        }
        self.text.push(']');
    }

    fn push_connect(&mut self, socket: &Socket, auth: Payload) {
        self.text.push('[');
        value::push_json(&mut self.text, socket.namespace().name());
        self.text.push(',');
        value::push_json(&mut self.text, socket.id());
        let _ = write!(self.text, ",{},", socket.recovered().map_or(0, |key| key.0));
        self.push_object(auth);
        self.text.push(']');
    }

    fn push_ack(&mut self, token: u64, outcome: AckOutcome) {
        let status = match outcome.status {
            AckStatus::Complete => 0,
            AckStatus::TimedOut => 1,
            AckStatus::Disconnected => 2,
            AckStatus::TooLarge => 3,
            AckStatus::OneOfMany => 4,
        };
        self.begin(Kind::Ack, token, status);
        self.text.push('[');
        for (idx, answer) in outcome.answers.into_iter().enumerate() {
            if idx > 0 {
                self.text.push(',');
            }
            self.push_answer(answer);
        }
        self.text.push(']');
    }

    /// An answer is an array, the place of its text, or an object with either and with its binary values.
    fn push_answer(&mut self, answer: Payload) {
        if answer.attachments().is_empty() {
            return self.push_payload(answer);
        }
        self.text.push_str(r#"{"binary":"#);
        self.push_payload(answer);
        self.text.push('}');
    }

    /// The arguments or, with binary values, the place of the first of them, their number, and the arguments.
    fn push_payload(&mut self, payload: Payload) {
        if payload.attachments().is_empty() {
            return self.push_text(payload);
        }
        let _ = write!(self.text, "[{},{},", self.beside.len(), payload.attachments().len());
        for bytes in payload.attachments() {
            self.n_beside += bytes.len();
            self.beside.push(Beside::Bytes(bytes.clone()));
        }
        self.push_text(payload);
        self.text.push(']');
    }

    /// The text of a payload, which is an array or an object; of a large one its place, which is a number.
    fn push_text(&mut self, payload: Payload) {
        if self.has_room_for(payload.text().len()) {
            self.text.push_str(payload.text());
            return;
        }
        let place = self.put_beside(Beside::Text(payload));
        let _ = write!(self.text, "{place}");
    }

    fn push_bytes(&mut self, bytes: Bytes) {
        let place = self.put_beside(Beside::Bytes(bytes));
        let _ = write!(self.text, "{place}");
    }

    /// Whether a text of this length crosses with the others.
    pub(crate) fn has_room_for(&self, len: usize) -> bool {
        len < LARGE && self.text.len() < MAX_TEXT
    }

    /// Puts a value beside the text. Returns its place.
    pub(crate) fn put_beside(&mut self, value: Beside) -> usize {
        self.n_beside += value.len();
        self.beside.push(value);
        self.beside.len() - 1
    }

    /// What a client sent along, as a payload; without anything, an empty object.
    fn push_object(&mut self, payload: Payload) {
        if payload.is_empty() {
            self.text.push_str("{}");
        } else {
            self.push_payload(payload);
        }
    }

    fn push_question<T>(
        &mut self,
        kind: Kind,
        questions: &mut Questions<T>,
        head: &ferrio::RequestHead,
        answer: Answer<T>,
    ) {
        self.begin(kind, request::tag_of(head), detail(questions.ask(answer)));
        self.text.push('{');
        request::push_head(&mut self.text, head);
        self.text.push('}');
    }
}

fn detail(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
