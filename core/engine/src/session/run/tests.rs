//! Each timer of a session: when it is due, and what happens then. The clock is moved by hand.

use std::{
    future::Future as _,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{HeaderMap, Method, Uri};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::*;
use crate::{
    Admitted, Config, Encoded, ReadyState, RequestHead, SendOptions, Server, Writes,
    request::Handshake,
    session::{poll::PendingPoll, receive::Received, writer::Writer},
};

/// Notes what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<Note>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Note {
    Opened,
    Timeout(Instant),
    Closed(CloseReason),
}

impl Layer for Notes {
    type State = ();

    fn state(&self) {}

    fn opened(session: &Arc<Session<Self>>) {
        session.layer().0.lock().push(Note::Opened);
        if session.handshake().head.query("close").is_some() {
            session.close(CloseReason::ForcedClose);
            session.layer().0.lock().push(Note::Opened);
        }
    }

    fn message(_: &Arc<Session<Self>>, _: Data<'_>, _: Instant) {}

    fn closed(session: &Arc<Session<Self>>, reason: CloseReason) {
        session.layer().0.lock().push(Note::Closed(reason));
    }

    fn timeout(session: &Arc<Session<Self>>, now: Instant) {
        session.layer().0.lock().push(Note::Timeout(now));
    }
}

const PING_INTERVAL: Duration = Duration::from_secs(1000);
const PING_TIMEOUT: Duration = Duration::from_secs(100);
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(1);

struct Test {
    server: Server<Notes>,
    session: Arc<Session<Notes>>,
    /// Between these two the session was opened.
    opened: [Instant; 2],
}

fn open(transport: TransportKind, target: &'static str) -> Test {
    let config = Config {
        ping_interval: PING_INTERVAL,
        ping_timeout: PING_TIMEOUT,
        upgrade_timeout: UPGRADE_TIMEOUT,
        ..Config::default()
    };
    let server = Server::new(config, Notes::default()).unwrap();
    let head = RequestHead::new(Method::GET, Uri::from_static(target), HeaderMap::new(), None);
    let before = Instant::now();
    let handshake = Arc::new(Handshake::new(head));
    let session = server
        .shared()
        .open_session(handshake, protocol::Protocol::V4, transport, Admitted::default())
        .unwrap();
    Test { server, session, opened: [before, Instant::now()] }
}

impl Test {
    /// Opens one whose WebSocket a host carries.
    fn websocket() -> (Self, u32) {
        let test = open(TransportKind::WebSocket, "/");
        let websocket_id = test.session.attach(Writer::Messages, None);
        assert_eq!(test.frames(websocket_id).len(), 1, "the open packet");
        (test, websocket_id)
    }

    /// Opens one with long-polling, whose open packet was polled.
    fn polling() -> Self {
        let test = open(TransportKind::Polling, "/");
        assert!(test.polled().is_some_and(|packets| packets.starts_with('0')));
        test
    }

    /// Lets the time come, as the server's map of deadlines does.
    fn expire(&self, now: Instant) {
        let key = self.session.io.lock().deadline.expect("something is due");
        self.session.clone().expired(0, key, now);
    }

    /// When the server's map of deadlines looks after the session.
    fn due(&self) -> Option<Instant> {
        self.session.io.lock().deadline.map(|(at, _)| at)
    }

    /// What the layer was told since it was last asked, besides the opening.
    fn notes(&self) -> Vec<Note> {
        let mut notes = std::mem::take(&mut *self.server.layer().0.lock());
        notes.retain(|note| *note != Note::Opened);
        notes
    }

    /// What is there to send on a WebSocket.
    fn frames(&self, websocket_id: u32) -> Vec<String> {
        let context = Context::from_waker(Waker::noop());
        let frames = std::iter::from_fn(|| self.session.take_frame(websocket_id, &context));
        frames.map(|(frame, _)| frame.packet().to_owned()).collect()
    }

    /// What a poll is answered with now, if it is.
    fn polled(&self) -> Option<String> {
        let (sender, answer) = oneshot::channel();
        self.session.poll(PendingPoll { sender, supports_binary: false }).ok()?;
        match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(String::from_utf8(answer.ok()?.body).unwrap()),
            Poll::Pending => None,
        }
    }

    /// Sees that an instant lies so long after something that happened between the other two.
    fn assert_after(at: Option<Instant>, [earliest, latest]: [Instant; 2], by: Duration) -> Instant {
        let at = at.expect("it is due");
        assert!((earliest + by..=latest + by).contains(&at));
        at
    }
}

fn just_before(at: Instant) -> Instant {
    at.checked_sub(MOMENT).unwrap()
}

