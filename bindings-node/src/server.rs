//! The class that TypeScript sees, and the answers to what the core asks.

use std::{cell::RefCell, collections::hash_map::Entry, sync::Arc};

use ahash::HashMap;
use ferrio::{DisconnectedSocket, Events, Namespace, OriginDecision, Parser, Server, Socket, Writes};
use ferrio_host::{
    Questions, give_memory_back,
    options::{Language, core_error},
};
use napi::{
    Env, Result,
    bindgen_prelude::{Function, Object},
};
use napi_derive::napi;

use crate::{
    entry_points::EntryPoints,
    error::bad_option,
    options,
    state::{Held, State},
    value::number,
    wake_function::WakeFunction,
    waker::Waker,
};

/// A server of the core, for one JavaScript environment.
#[napi]
pub struct NativeServer {
    pub(crate) server: Server,
    pub(crate) events: Events,
    pub(crate) waker: Arc<Waker>,
    pub(crate) entry_points: EntryPoints,
    pub(crate) state: RefCell<State>,
}

/// A socket that has left, as JavaScript takes it.
#[napi(object)]
pub struct DepartureRecord {
    /// The socket's number.
    pub socket: f64,
    /// Why.
    pub reason: String,
}

/// How much is held for clients and JavaScript, for tests.
#[napi(object)]
pub struct HeldCounts {
    /// Sessions that are open.
    pub connections: u32,
    /// Sockets in any state.
    pub sockets: u32,
    /// Those of them that have neither been let in nor refused.
    pub connect_requests: u32,
    /// Those of them that have left.
    pub disconnected_sockets: u32,
    /// Sessions whose messages JavaScript reads.
    pub parsed: u32,
    /// Questions whose asker still waits.
    pub questions: u32,
    /// HTTP requests under way.
    pub requests: u32,
    /// Streams that Node carries.
    pub streams: u32,
    /// Namespaces of JavaScript.
    pub namespaces: u32,
    /// Namespaces of the core.
    pub core_namespaces: u32,
}

#[napi]
impl NativeServer {
    /// Checks options without making a server; `is_engine` as for one.
    #[napi(catch_unwind)]
    pub fn check_options(env: Env, text: String, is_engine: Option<bool>) -> Result<()> {
        options::parse(env, &text, is_engine.unwrap_or_default()).map(drop)
    }

