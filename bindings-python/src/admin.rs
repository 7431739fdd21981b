//! The admin UI: what is shown to its clients, and who may be one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ferrio_host::admin::{self, AdminOptions, Verdict};
use pyo3::{exceptions::PyValueError, prelude::*};

use crate::{bridge::Bridge, futures::Outcome, pending, process::Own};

/// The options of an admin UI, as the package has them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Settings {
    namespace: String,
    server_id: String,
    hostname: String,
    /// For how many seconds the server has been running.
    uptime: f64,
    shows_all: bool,
    takes_commands: bool,
    shows_secrets: bool,
    /// Seconds from one snapshot of the counters to the next.
    interval: f64,
}

impl Settings {
    pub(crate) fn into_options(self) -> PyResult<AdminOptions> {
        let duration = |seconds| {
            Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))
        };
        Ok(AdminOptions {
            namespace: self.namespace,
            server_id: self.server_id,
            hostname: self.hostname,
            uptime: duration(self.uptime)?,
            shows_all: self.shows_all,
            takes_commands: self.takes_commands,
            shows_secrets: self.shows_secrets,
            interval: duration(self.interval)?,
        })
    }
}

/// How often somebody may try to log in.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Attempts(admin::Attempts);

#[pymethods]
impl Attempts {
    #[new]
    fn new() -> Self {
        Self(admin::Attempts::default())
    }

    /// Counts an attempt from an address. Returns whether it may be made.
    fn begin(&self, address: &str) -> bool {
        self.0.begin(address, Instant::now())
    }

    /// The attempt was right.
    fn succeeded(&self, address: &str) {
        self.0.succeeded(address);
    }
}

/// Lets those in who know a name and its password. For one process: another makes its own.
#[pyclass(frozen, module = "ferrio._native")]
pub(crate) struct Login(Own<Arc<admin::Login>>);

#[pymethods]
impl Login {
    #[new]
    fn new(username: String, hash: String) -> PyResult<Self> {
        let login = admin::Login::new(username, hash);
        Ok(Self(Own::new(Arc::new(login.map_err(|error| PyValueError::new_err(error.to_string()))?))))
    }
}

impl Login {
    /// Whether name and password are right: `True`, `False`, or `None` if there were too many attempts; or a `Pending`
    /// that comes to it.
    pub(crate) fn check(
        &self,
        py: Python<'_>,
        bridge: &Bridge,
        username: String,
        password: String,
        address: String,
    ) -> PyResult<Py<PyAny>> {
        let login = self.0.here()?.clone();
        let work = async move {
            let verdict = match login.check(username, password, &address).await {
                Verdict::Right => Some(true),
                Verdict::Wrong => Some(false),
                Verdict::TooMany => None,
            };
            Box::new(move |py: Python<'_>| Ok(verdict.into_pyobject(py)?.unbind())) as Outcome
        };
        pending::start(py, bridge, Box::pin(work))
    }
}