/// Does something, and tells between which instants.
fn timed(action: impl FnOnce()) -> [Instant; 2] {
    let before = Instant::now();
    action();
    [before, Instant::now()]
}

fn message(text: &str) -> Encoded {
    Frame::message_text(text).into()
}

fn send(session: &Arc<Session<Notes>>, text: &str) {
    session.push(&message(text), SendOptions::default(), &mut Writes::new());
}

// What the state machine knows.

#[test]
fn a_ping_is_due_after_its_interval_and_its_answer_after_its_timeout() {
    let (test, websocket_id) = Test::websocket();
    let ping = Test::assert_after(test.due(), test.opened, PING_INTERVAL);
    test.expire(just_before(ping));
    assert!(test.frames(websocket_id).is_empty(), "it came early");
    assert_eq!(test.due(), Some(ping));
    test.expire(ping);
    assert_eq!(test.frames(websocket_id), ["2"]);
    assert_eq!(test.due(), Some(ping + PING_TIMEOUT));
    test.expire(just_before(ping + PING_TIMEOUT));
    assert!(test.session.is_open() && test.notes().is_empty());
    test.expire(ping + PING_TIMEOUT);
    assert_eq!(test.notes(), [Note::Closed(CloseReason::PingTimeout)]);
    assert_eq!(test.server.n_sessions(), 0);
}

/// An entry that has become too early is not moved: it is checked when it fires.
#[test]
fn a_pong_puts_off_the_ping_and_leaves_the_entry() {
    let (test, websocket_id) = Test::websocket();
    let ping = test.due().unwrap();
    test.expire(ping);
    assert_eq!(test.frames(websocket_id), ["2"]);
    let answered = ping + PING_TIMEOUT / 2;
    assert!(test.session.receive(Received::Text("3"), false, answered).is_ok());
    assert_eq!(test.due(), Some(ping + PING_TIMEOUT), "it is too early now");
    test.expire(ping + PING_TIMEOUT);
    assert!(test.session.is_open() && test.frames(websocket_id).is_empty());
    assert_eq!(test.due(), Some(answered + PING_INTERVAL));
}

#[test]
fn an_upgrade_is_given_up_at_its_timeout() {
    let test = Test::polling();
    let requested = timed(|| {
        test.session.input(|machine| machine.upgrade_requested(Instant::now())).unwrap();
    });
    let websocket_id = test.session.attach(Writer::Messages, None);
    let due = Test::assert_after(test.due(), requested, UPGRADE_TIMEOUT);
    test.expire(just_before(due));
    assert!(test.session.is_upgrading());
    test.expire(due);
    assert!(!test.session.is_upgrading() && test.session.is_open());
    assert_eq!(test.session.websocket_close_code(websocket_id), Some(1000), "its WebSocket is closed");
    assert_eq!((test.server.metrics().upgrades_failed, test.notes()), (1, vec![]));
}

// The session's own timers, as `Timer` lists them.

#[test]
fn a_websocket_that_does_not_write_its_end_is_dropped_at_its_limit() {
    let (test, websocket_id) = Test::websocket();
    send(&test.session, "nobody takes it");
    let closed = timed(|| test.session.close(CloseReason::ForcedClose));
    assert_eq!(test.notes(), [Note::Closed(CloseReason::ForcedClose)]);
    let limit = Test::assert_after(test.due(), closed, Duration::from_secs(5));
    test.expire(just_before(limit));
    assert_eq!(test.session.ready_state(), ReadyState::Closing);
    test.expire(limit);
    assert_eq!(test.session.ready_state(), ReadyState::Closed);
    assert!(test.frames(websocket_id).is_empty(), "what waited went with it");
    assert_eq!((test.due(), test.notes()), (None, vec![]));
}

#[test]
fn a_websocket_that_has_written_its_end_has_no_limit_any_more() {
    let (test, websocket_id) = Test::websocket();
    test.session.close(CloseReason::ForcedClose);
    test.session.detach(websocket_id, false);
    assert_eq!((test.due(), test.session.ready_state()), (None, ReadyState::Closed));
}

#[test]
fn what_a_pause_keeps_back_is_written_at_its_end() {
    let (test, websocket_id) = Test::websocket();
    let pause = Duration::from_secs(7);
    let pushed = timed(|| test.session.push_alone(&message("alone"), pause, &mut Writes::new()));
    send(&test.session, "kept back");
    assert_eq!(test.frames(websocket_id), ["4alone"]);
    let end = Test::assert_after(test.due(), pushed, pause);
    test.expire(just_before(end));
    assert!(test.frames(websocket_id).is_empty());
    test.expire(end);
    assert_eq!(test.frames(websocket_id), ["4kept back"]);
    Test::assert_after(test.due(), test.opened, PING_INTERVAL);
    send(&test.session, "next");
    assert_eq!(test.frames(websocket_id), ["4next"]);
}

