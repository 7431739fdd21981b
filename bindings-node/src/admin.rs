//! The admin UI: what is shown to its clients, and whether they may come in.

use std::{mem, sync::Arc, time::Duration};

use ferrio::runtime;
use ferrio_host::admin::{Admin, AdminOptions, Login, Verdict};
use napi::{Env, Error, Result, Status, Task, bindgen_prelude::AsyncTask};
use napi_derive::napi;

use crate::{error::misuse, server::NativeServer, value::number};

/// What an admin UI is told, and how often.
#[napi(object)]
pub struct AdminSettings {
    /// The name of the admin clients' namespace.
    pub namespace: String,
    /// What tells this server from others.
    pub server_id: String,
    /// The machine's name.
    pub hostname: String,
    /// For how many seconds the server has been running.
    pub uptime: f64,
    /// Whether each socket and event is shown.
    pub shows_all: bool,
    /// Whether commands are carried out.
    pub takes_commands: bool,
    /// Whether headers that carry secrets are shown as they are.
    pub shows_secrets: bool,
    /// Milliseconds from one snapshot of the counters to the next.
    pub interval: f64,
}

#[napi]
impl NativeServer {
    /// Shows the server to admin clients from now on.
    #[napi(catch_unwind)]
    pub fn instrument(&self, settings: AdminSettings) -> Result<()> {
        let duration =
            |seconds| Duration::try_from_secs_f64(seconds).map_err(|_| misuse("no length of time"));
        let options = AdminOptions {
            namespace: settings.namespace,
            server_id: settings.server_id,
            hostname: settings.hostname,
            uptime: duration(settings.uptime)?,
            shows_all: settings.shows_all,
            takes_commands: settings.takes_commands,
            shows_secrets: settings.shows_secrets,
            interval: duration(settings.interval / 1000.0)?,
        };
        self.state.borrow_mut().admin = Some(Admin::new(self.server.clone(), options));
        Ok(())
    }

    /// Shows the server to a client of the admin namespace, until it leaves.
    #[napi(catch_unwind)]
    pub fn show_to(&self, socket: f64) {
        let state = self.state.borrow();
        let held = state.sockets.get(&number(socket));
        if let (Some(admin), Some(held)) = (&state.admin, held) {
            admin.show_to(held.socket().clone());
        }
    }

    /// Shows admin clients what the application keeps with a socket, as JSON text.
    #[napi(catch_unwind)]
    pub fn show_data(&self, socket: f64, data: String) {
        let state = self.state.borrow();
        if let (Some(admin), Some(held)) = (&state.admin, state.sockets.get(&number(socket))) {
            admin.set_data(held.socket().clone(), data);
        }
    }
}

/// Who may log in.
#[napi]
pub struct NativeLogin(Arc<Login>);

#[napi]
impl NativeLogin {
    /// Fails if the hash is none of bcrypt's.
    #[napi(constructor, catch_unwind)]
    pub fn new(username: String, hash: String) -> Result<Self> {
        let login = Login::new(username, hash);
        Ok(Self(Arc::new(login.map_err(|error| Error::new(Status::InvalidArg, error.to_string()))?)))
    }

    /// Whether name and password are right, as a promise; `null` if there were too many attempts.
    #[napi(catch_unwind, ts_return_type = "Promise<boolean | null>")]
    pub fn check(&self, username: String, password: String, address: String) -> AsyncTask<Attempt> {
        AsyncTask::new(Attempt { login: self.0.clone(), username, password, address })
    }
}

/// An attempt to log in, made on a thread of Node's own that may block.
pub struct Attempt {
    login: Arc<Login>,
    username: String,
    password: String,
    address: String,
}

impl Task for Attempt {
    type Output = Option<bool>;
    type JsValue = Option<bool>;

    fn compute(&mut self) -> Result<Self::Output> {
        let (username, password) = (mem::take(&mut self.username), mem::take(&mut self.password));
        Ok(match runtime().block_on(self.login.check(username, password, &self.address)) {
            Verdict::Right => Some(true),
            Verdict::Wrong => Some(false),
            Verdict::TooMany => None,
        })
    }

    fn resolve(&mut self, _: Env, verdict: Self::Output) -> Result<Self::JsValue> {
        Ok(verdict)
    }
}
