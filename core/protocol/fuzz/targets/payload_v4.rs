//! A long-polling body of Engine.IO 4.
#![no_main]

use ferrio_protocol::engine::Protocol;
use libfuzzer_sys::fuzz_target;

#[path = "../payload.rs"]
mod payload;

fuzz_target!(|body: &[u8]| payload::check(Protocol::V4, body, false, true));