    /// Makes a server; `wake` is called when there is something to drain, and async hooks see `resource` instead of it. With
    /// `is_engine` it is an Engine.IO server alone.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: Env,
        options: String,
        wake: Function<'_, (), ()>,
        resource: Object<'_>,
        is_engine: Option<bool>,
    ) -> Result<Self> {
        give_memory_back();
        let config = options::parse(env, &options, is_engine.unwrap_or_default())?;
        let waker = Arc::new(Waker::new(WakeFunction::new(env, &wake, &resource)?));
        let entry_points = EntryPoints::new(waker.clone());
        let wake = waker.clone();
        let parsed = (config.parser == Parser::Application).then(HashMap::default);
        let (server, events) = Server::new(config, move || wake.wake())
            .map_err(|error| bad_option(env, &core_error(Language::Node, &error)))?;
        Ok(Self {
            server,
            events,
            waker,
            entry_points,
            state: RefCell::new(State { parsed, ..State::default() }),
        })
    }

    /// Whether a client waits to be let in as this socket.
    #[napi(catch_unwind)]
    pub fn is_pending(&self, socket: f64) -> bool {
        matches!(self.state.borrow().sockets.get(&number(socket)), Some(Held::Pending(_)))
    }

    /// Lets a client in. Returns whether it was still there.
    #[napi(catch_unwind)]
    pub fn accept(&self, socket: f64) -> bool {
        let mut state = self.state.borrow_mut();
        let Some(held) = state.sockets.get_mut(&number(socket)) else { return false };
        let socket = held.socket().clone();
        let Held::Pending(connect_request) = std::mem::replace(held, Held::ConnectAborted(socket.clone()))
        else {
            return false;
        };
        let is_there = connect_request.accept(&mut Writes::new()).is_ok();
        if is_there {
            *held = Held::Joined(socket);
        }
        is_there
    }

    /// Keeps a client out, and forgets its socket.
    #[napi(catch_unwind)]
    pub fn refuse(&self, socket: f64, message: String, data: Option<String>) {
        let mut state = self.state.borrow_mut();
        if let Entry::Occupied(entry) = state.sockets.entry(number(socket))
            && let Held::Pending(_) = entry.get()
            && let Held::Pending(connect_request) = entry.remove()
        {
            connect_request.refuse(&message, data.as_deref(), &mut Writes::new());
        }
    }

    /// Answers which origin may read: `*`, `own`, `=` and an origin, or nothing.
    #[napi(catch_unwind)]
    pub fn answer_origin(&self, question: f64, decision: String) {
        let decision = match decision.as_str() {
            "*" => OriginDecision::Any,
            "own" => OriginDecision::Reflect,
            other => other
                .strip_prefix('=')
                .map_or(OriginDecision::Refused, |origin| OriginDecision::Fixed(origin.to_owned())),
        };
        self.state.borrow_mut().origins.answer(number(question), decision);
    }

    /// Answers whether a namespace exists by now. Returns whether anybody waits for it still.
    #[napi(catch_unwind)]
    pub fn answer_namespace(&self, question: f64, exists: bool) -> bool {
        self.state.borrow_mut().asked_namespaces.answer(number(question), exists)
    }

    /// How many clients are connected.
    #[napi(catch_unwind)]
    pub fn clients_count(&self) -> u32 {
        count(self.server.engine().n_sessions())
    }

    /// How much is held, for tests.
    #[napi(catch_unwind)]
    pub fn held(&self) -> HeldCounts {
        let mut state = self.state.borrow_mut();
        let (requests, streams) = self.entry_points.len();
        let n_sockets = |is: fn(&Held) -> bool| count(state.sockets.values().filter(|held| is(held)).count());
        let connect_requests = n_sockets(|held| matches!(held, Held::Pending(_)));
        let disconnected_sockets =
            n_sockets(|held| matches!(held, Held::Leaving(_) | Held::ConnectAborted(_)));
        HeldCounts {
            connections: count(self.server.engine().n_sessions()),
            sockets: count(state.sockets.len()),
            connect_requests,
            disconnected_sockets,
            parsed: state.parsed.as_ref().map_or(0, |parsed| count(parsed.len())),
            questions: count(
                state.requests.n_open()
                    + state.origins.n_open()
                    + state.asked_namespaces.n_open()
                    + state.asked_headers.n_open(),
            ),
            requests: count(requests),
            streams: count(streams),
            namespaces: count(state.namespaces.len()),
            core_namespaces: count(self.server.namespaces().len()),
        }
    }

    /// Closes everything. What happened until then can still be drained.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.server.close();
        let mut state = self.state.borrow_mut();
        state.is_closed = true;
        // They hold the server.
        state.namespaces.clear();
        state.admin = None;
        // Dropped, they are refusals: a request that nobody answers would keep Node's HTTP server from closing.
        state.requests = Questions::default();
        state.origins = Questions::default();
        state.asked_namespaces = Questions::default();
        state.asked_headers = Questions::default();
        if let Some(parsed) = &mut state.parsed {
            parsed.clear();
        }
        drop(state);
        self.retire();
    }
}

impl NativeServer {
    pub(crate) fn with_socket<T>(&self, key: f64, act: impl FnOnce(&Arc<Socket>) -> T) -> Option<T> {
        let state = self.state.borrow();
        let socket = state.sockets.get(&number(key)).map(|held| held.socket().clone());
        drop(state);
        socket.as_ref().map(act)
    }

    /// A namespace; `None` when it was removed.
    pub(crate) fn find_namespace(&self, namespace: f64) -> Option<Arc<Namespace>> {
        self.state.borrow().namespaces.get(&number(namespace)).cloned()
    }

    /// Keeps disconnected sockets until JavaScript has told of them.
    pub(crate) fn keep_disconnected_sockets(
        &self,
        disconnected_sockets: Vec<DisconnectedSocket>,
    ) -> Vec<DepartureRecord> {
        let mut state = self.state.borrow_mut();
        disconnected_sockets
            .into_iter()
            .map(|disconnected| {
                #[expect(clippy::cast_precision_loss, reason = "keys count up from one")]
                let socket = disconnected.socket().key().0 as f64;
                let reason = disconnected.reason().as_str().to_owned();
                state.leave(disconnected);
                DepartureRecord { socket, reason }
            })
            .collect()
    }

    /// Lets go of JavaScript's function once the server is closed and there is nothing left to wake it for: as long as
    /// it is held, Node keeps all that the function can reach.
    pub(crate) fn retire(&self) {
        if self.state.borrow().is_closed && self.entry_points.is_idle() {
            self.waker.release();
        }
    }
}

impl Drop for NativeServer {
    /// The environment ends, or nobody holds the server any more.
    fn drop(&mut self) {
        self.server.close();
        self.waker.release();
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