#[test]
fn a_pause_that_was_ended_is_not_due_any_more() {
    let (test, websocket_id) = Test::websocket();
    let pause = Duration::from_secs(7);
    test.session.push_alone(&message("first"), pause, &mut Writes::new());
    send(&test.session, "kept back");
    test.session.push_alone(&message("second"), Duration::ZERO, &mut Writes::new());
    assert_eq!(test.frames(websocket_id), ["4first", "4kept back", "4second"]);
    // The entry has stayed, and does nothing.
    let end = test.due().unwrap();
    test.expire(end + MOMENT);
    assert!(test.frames(websocket_id).is_empty());
    Test::assert_after(test.due(), test.opened, PING_INTERVAL);
}

#[test]
fn long_polling_has_no_pause() {
    let test = Test::polling();
    test.session.push_alone(&message("alone"), Duration::from_secs(7), &mut Writes::new());
    send(&test.session, "behind");
    Test::assert_after(test.due(), test.opened, PING_INTERVAL);
    assert_eq!(test.polled().as_deref(), Some("4alone\x1e4behind"));
}

#[test]
fn the_layer_is_woken_once_at_the_time_that_it_named_last() {
    let (test, _) = Test::websocket();
    let at = |seconds| test.opened[1] + Duration::from_secs(seconds);
    test.session.wake_layer_at(at(20));
    assert_eq!(test.due(), Some(at(20)));
    test.session.wake_layer_at(at(10));
    assert_eq!(test.due(), Some(at(10)));
    test.session.wake_layer_at(at(30));
    assert_eq!(test.due(), Some(at(10)), "an entry that is too early stays");
    test.expire(at(10));
    assert_eq!((test.notes(), test.due()), (vec![], Some(at(30))));
    test.expire(at(30));
    assert_eq!(test.notes(), [Note::Timeout(at(30))]);
    Test::assert_after(test.due(), test.opened, PING_INTERVAL);
}

#[test]
fn the_layer_is_not_woken_for_a_session_that_is_over() {
    let (test, _) = Test::websocket();
    let at = |seconds| test.opened[1] + Duration::from_secs(seconds);
    test.session.wake_layer_at(at(1));
    test.session.close(CloseReason::ForcedClose);
    assert_eq!(test.notes(), [Note::Closed(CloseReason::ForcedClose)]);
    test.session.wake_layer_at(at(1));
    test.expire(at(2));
    assert_eq!(test.notes(), []);
}

#[test]
fn everything_that_is_due_together_happens_together() {
    let (test, websocket_id) = Test::websocket();
    let ping = test.due().unwrap();
    test.session.wake_layer_at(ping);
    test.session.push_alone(&message("alone"), Duration::from_secs(7), &mut Writes::new());
    send(&test.session, "kept back");
    assert_eq!(test.frames(websocket_id), ["4alone"]);
    test.expire(ping);
    assert_eq!(test.frames(websocket_id), ["4kept back", "2"]);
    assert_eq!(test.notes(), [Note::Timeout(ping)]);
    // The end comes first, and then the layer is not woken.
    test.session.wake_layer_at(ping + PING_TIMEOUT);
    test.expire(ping + PING_TIMEOUT);
    assert_eq!(test.notes(), [Note::Closed(CloseReason::PingTimeout)]);
}

// The server's close.

#[test]
fn only_what_has_yet_to_be_said_matters_after_the_servers_close() {
    let (waiting, _) = Test::websocket();
    waiting.session.close(CloseReason::ForcedClose);
    assert!(waiting.session.clone().server_closed(0), "its WebSocket has to write its end");
    let (written, websocket_id) = Test::websocket();
    written.session.close(CloseReason::ForcedClose);
    written.session.detach(websocket_id, false);
    assert!(!written.session.clone().server_closed(0));
    let polling = Test::polling();
    polling.session.close(CloseReason::ForcedClose);
    assert!(!polling.session.clone().server_closed(0));
}

// The layer's first and last word.

#[test]
fn an_end_is_told_behind_the_beginning() {
    for transport in [TransportKind::Polling, TransportKind::WebSocket] {
        let test = open(transport, "/?close");
        let notes = test.server.layer().0.lock().clone();
        assert_eq!(notes, [Note::Opened, Note::Opened, Note::Closed(CloseReason::ForcedClose)]);
        assert_eq!((test.server.n_sessions(), test.session.ready_state()), (0, ReadyState::Closed));
    }
}
