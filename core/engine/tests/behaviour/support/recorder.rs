//! A layer that tells a test what it hears, and leaves to the test what it is asked.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use ferrio_engine::{
    Admitted, CloseReason, Data, Layer, OriginDecision, PacketType, Refusal, RequestHead, SessionEvent, Turn,
    Wait,
};
use http::HeaderMap;
use tokio::sync::{
    Semaphore,
    mpsc::{Receiver, Sender, channel},
    oneshot,
};

use ferrio_testing::in_time;

pub(crate) type Session = ferrio_engine::Session<Recorder>;

/// More than any test leaves unheard.
const MAX_TOLD: usize = 100_000;

/// What a layer is told, in the order in which it happens.
#[derive(Debug)]
pub(crate) enum Told {
    Opened(Arc<Session>),
    Message(Arc<Session>, Content),
    Closed(Arc<Session>, CloseReason),
    Timeout(Arc<Session>),
    /// An event, in words.
    Event(String),
    /// A turn that was given to a message is over.
    TurnOver,
    Admit(RequestHead, oneshot::Sender<Result<Admitted, Refusal>>),
    Origin(oneshot::Sender<OriginDecision>),
    /// Whether the request opens a session, the headers so far, and where those of the answer go.
    Headers(bool, HeaderMap, oneshot::Sender<HeaderMap>),
    Refused(RequestHead, Refusal),
}

/// A message that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Text(String),
    Binary(Vec<u8>),
}

/// What the layer does besides telling.
#[derive(Default)]
pub(crate) struct Manner {
    /// Has the test decide about handshakes.
    pub(crate) asks_to_admit: bool,
    /// Has the test decide about headers.
    pub(crate) asks_for_headers: bool,
    /// Sends every message back.
    pub(crate) echoes: bool,
    /// Called when the layer has told that a session has opened.
    pub(crate) opened: Option<fn(&Arc<Session>)>,
    /// Called when the layer has told of a message.
    pub(crate) message: Option<fn(&Arc<Session>)>,
    /// Called when the layer has told of an end.
    pub(crate) closed: Option<fn(&Arc<Session>)>,
}

pub(crate) struct Recorder {
    told: Sender<Told>,
    manner: Manner,
    pub(crate) gate: Arc<Gate>,
}

/// Where messages wait for their turn.
#[derive(Default)]
pub(crate) struct Gate {
    is_shut: AtomicBool,
    n_waited: AtomicUsize,
    turns: Turns,
}

struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Gate {
    /// Has every message wait from now on.
    pub(crate) fn shut(&self) {
        self.is_shut.store(true, Ordering::SeqCst);
    }

    /// Has no message wait that comes from now on.
    pub(crate) fn open(&self) {
        self.is_shut.store(false, Ordering::SeqCst);
    }

    /// Gives a turn to so many of those that wait.
    pub(crate) fn give_turns(&self, n: usize) {
        self.turns.0.add_permits(n);
    }

    /// How many messages had to wait so far.
    pub(crate) fn n_waited(&self) -> usize {
        self.n_waited.load(Ordering::SeqCst)
    }
}

/// What the layer keeps with a session: closed, it has ended.
pub(crate) struct Life(Semaphore);

/// Tells that it is dropped.
struct GivenTurn(Sender<Told>);

impl Drop for GivenTurn {
    fn drop(&mut self) {
        let _ = self.0.try_send(Told::TurnOver);
    }
}

impl Recorder {
    pub(crate) fn new(manner: Manner) -> (Self, Heard) {
        let (told, heard) = channel(MAX_TOLD);
        (Self { told, manner, gate: Arc::default() }, Heard(heard))
    }

    fn tell(&self, told: Told) {
        // A test may end before its server does.
        let _ = self.told.try_send(told);
    }
}

impl Layer for Recorder {
    type State = Life;

    fn state(&self) -> Life {
        Life(Semaphore::new(0))
    }

