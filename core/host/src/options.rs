//! The options of a server: one table for all languages.
//!
//! An [`Entry`] says what an option is called in each language, which field of [`Config`](ferrio::Config) it sets, what
//! it accepts, and what it means. The rest follows from the table: how a binding's values become a `Config`
//! ([`read()`]), what an application is told about a bad one ([`OptionError`]), and the documentation ([`document`]).
//!
//! A new option of the core is one entry in `table/`, and its declaration in each package; tests compare them.

pub use self::{
    entry::Entry,
    error::{OptionError, core_error},
    fault::ErrorKind,
    language::Language,
    read::read,
    table::{entries, spelling},
    value::Value,
};

pub mod document;
mod entry;
mod error;
mod fault;
mod forms;
mod language;
mod read;
mod table;
mod value;

#[cfg(test)]
mod tests;
