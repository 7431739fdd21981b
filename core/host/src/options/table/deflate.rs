//! Compression of WebSocket messages.

use ferrio::{Config, PerMessageDeflate};

use crate::options::{
    entry::{
        Entry, Form,
        Spelled::{Both, Node, Python},
        Unit::Bytes,
        entry, own, size, special,
    },
    forms,
};

/// Compression of WebSocket messages.
pub(super) static DEFLATE: &[Entry] = &[
    entry(
        "per_message_deflate",
        Both("perMessageDeflate", "per_message_deflate"),
        Form::Switch(|config, is_on| {
            config.engine.per_message_deflate = is_on.then(PerMessageDeflate::default);
        }),
        "Compression of WebSocket messages (RFC 7692), for clients that offer it. It costs processor time, and memory for \
         each client: what is kept of its earlier messages, up to 32 KiB of those from it and 8 KiB of those to it. \
         Default: off.",
    ),
    entry(
        "per_message_deflate.threshold",
        Both("perMessageDeflate.threshold", "per_message_deflate.threshold"),
        size(|config| &mut deflate(config).threshold, Bytes, 0, usize::MAX),
        "From which length on messages to clients are compressed.",
    ),
    entry(
        "per_message_deflate.server_no_context_takeover",
        Both("perMessageDeflate.serverNoContextTakeover", "per_message_deflate.server_no_context_takeover"),
        special("a boolean", "as the client asks", forms::server_no_context_takeover),
        "Whether the server compresses each message by itself, without looking back at earlier ones. If false, a client \
         that asks for it gets no compression.",
    ),
    entry(
        "per_message_deflate.client_no_context_takeover",
        Both("perMessageDeflate.clientNoContextTakeover", "per_message_deflate.client_no_context_takeover"),
        Form::Flag(|config| &mut deflate(config).client_no_context_takeover),
        "Whether clients have to compress each message by itself. The server then keeps nothing of their messages.",
    ),
    entry(
        "per_message_deflate.server_max_window_bits",
        Both("perMessageDeflate.serverMaxWindowBits", "per_message_deflate.server_max_window_bits"),
        special(
            "a whole number from 8 to 15, or a boolean",
            "as the client asks",
            forms::server_max_window_bits,
        ),
        "How far the server looks back: over 2 to the power of so many bytes. A client that wants it to look back less \
         gets no compression; if false, neither does any that has a wish.",
    ),
    entry(
        "per_message_deflate.client_max_window_bits",
        Both("perMessageDeflate.clientMaxWindowBits", "per_message_deflate.client_max_window_bits"),
        special(
            "a whole number from 8 to 15, or a boolean",
            "as the client asks",
            forms::client_max_window_bits,
        ),
        "How far clients may look back, likewise. One that cannot be told so gets no compression.",
    ),
    entry(
        "per_message_deflate.max_memory",
        Both("perMessageDeflate.maxMemory", "per_message_deflate.max_memory"),
        size(|config| &mut deflate(config).max_memory, Bytes, 0, usize::MAX),
        "How much is kept of earlier messages of all clients together. Each new client has all that it may need reserved, \
         32 KiB unless its window is smaller. Beyond, messages are compressed each by itself.",
    ),
    entry(
        "per_message_deflate.level",
        Python("per_message_deflate.level"),
        special("a whole number from -1 to 9", "that of zlib", forms::deflate_level),
        "How much work is put into compression: from 0, none, to 9; -1 for zlib's default, which is 6.",
    ),
    entry(
        "per_message_deflate.zlib_deflate_options",
        Node("perMessageDeflate.zlibDeflateOptions"),
        Form::Group,
        "Options of zlib for messages to clients. All but `level` are without effect: a thread has one compressor for all \
         its connections.",
    ),
    entry(
        "per_message_deflate.level",
        Node("perMessageDeflate.zlibDeflateOptions.level"),
        special("a whole number from -1 to 9", "that of zlib", forms::deflate_level),
        "How much work is put into compression: from 0, none, to 9; -1 for zlib's default, which is 6.",
    ),
    entry(
        "per_message_deflate.zlib_inflate_options",
        Node("perMessageDeflate.zlibInflateOptions"),
        own("an object", "none"),
        "Options of zlib for messages from clients. Taken for compatibility, without effect.",
    ),
    entry(
        "per_message_deflate.concurrency_limit",
        Node("perMessageDeflate.concurrencyLimit"),
        own("a number", "none"),
        "Taken for compatibility, without effect: the I/O threads compress, as many as there are.",
    ),
];

fn deflate(config: &mut Config) -> &mut PerMessageDeflate {
    config.engine.per_message_deflate.get_or_insert_default()
}
