//! The table: what the options are called, where they go, what they accept and what they mean.

use super::{entry::Entry, language::Language};

mod deflate;
mod http;
mod limits;
mod own;
mod sockets;
mod transport;

/// Every option, in the order of the documentation.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    [
        transport::TRANSPORT,
        http::HTTP,
        deflate::DEFLATE,
        sockets::SOCKETS,
        limits::LIMITS,
        limits::OUTBOX,
        own::NODE,
        own::PYTHON,
    ]
    .into_iter()
    .flatten()
}

/// What a field of [`Config`](ferrio::Config) is called in a language; its own name where the language has no option for
/// it.
pub fn spelling(language: Language, name: &str) -> &str {
    entries().filter(|entry| entry.name == name).find_map(|entry| entry.spelling(language)).unwrap_or(name)
}
