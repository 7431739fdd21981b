//! Text, bytes and numbers from and to JavaScript.

use bytes::Bytes;
use napi::{Env, JsString, Result, bindgen_prelude::BufferSlice};

/// From this size on JavaScript gets the memory itself; below, a copy is cheaper than the finalizer.
const EXTERNAL: usize = 16 << 10;

/// JSON text for `JSON.parse`. Text in ASCII, the usual case, becomes a string of one byte a character.
pub(crate) fn string<'env>(env: &'env Env, text: &str) -> Result<JsString<'env>> {
    if text.is_ascii() { env.create_string_latin1(text) } else { env.create_string(text) }
}

/// Bytes as a `Buffer`.
pub(crate) fn buffer(env: &Env, bytes: Bytes) -> Result<BufferSlice<'_>> {
    if bytes.len() < EXTERNAL {
        BufferSlice::copy_from(env, bytes)
    } else {
        BufferSlice::from_data(env, bytes)
    }
}

/// Appends a text as JSON.
pub(crate) fn push_json(out: &mut String, text: &str) {
    let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Appends an array of texts as JSON.
pub(crate) fn push_json_list<'a>(out: &mut String, texts: impl IntoIterator<Item = &'a str>) {
    out.push('[');
    for (idx, text) in texts.into_iter().enumerate() {
        if idx > 0 {
            out.push(',');
        }
        push_json(out, text);
    }
    out.push(']');
}

/// A key, token or id as a number for JavaScript.
#[expect(clippy::cast_precision_loss, reason = "they count up from zero")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}

/// A number that JavaScript got from here.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "keys and tokens are whole and positive"
)]
pub(crate) fn number(value: f64) -> u64 {
    value as u64
}
