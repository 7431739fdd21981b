//! What client and server agree on in the handshake.
//!
//! See [RFC 7692, sections 5 and 7.1](https://www.rfc-editor.org/rfc/rfc7692#section-5), and
//! [RFC 6455, section 9.1](https://www.rfc-editor.org/rfc/rfc6455#section-9.1) for the header.

use std::{borrow::Cow, fmt::Write as _};

use crate::{
    config::{PerMessageDeflate, WindowBits},
    deflate::{deflater::Deflater, inflater::Inflater, memory::Memory},
};

const NAME: &str = "permessage-deflate";

/// A `Sec-WebSocket-Extensions` header that is none: the handshake fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MalformedHeader;

/// On what terms a server compresses messages.
#[derive(Debug)]
pub(crate) struct Terms {
    options: PerMessageDeflate,
    memory: Memory,
}

/// What was agreed on.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) deflater: Deflater,
    pub(crate) inflater: Inflater,
    /// Messages of at least this many bytes are compressed.
    pub(crate) threshold: usize,
}

/// Parameters, of an offer or of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<ClientBits>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientBits {
    /// Whatever the server says.
    Any,
    AtMost(u8),
}

impl Terms {
    pub(crate) fn new(options: PerMessageDeflate) -> Self {
        Self { memory: Memory::new(options.max_memory), options }
    }

    /// Looks for an offer that can be accepted. Returns what was agreed on with the header that says so, or `None` when
    /// messages are not to be compressed.
    pub(crate) fn negotiate<'a>(
        &self,
        lines: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<(Agreed, String)>, MalformedHeader> {
        let mut accepted = None;
        for line in lines {
            let line = std::str::from_utf8(line).map_err(|_| MalformedHeader)?;
            let mut text = Text(line);
            // All of the header is read, though the first offer that fits is taken: it has to be well-formed.
            while let Some((name, parameters)) = text.next_extension()? {
                if accepted.is_none() && name == NAME {
                    accepted = parameters.and_then(|offer| accept(offer, &self.options));
                }
            }
        }
        Ok(accepted.map(|answer| self.agree(answer)))
    }

    fn agree(&self, mut answer: Parameters) -> (Agreed, String) {
        let client_window = match answer.client_max_window_bits {
            Some(ClientBits::AtMost(bits)) => 1 << bits,
            _ => 1 << 15,
        };
        // A client may always be told to do without.
        let mut heard = self.memory.share();
        answer.client_no_context_takeover |= !heard.grow_to(client_window);
        if answer.client_no_context_takeover {
            heard.give_back();
        }
        let window = if answer.client_no_context_takeover { 0 } else { client_window };
        let server_bits = answer.server_max_window_bits.unwrap_or(15);
        let keeps_context = !answer.server_no_context_takeover;
        let agreed = Agreed {
            deflater: Deflater::new(&self.options, server_bits, keeps_context, self.memory.share()),
            inflater: Inflater::new(window, heard),
            threshold: self.options.threshold,
        };
        (agreed, answer.header())
    }
}

/// The answer to an offer, `None` when it is declined. As npm's `ws` answers with the same options.
fn accept(offer: Parameters, options: &PerMessageDeflate) -> Option<Parameters> {
    let server_no_context_takeover =
        match (options.server_no_context_takeover, offer.server_no_context_takeover) {
            (Some(false), true) => return None,
            (wanted, offered) => offered || wanted == Some(true),
        };
    let server_max_window_bits = match (options.server_max_window_bits, offer.server_max_window_bits) {
        (WindowBits::Full, Some(_)) => return None,
        (WindowBits::Exactly(bits), Some(offered)) if bits > offered => return None,
        (WindowBits::Exactly(bits), _) => Some(bits),
        (_, offered) => offered,
    };
    let client_max_window_bits = match (options.client_max_window_bits, offer.client_max_window_bits) {
        (WindowBits::Exactly(_), None) => return None,
        (WindowBits::Exactly(bits), Some(ClientBits::AtMost(offered))) if bits > offered => return None,
        (WindowBits::Exactly(bits), _) => Some(ClientBits::AtMost(bits)),
        (WindowBits::Offered, Some(ClientBits::AtMost(offered))) => Some(ClientBits::AtMost(offered)),
        _ => None,
    };
    Some(Parameters {
        server_no_context_takeover,
        client_no_context_takeover: offer.client_no_context_takeover || options.client_no_context_takeover,
        server_max_window_bits,
        client_max_window_bits,
    })
}