    fn opened(session: &Arc<Session>) {
        session.layer().tell(Told::Opened(session.clone()));
        if let Some(opened) = session.layer().manner.opened {
            opened(session);
        }
    }

    fn message(session: &Arc<Session>, message: Data<'_>, _: std::time::Instant) {
        let recorder = session.layer();
        if recorder.manner.echoes {
            session.send(&message, ferrio_engine::SendOptions::default());
        }
        recorder.tell(Told::Message(session.clone(), Content::of(&message)));
        if let Some(message) = recorder.manner.message {
            message(session);
        }
    }

    fn closed(session: &Arc<Session>, reason: CloseReason) {
        session.state().0.close();
        session.layer().tell(Told::Closed(session.clone(), reason));
        if let Some(closed) = session.layer().manner.closed {
            closed(session);
        }
    }

    fn timeout(session: &Arc<Session>, _: std::time::Instant) {
        session.layer().tell(Told::Timeout(session.clone()));
    }

    fn event(session: &Arc<Session>, event: SessionEvent<'_>) {
        session.layer().tell(Told::Event(in_words(event)));
    }

    fn backpressure(session: &Arc<Session>, _: Option<&Data<'_>>) -> Option<Wait> {
        let recorder = session.layer();
        if !recorder.gate.is_shut.load(Ordering::SeqCst) {
            return None;
        }
        recorder.gate.n_waited.fetch_add(1, Ordering::SeqCst);
        let session = session.clone();
        Some(Box::pin(async move {
            let recorder = session.layer();
            tokio::select! {
                turn = recorder.gate.turns.0.acquire() => turn.expect("it is never closed").forget(),
                _ = session.state().0.acquire() => return Box::new(()) as Turn,
            }
            Box::new(GivenTurn(recorder.told.clone())) as Turn
        }))
    }

    async fn admit(&self, head: &RequestHead) -> Result<Admitted, Refusal> {
        if !self.manner.asks_to_admit {
            return Ok(Admitted::default());
        }
        let (answer, decision) = oneshot::channel();
        self.tell(Told::Admit(head.clone(), answer));
        decision.await.unwrap_or_else(|_| Err(Refusal::forbidden(String::new())))
    }

    async fn origin(&self, _: &RequestHead) -> Result<OriginDecision, Refusal> {
        let (answer, decision) = oneshot::channel();
        self.tell(Told::Origin(answer));
        Ok(decision.await.unwrap_or(OriginDecision::Refused))
    }

    async fn headers(&self, _: &RequestHead, is_first: bool, headers: &mut HeaderMap) {
        if !self.manner.asks_for_headers {
            return;
        }
        let (answer, decision) = oneshot::channel();
        self.tell(Told::Headers(is_first, headers.clone(), answer));
        if let Ok(decided) = decision.await {
            *headers = decided;
        }
    }

    fn refused(&self, head: &RequestHead, refusal: &Refusal) {
        self.tell(Told::Refused(head.clone(), refusal.clone()));
    }
}

impl Content {
    fn of(data: &Data<'_>) -> Self {
        match data {
            Data::Text(text) => Self::Text((*text).to_owned()),
            Data::Binary(bytes) => Self::Binary(bytes.to_vec()),
        }
    }
}

fn in_words(event: SessionEvent<'_>) -> String {
    let packet = |kind: PacketType, data: &Data<'_>| match Content::of(data) {
        Content::Text(text) => format!("{kind:?} {text}").trim_end().to_owned(),
        Content::Binary(bytes) => format!("{kind:?} {bytes:?}"),
    };
    match event {
        SessionEvent::Packet(kind, data) => format!("packet {}", packet(kind, data)),
        SessionEvent::PacketCreate(kind, data, true) => format!("packetCreate {}", packet(kind, data)),
        SessionEvent::PacketCreate(kind, data, false) => format!("plain packetCreate {}", packet(kind, data)),
        SessionEvent::Heartbeat => "heartbeat".to_owned(),
        SessionEvent::Flush => "flush".to_owned(),
        SessionEvent::Drain => "drain".to_owned(),
        SessionEvent::Upgrading => "upgrading".to_owned(),
        SessionEvent::Upgrade => "upgrade".to_owned(),
        other => panic!("{other:?} has no words"),
    }
}

