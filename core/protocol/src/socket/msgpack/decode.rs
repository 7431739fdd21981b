//! Translates packets from MessagePack into JSON text with attachments.

use std::fmt;

use bytes::Bytes;

use crate::{
    json,
    socket::{
        BinaryPacket, DecodeError as PacketError, Limits, PacketType, Revision,
        decode::check_data,
        msgpack::{
            date::write_date,
            reader::{Reader, Token},
        },
        packet::MAX_ID,
    },
};

/// Why a binary message is not a packet: always the peer's fault, and the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecodeError {
    /// The message is not one MessagePack map with a packet's members.
    Malformed,
    /// A string is not UTF-8.
    Utf8,
    /// An extension type has no counterpart in JSON.
    UnsupportedExtension,
    /// The packet is one that would be refused as text as well.
    Packet(PacketError),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("malformed msgpack packet"),
            Self::Utf8 => f.write_str("msgpack string is not utf-8"),
            Self::UnsupportedExtension => f.write_str("unsupported msgpack extension type"),
            Self::Packet(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<PacketError> for DecodeError {
    fn from(error: PacketError) -> Self {
        Self::Packet(error)
    }
}

/// Decodes one packet. Its attachments share the memory of `frame`.
///
/// # Errors
/// The same bounds and rules hold as for text. In addition, data with both bytes and an object of the peer's that
/// looks like a placeholder is refused, because that object would come to mean an attachment.
pub fn decode(frame: &Bytes, limits: &Limits) -> Result<BinaryPacket, DecodeError> {
    let mut reader = Reader::new(frame);
    let Token::Map(n_members) = reader.token()? else { return Err(DecodeError::Malformed) };
    let mut members = Members::default();
    for _ in 0..n_members {
        let Token::Str(key) = reader.token()? else { return Err(DecodeError::Malformed) };
        members.take(key, &mut reader, limits)?;
    }
    if reader.is_at_end() { members.into_packet(limits) } else { Err(DecodeError::Malformed) }
}

#[derive(Default)]
struct Members<'a> {
    kind: Option<PacketType>,
    namespace: Option<&'a str>,
    id: Option<u64>,
    data: Option<Translation>,
}

