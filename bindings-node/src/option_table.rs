//! The table of options, for `options.ts` and for tests.

use ferrio_host::options::{
    self,
    Language::Node,
    document::{plain_type, text},
};
use napi_derive::napi;

use crate::server::NativeServer;

/// One option, as the table has it.
#[napi(object)]
pub struct OptionEntry {
    /// Its name, dotted where it is nested.
    pub name: String,
    /// Whether the core reads it.
    pub is_read: bool,
    /// Its type, if it is one plain type.
    pub plain_type: Option<String>,
    /// What the package's documentation says of it.
    pub text: String,
}

#[napi]
impl NativeServer {
    /// Every option.
    #[napi(catch_unwind)]
    pub fn option_table() -> Vec<OptionEntry> {
        let entry = |entry: &options::Entry| {
            Some(OptionEntry {
                name: entry.spelling(Node)?.to_owned(),
                is_read: entry.is_read(),
                plain_type: plain_type(entry, Node).map(str::to_owned),
                text: text(entry, Node),
            })
        };
        options::entries().filter_map(entry).collect()
    }
}