/// What the layer was told: takes one after the other and insists on its kind. What was refused is looked for only where
/// a test asks for it.
pub(crate) struct Heard(Receiver<Told>);

impl Heard {
    pub(crate) async fn next_of_all(&mut self) -> Told {
        in_time(self.0.recv()).await.expect("the server is there")
    }

    pub(crate) async fn next(&mut self) -> Told {
        loop {
            match self.next_of_all().await {
                Told::Refused(..) => {}
                told => return told,
            }
        }
    }

    pub(crate) async fn opened(&mut self) -> Arc<Session> {
        match self.next().await {
            Told::Opened(session) => session,
            other => panic!("a session was to open, not {other:?}"),
        }
    }

    /// The session of the message that comes next, and the message.
    pub(crate) async fn message(&mut self) -> (Arc<Session>, Content) {
        match self.next().await {
            Told::Message(session, content) => (session, content),
            other => panic!("a message was due, not {other:?}"),
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.message().await.1 {
            Content::Text(text) => text,
            Content::Binary(data) => panic!("a text was due, not {data:?}"),
        }
    }

    pub(crate) async fn binary(&mut self) -> Vec<u8> {
        match self.message().await.1 {
            Content::Text(text) => panic!("a binary message was due, not {text}"),
            Content::Binary(data) => data,
        }
    }

    pub(crate) async fn closed(&mut self) -> (Arc<Session>, CloseReason) {
        match self.next().await {
            Told::Closed(session, reason) => (session, reason),
            other => panic!("the end of a session was due, not {other:?}"),
        }
    }

    /// The reason of the end that comes next.
    pub(crate) async fn reason(&mut self) -> &'static str {
        self.closed().await.1.as_str()
    }

    pub(crate) async fn event(&mut self) -> String {
        match self.next().await {
            Told::Event(event) => event,
            other => panic!("an event was due, not {other:?}"),
        }
    }

    /// The question whether a client may come.
    pub(crate) async fn admit(&mut self) -> (RequestHead, oneshot::Sender<Result<Admitted, Refusal>>) {
        match self.next().await {
            Told::Admit(head, answer) => (head, answer),
            other => panic!("a handshake was due, not {other:?}"),
        }
    }

    pub(crate) async fn origin(&mut self) -> oneshot::Sender<OriginDecision> {
        match self.next().await {
            Told::Origin(answer) => answer,
            other => panic!("a question about an origin was due, not {other:?}"),
        }
    }

    pub(crate) async fn headers(&mut self) -> (bool, HeaderMap, oneshot::Sender<HeaderMap>) {
        match self.next().await {
            Told::Headers(is_first, headers, answer) => (is_first, headers, answer),
            other => panic!("a question about headers was due, not {other:?}"),
        }
    }

    pub(crate) async fn refused(&mut self) -> (RequestHead, Refusal) {
        match self.next_of_all().await {
            Told::Refused(head, refusal) => (head, refusal),
            other => panic!("a refusal was due, not {other:?}"),
        }
    }

    /// What waits at the moment, refusals apart.
    pub(crate) fn waiting(&mut self) -> Vec<Told> {
        let waiting = std::iter::from_fn(|| self.0.try_recv().ok());
        waiting.filter(|told| !matches!(told, Told::Refused(..))).collect()
    }

    /// Sees that nothing waits at the moment.
    pub(crate) fn assert_silent(&mut self) {
        let waiting = self.waiting();
        assert!(waiting.is_empty(), "nothing was due, not {waiting:?}");
    }
}