impl<'a> Members<'a> {
    fn take(&mut self, key: &str, reader: &mut Reader<'a>, limits: &Limits) -> Result<(), DecodeError> {
        match key {
            "type" => self.kind = Some(packet_type(&reader.token()?)?),
            "nsp" => match reader.token()? {
                Token::Str(namespace) => self.namespace = Some(namespace),
                _ => return Err(DecodeError::Malformed),
            },
            "id" => match reader.token()? {
                Token::Nil => self.id = None,
                Token::Uint(id) if id <= MAX_ID => self.id = Some(id),
                _ => return Err(PacketError::IllegalId.into()),
            },
            "data" => self.data = Translation::read(reader, limits)?,
            // Clients send along what concerns only them, such as `options`.
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn into_packet(self, limits: &Limits) -> Result<BinaryPacket, DecodeError> {
        let kind = self.kind.ok_or(PacketError::UnknownType)?;
        let namespace = self.namespace.ok_or(DecodeError::Malformed)?;
        if namespace.len() > limits.max_namespace {
            return Err(PacketError::NamespaceTooLong.into());
        }
        let (data, attachments) = match self.data {
            Some(translation) => (Some(translation.json), translation.attachments),
            None => (None, Vec::new()),
        };
        let name = check_data(Revision::V5, kind, data.as_deref(), attachments.len(), limits)?;
        let event = name.map(|name| name.text().into_owned());
        Ok(BinaryPacket { kind, namespace: namespace.to_owned(), id: self.id, event, data, attachments })
    }
}

/// The binary types do not exist here: bytes stand among the data.
fn packet_type(token: &Token<'_>) -> Result<PacketType, DecodeError> {
    let number = match token {
        Token::Uint(number) => u8::try_from(*number).ok(),
        _ => None,
    };
    let kind = number.and_then(PacketType::from_number).filter(|kind| !kind.is_binary());
    kind.ok_or(PacketError::UnknownType.into())
}

/// One value as JSON.
#[derive(Default)]
struct Translation {
    json: String,
    attachments: Vec<Bytes>,
    open: Vec<Level>,
    has_foreign_placeholder: bool,
}

/// An array or map that is being written.
struct Level {
    n_left: u32,
    is_map: bool,
    is_first: bool,
    is_at_placeholder_key: bool,
}

impl Translation {
    /// Reads the data of a packet; `nil` and `undefined` mean that there is none.
    fn read(reader: &mut Reader<'_>, limits: &Limits) -> Result<Option<Self>, DecodeError> {
        let mut translation = Self::default();
        let mut token = reader.token()?;
        if token == Token::Nil {
            return Ok(None);
        }
        loop {
            translation.value(token, limits)?;
            if !translation.next_member(reader)? {
                break;
            }
            token = reader.token()?;
        }
        if translation.has_foreign_placeholder && !translation.attachments.is_empty() {
            return Err(PacketError::IllegalAttachments.into());
        }
        Ok(Some(translation))
    }

    fn value(&mut self, token: Token<'_>, limits: &Limits) -> Result<(), DecodeError> {
        if let Some(Level { is_at_placeholder_key: true, .. }) = self.open.last() {
            self.has_foreign_placeholder |= token == Token::Bool(true);
        }
        match token {
            Token::Array(n_values) => self.open('[', n_values, limits)?,
            Token::Map(n_members) => self.open('{', n_members, limits)?,
            Token::Str(text) => json::write_string(&mut self.json, text),
            Token::Date(millis) => write_date(&mut self.json, millis),
            Token::Bin(bytes) => self.attachment(bytes, limits)?,
            plain => write_plain(&mut self.json, &plain),
        }
        Ok(())
    }

    fn open(&mut self, bracket: char, n_left: u32, limits: &Limits) -> Result<(), DecodeError> {
        if self.open.len() >= limits.max_depth {
            return Err(PacketError::TooDeep.into());
        }
        self.json.push(bracket);
        let is_map = bracket == '{';
        self.open.push(Level { n_left, is_map, is_first: true, is_at_placeholder_key: false });
        Ok(())
    }

    fn attachment(&mut self, bytes: Bytes, limits: &Limits) -> Result<(), DecodeError> {
        if self.attachments.len() >= limits.max_attachments {
            return Err(PacketError::TooManyAttachments.into());
        }
        self.json.push_str("{\"_placeholder\":true,\"num\":");
        self.json.push_str(itoa::Buffer::new().format(self.attachments.len()));
        self.json.push('}');
        self.attachments.push(bytes);
        Ok(())
    }

    /// Closes what is complete, and writes what stands before the next value. Returns whether there is one.
    fn next_member(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        while let Some(level) = self.open.last_mut() {
            if level.n_left == 0 {
                self.json.push(if level.is_map { '}' } else { ']' });
                self.open.pop();
                continue;
            }
            level.n_left -= 1;
            if !level.is_first {
                self.json.push(',');
            }
            level.is_first = false;
            if level.is_map {
                let key = reader.token()?;
                level.is_at_placeholder_key = key == Token::Str("_placeholder");
                write_key(&mut self.json, &key)?;
            }
            return Ok(true);
        }
        Ok(false)
    }
}

/// Writes a key, which is a string in JSON whatever it was, with its colon.
fn write_key(out: &mut String, key: &Token<'_>) -> Result<(), DecodeError> {
    match key {
        Token::Str(text) => json::write_string(out, text),
        Token::Nil | Token::Bool(_) | Token::Int(_) | Token::Uint(_) | Token::Float(_) => {
            out.push('"');
            write_plain(out, key);
            out.push('"');
        }
        Token::Bin(_) | Token::Date(_) | Token::Array(_) | Token::Map(_) => {
            return Err(DecodeError::Malformed);
        }
    }
    out.push(':');
    Ok(())
}

/// Writes a number or literal; anything else becomes `null`.
fn write_plain(out: &mut String, token: &Token<'_>) {
    match token {
        Token::Bool(true) => out.push_str("true"),
        Token::Bool(false) => out.push_str("false"),
        Token::Int(number) => out.push_str(itoa::Buffer::new().format(*number)),
        Token::Uint(number) => out.push_str(itoa::Buffer::new().format(*number)),
        Token::Float(number) if number.is_finite() => write_float(out, *number),
        _ => out.push_str("null"),
    }
}

/// Writes very great and very small numbers with an exponent, as JavaScript does: in full they would have up to
/// 300 digits, and a peer could multiply its message with them.
fn write_float(out: &mut String, number: f64) {
    use fmt::Write as _;
    let is_handy = number == 0.0 || (1e-7..1e21).contains(&number.abs());
    // Writing to a string cannot fail.
    let _ = if is_handy { write!(out, "{number}") } else { write!(out, "{number:e}") };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_share_the_memory_of_the_frame() {
        let frame = Bytes::from_static(b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a\xc4\x03xyz");
        let packet = decode(&frame, &Limits::default()).unwrap();
        assert_eq!(packet.attachments, [&b"xyz"[..]]);
        assert_eq!(packet.attachments[0].as_ptr(), frame[frame.len() - 3..].as_ptr());
    }

    #[test]
    fn bounds_are_those_of_the_limits() {
        // A placeholder is an object, and so is a level.
        let limits = Limits { max_attachments: 1, max_depth: 3, max_namespace: 1, ..Limits::default() };
        let event = |namespace: &[u8], data: &[u8]| {
            let parts = [b"\x83\xa4type\x02\xa3nsp", namespace, b"\xa4data", data];
            decode(&Bytes::from(parts.concat()), &limits).map(|_| ())
        };
        assert_eq!(event(b"\xa1/", b"\x92\xa1a\x91\xc4\x00"), Ok(()));
        assert_eq!(event(b"\xa2/a", b"\x91\xa1a"), Err(PacketError::NamespaceTooLong.into()));
        assert_eq!(event(b"\xa1/", b"\x92\xa1a\x91\x91\x90"), Err(PacketError::TooDeep.into()));
        assert_eq!(
            event(b"\xa1/", b"\x93\xa1a\xc4\x00\xc4\x00"),
            Err(PacketError::TooManyAttachments.into())
        );
    }
}
