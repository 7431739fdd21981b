//! Options that have been changed while the server runs.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;

use crate::config::Config;

/// The newest options, once they differ from the first.
#[derive(Default)]
pub(crate) struct Changes {
    /// Most servers keep their options, and never look further.
    has_any: AtomicBool,
    newest: RwLock<Option<Arc<Config>>>,
}

/// The options that hold now.
pub(crate) enum Current<'a> {
    First(&'a Config),
    Changed(Arc<Config>),
}

impl Changes {
    pub(crate) fn set(&self, config: Config) {
        *self.newest.write() = Some(Arc::new(config));
        self.has_any.store(true, Ordering::Release);
    }

    pub(crate) fn current<'a>(&self, first: &'a Config) -> Current<'a> {
        if !self.has_any.load(Ordering::Acquire) {
            return Current::First(first);
        }
        self.newest.read().clone().map_or(Current::First(first), Current::Changed)
    }
}

impl Deref for Current<'_> {
    type Target = Config;

    fn deref(&self) -> &Config {
        match self {
            Self::First(config) => config,
            Self::Changed(config) => config,
        }
    }
}
