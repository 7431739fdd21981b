//! The class that TypeScript sees, and the answers to what the core asks.

use std::{cell::RefCell, sync::Arc};

use ahash::HashMap;
use ferrio::{
    Admission, Answer, Config, Departure, Events, Namespace, OriginDecision, Server, Socket, Writes,
};
use napi::{Result, bindgen_prelude::Function};
use napi_derive::napi;
use slab::Slab;

use crate::{
    callback::{Crossing, Waker},
    doors::{Doors, Outlet},
    error::{bad_option, misuse},
    options,
};

/// A server of the core, for one JavaScript environment.
#[napi]
pub struct NativeServer {
    pub(crate) server: Server,
    pub(crate) events: Events,
    pub(crate) waker: Arc<Waker>,
    pub(crate) doors: Doors,
    pub(crate) state: RefCell<State>,
}

/// What JavaScript names by numbers.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) sockets: HashMap<u64, Arc<Socket>>,
    pub(crate) namespaces: Slab<Arc<Namespace>>,
    pub(crate) admissions: Slab<Admission>,
    pub(crate) departures: Slab<Departure>,
    pub(crate) requests: Slab<Answer<std::result::Result<(), String>>>,
    pub(crate) origins: Slab<Answer<OriginDecision>>,
    pub(crate) asked_namespaces: Slab<Answer<bool>>,
    pub(crate) crossing: Crossing,
}

/// A socket that has left, as JavaScript takes it.
#[napi(object)]
pub struct DepartureRecord {
    /// The socket's number.
    pub socket: f64,
    /// The departure's number.
    pub departure: u32,
    /// Why.
    pub reason: String,
}

fn parse(text: &str) -> Result<Config> {
    let config = options::parse(text)?;
    config.validate().map_err(|error| bad_option(&error))?;
    Ok(config)
}

#[napi]
impl NativeServer {
    /// Checks options without making a server.
    #[napi(catch_unwind)]
    pub fn check_options(text: String) -> Result<()> {
        parse(&text).map(drop)
    }

    /// Makes a server; `wake` is called when there is something to drain.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: String, wake: Function<'_, (), ()>) -> Result<Self> {
        let waker = Arc::new(Waker::new(&wake)?);
        let doors = Doors::new(Arc::new(Outlet::new(waker.clone())));
        let wake = waker.clone();
        let (server, events) =
            Server::new(parse(&options)?, move || wake.wake()).map_err(|error| bad_option(&error))?;
        Ok(Self { server, events, waker, doors, state: RefCell::default() })
    }

    /// Lets a client in. Returns whether it was still there.
    #[napi(catch_unwind)]
    pub fn accept(&self, admission: u32) -> Result<bool> {
        let admission = self.state.borrow_mut().admissions.try_remove(admission as usize);
        let admission = admission.ok_or_else(|| misuse("unknown admission"))?;
        Ok(admission.accept(&mut Writes::new()).is_ok())
    }

    /// Keeps a client out.
    #[napi(catch_unwind)]
    pub fn refuse(&self, admission: u32, message: String, data: Option<String>) -> Result<()> {
        let admission = self.state.borrow_mut().admissions.try_remove(admission as usize);
        let admission = admission.ok_or_else(|| misuse("unknown admission"))?;
        admission.refuse(&message, data.as_deref(), &mut Writes::new());
        Ok(())
    }

    /// Answers whether a request may open a session; with a refusal, what the client is told.
    #[napi(catch_unwind)]
    pub fn answer_request(&self, question: u32, refusal: Option<String>) {
        if let Some(answer) = self.state.borrow_mut().requests.try_remove(question as usize) {
            answer.send(refusal.map_or(Ok(()), Err));
        }
    }

    /// Answers which origin may read: `*`, `own`, `=` and an origin, or nothing.
    #[napi(catch_unwind)]
    pub fn answer_origin(&self, question: u32, decision: String) {
        let decision = match decision.as_str() {
            "*" => OriginDecision::Any,
            "own" => OriginDecision::Reflect,
            other => other
                .strip_prefix('=')
                .map_or(OriginDecision::Refused, |origin| OriginDecision::Fixed(origin.to_owned())),
        };
        if let Some(answer) = self.state.borrow_mut().origins.try_remove(question as usize) {
            answer.send(decision);
        }
    }

    /// Answers whether a namespace exists by now.
    #[napi(catch_unwind)]
    pub fn answer_namespace(&self, question: u32, exists: bool) {
        if let Some(answer) = self.state.borrow_mut().asked_namespaces.try_remove(question as usize) {
            answer.send(exists);
        }
    }

    /// How many clients are connected.
    #[napi(catch_unwind)]
    pub fn clients_count(&self) -> u32 {
        u32::try_from(self.server.n_connections()).unwrap_or(u32::MAX)
    }

    /// Closes everything. What happened until then can still be drained.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.server.close();
    }
}

impl NativeServer {
    pub(crate) fn with_socket<T>(&self, key: f64, act: impl FnOnce(&Arc<Socket>) -> T) -> Option<T> {
        let socket = self.state.borrow().sockets.get(&number(key)).cloned();
        socket.as_ref().map(act)
    }

    pub(crate) fn find_namespace(&self, namespace: u32) -> Result<Arc<Namespace>> {
        let state = self.state.borrow();
        state.namespaces.get(namespace as usize).cloned().ok_or_else(|| misuse("unknown namespace"))
    }

    /// Keeps departures until JavaScript has told of them.
    pub(crate) fn keep_departures(&self, departures: Vec<Departure>) -> Vec<DepartureRecord> {
        let mut state = self.state.borrow_mut();
        departures
            .into_iter()
            .map(|departure| {
                #[expect(clippy::cast_precision_loss, reason = "keys count up from one")]
                let socket = departure.socket().key().0 as f64;
                let reason = departure.reason().as_str().to_owned();
                let departure = u32::try_from(state.departures.insert(departure)).unwrap_or(u32::MAX);
                DepartureRecord { socket, departure, reason }
            })
            .collect()
    }
}

impl State {
    /// Ends what JavaScript has finished telling of.
    pub(crate) fn depart(&mut self, departure: usize) {
        if let Some(departure) = self.departures.try_remove(departure) {
            self.sockets.remove(&departure.socket().key().0);
            departure.finish();
        }
    }
}

impl Drop for NativeServer {
    /// The environment ends, or nobody holds the server any more.
    fn drop(&mut self) {
        self.server.close();
    }
}

/// A number that JavaScript got from here.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "keys and tokens are whole and positive"
)]
pub(crate) fn number(value: f64) -> u64 {
    value as u64
}
