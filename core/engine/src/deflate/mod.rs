//! Compression of WebSocket messages: [RFC 7692](https://www.rfc-editor.org/rfc/rfc7692), `permessage-deflate`.
//!
//! What makes it expensive elsewhere is a compressor and a decompressor for each connection, some 300 KiB. Here each I/O
//! thread has one of both, and a connection keeps only what they look back at: the end of its earlier messages, as long as
//! these were. It is given to them as a dictionary before each message.
//!
//! | file | job |
//! |---|---|
//! | `negotiation` | offers and answers in the handshake |
//! | `window`, `memory` | what is kept of earlier messages, and how much of all connections together |
//! | `deflater`, `inflater` | the two directions of a connection |

mod deflater;
mod inflater;
mod memory;
mod negotiation;
mod window;

pub(crate) use self::{
    deflater::Deflater,
    inflater::{InflateError, Inflater},
    negotiation::{Agreed, Terms},
};
