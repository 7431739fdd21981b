//! A long-polling body of Engine.IO 3, in its text or its binary form as the first byte says.
#![no_main]

use ferrio_protocol::engine::Protocol;
use libfuzzer_sys::fuzz_target;

#[path = "../payload.rs"]
mod payload;

fuzz_target!(|input: &[u8]| {
    if let Some((first, body)) = input.split_first() {
        let is_binary = first & 1 == 1;
        let supports_binary = first & 2 == 2;
        payload::check(Protocol::V3, body, is_binary, supports_binary);
    }
});