impl Parameters {
    /// Adds one. `None` for what makes an offer one to decline: an unknown name, a name that stands twice, a value that is
    /// not allowed.
    fn add(mut self, name: &str, value: Option<&str>) -> Option<Self> {
        let is_first = match (name, value) {
            ("server_no_context_takeover", None) => {
                !std::mem::replace(&mut self.server_no_context_takeover, true)
            }
            ("client_no_context_takeover", None) => {
                !std::mem::replace(&mut self.client_no_context_takeover, true)
            }
            ("server_max_window_bits", Some(value)) => {
                self.server_max_window_bits.replace(window_bits(value)?).is_none()
            }
            ("client_max_window_bits", value) => {
                let bits = value
                    .map_or(Some(ClientBits::Any), |value| window_bits(value).map(ClientBits::AtMost))?;
                self.client_max_window_bits.replace(bits).is_none()
            }
            _ => false,
        };
        is_first.then_some(self)
    }

    fn header(self) -> String {
        let mut header = NAME.to_owned();
        if self.server_no_context_takeover {
            header.push_str("; server_no_context_takeover");
        }
        if self.client_no_context_takeover {
            header.push_str("; client_no_context_takeover");
        }
        if let Some(bits) = self.server_max_window_bits {
            let _ = write!(header, "; server_max_window_bits={bits}");
        }
        if let Some(ClientBits::AtMost(bits)) = self.client_max_window_bits {
            let _ = write!(header, "; client_max_window_bits={bits}");
        }
        header
    }
}

/// A number from 8 to 15, without a zero in front.
fn window_bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok()?;
    ((8..=15).contains(&bits) && !value.starts_with(['0', '+'])).then_some(bits)
}

/// What is left of a line of the header.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// The next extension, with its parameters as far as they can be accepted.
    fn next_extension(&mut self) -> Result<Option<(&'a str, Option<Parameters>)>, MalformedHeader> {
        // A list may have empty places.
        while self.skip(',') {}
        if self.0.is_empty() {
            return Ok(None);
        }
        let name = self.token()?;
        let mut parameters = Some(Parameters::default());
        while self.skip(';') {
            let name = self.token()?;
            let value = if self.skip('=') { Some(self.value()?) } else { None };
            parameters = parameters.and_then(|parameters| parameters.add(name, value.as_deref()));
        }
        if self.0.is_empty() || self.skip(',') { Ok(Some((name, parameters))) } else { Err(MalformedHeader) }
    }

    /// Goes over a separator and the space around it. Returns whether it was there.
    fn skip(&mut self, separator: char) -> bool {
        self.0 = self.0.trim_start_matches([' ', '\t']);
        let Some(rest) = self.0.strip_prefix(separator) else { return false };
        self.0 = rest.trim_start_matches([' ', '\t']);
        true
    }

    fn token(&mut self) -> Result<&'a str, MalformedHeader> {
        let len = self.0.bytes().take_while(|byte| is_token(*byte)).count();
        let (token, rest) = self.0.split_at(len);
        self.0 = rest;
        if token.is_empty() { Err(MalformedHeader) } else { Ok(token) }
    }

    /// A token, which may be in quotes and then have escapes.
    fn value(&mut self) -> Result<Cow<'a, str>, MalformedHeader> {
        let Some(quoted) = self.0.strip_prefix('"') else { return self.token().map(Cow::Borrowed) };
        let mut value = String::new();
        let mut letters = quoted.char_indices();
        while let Some((idx, letter)) = letters.next() {
            match letter {
                '"' if !value.is_empty() => {
                    self.0 = &quoted[idx + 1..];
                    return Ok(Cow::Owned(value));
                }
                '\\' => value.push(letters.next().ok_or(MalformedHeader)?.1),
                letter => value.push(letter),
            }
            if !value.bytes().all(is_token) {
                return Err(MalformedHeader);
            }
        }
        Err(MalformedHeader)
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
