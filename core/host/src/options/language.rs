//! The host languages, and what their packages do where nothing is said.

use ferrio::{Config, Cors, Origin};

/// A host language, with its spelling and its unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// camelCase and milliseconds, as in socket.io.
    Node,
    /// `snake_case` and seconds, as in python-socketio.
    Python,
}

impl Language {
    /// The configuration where nothing is given.
    pub fn defaults(self) -> Config {
        match self {
            // Patterns and functions for namespaces may be added at any time.
            Self::Node => Config { ask_namespace: true, ..Config::default() },
            Self::Python => Config {
                engine: ferrio_engine::Config { cors: Some(python_cors()), ..Config::default().engine },
                ..Config::default()
            },
        }
    }
}

/// python-socketio's rules: pages of the same host only, for WebSockets too.
fn python_cors() -> Cors {
    Cors {
        origin: Origin::SameHost,
        methods: "OPTIONS, GET, POST".to_owned(),
        credentials: true,
        enforce: true,
        ..Cors::default()
    }
}
