//! Takes MessagePack values apart into tokens.
//!
//! See <https://github.com/msgpack/msgpack/blob/master/spec.md>. The extension types are those of the package
//! `notepack.io`, which the official parser uses, and the timestamp of the specification.

use bytes::Bytes;

use crate::socket::msgpack::DecodeError;

/// One value, or the beginning of an array or map.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// `nil`, and the extension that means `undefined`.
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Str(&'a str),
    Bin(Bytes),
    /// Milliseconds since 1970.
    Date(i64),
    /// So many values follow.
    Array(u32),
    /// So many keys with their values follow.
    Map(u32),
}

/// Reads tokens one after another. An announced length is believed only as far as there are bytes.
pub(super) struct Reader<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(frame: &'a Bytes) -> Self {
        Self { frame, at: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.frame.len()
    }

    pub(super) fn token(&mut self) -> Result<Token<'a>, DecodeError> {
        let [first] = self.array()?;
        Ok(match first {
            0x00..=0x7f => Token::Uint(first.into()),
            0x80..=0x8f => Token::Map((first & 0x0f).into()),
            0x90..=0x9f => Token::Array((first & 0x0f).into()),
            0xa0..=0xbf => self.str((first & 0x1f).into())?,
            0xc0 => Token::Nil,
            0xc2 | 0xc3 => Token::Bool(first == 0xc3),
            0xc4..=0xc6 => {
                let len = self.length(first - 0xc4)?;
                self.bin(len)?
            }
            0xc7..=0xc9 => {
                let len = self.length(first - 0xc7)?;
                self.extension(len)?
            }
            0xca => Token::Float(f32::from_be_bytes(self.array()?).into()),
            0xcb => Token::Float(f64::from_be_bytes(self.array()?)),
            0xcc..=0xd3 => self.integer(first)?,
            0xd4 => self.fixed_extension_1()?,
            0xd5..=0xd8 => self.fixed_extension(1 << (first - 0xd4))?,
            0xd9..=0xdb => {
                let len = self.length(first - 0xd9)?;
                self.str(len)?
            }
            0xdc | 0xdd => Token::Array(self.length(first - 0xdc + 1)?),
            0xde | 0xdf => Token::Map(self.length(first - 0xde + 1)?),
            0xe0..=0xff => Token::Int(i8::from_be_bytes([first]).into()),
            0xc1 => return Err(DecodeError::Malformed),
        })
    }

    /// Passes over one value with all that is in it.
    pub(super) fn skip(&mut self) -> Result<(), DecodeError> {
        let mut n_due: u64 = 1;
        while n_due > 0 {
            n_due -= 1;
            match self.token()? {
                Token::Array(n_values) => n_due += u64::from(n_values),
                Token::Map(n_members) => n_due += 2 * u64::from(n_members),
                _ => {}
            }
        }
        Ok(())
    }

    fn integer(&mut self, first: u8) -> Result<Token<'a>, DecodeError> {
        Ok(match first {
            0xcc => Token::Uint(u8::from_be_bytes(self.array()?).into()),
            0xcd => Token::Uint(u16::from_be_bytes(self.array()?).into()),
            0xce => Token::Uint(u32::from_be_bytes(self.array()?).into()),
            0xcf => Token::Uint(u64::from_be_bytes(self.array()?)),
            0xd0 => Token::Int(i8::from_be_bytes(self.array()?).into()),
            0xd1 => Token::Int(i16::from_be_bytes(self.array()?).into()),
            0xd2 => Token::Int(i32::from_be_bytes(self.array()?).into()),
            _ => Token::Int(i64::from_be_bytes(self.array()?)),
        })
    }

    fn str(&mut self, len: u32) -> Result<Token<'a>, DecodeError> {
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map(Token::Str).map_err(|_| DecodeError::Utf8)
    }

    fn bin(&mut self, len: u32) -> Result<Token<'a>, DecodeError> {
        let bytes = self.take(len)?;
        Ok(Token::Bin(self.frame.slice_ref(bytes)))
    }

    /// An extension with a length of its own: an `ArrayBuffer`, or a timestamp of 12 bytes.
    fn extension(&mut self, len: u32) -> Result<Token<'a>, DecodeError> {
        match self.array()? {
            [OWN_TYPE] => self.bin(len),
            [TIMESTAMP_TYPE] if len == 12 => {
                let nanos = u32::from_be_bytes(self.array()?);
                let seconds = i64::from_be_bytes(self.array()?);
                Ok(timestamp(seconds, nanos))
            }
            _ => Err(DecodeError::UnsupportedExtension),
        }
    }

    fn fixed_extension_1(&mut self) -> Result<Token<'a>, DecodeError> {
        match self.array()? {
            [OWN_TYPE, _] => Ok(Token::Nil),
            _ => Err(DecodeError::UnsupportedExtension),
        }
    }

    fn fixed_extension(&mut self, len: u32) -> Result<Token<'a>, DecodeError> {
        match (self.array()?, len) {
            ([OWN_TYPE], 8) => Ok(Token::Date(i64::from_be_bytes(self.array()?))),
            ([TIMESTAMP_TYPE], 4) => Ok(timestamp(u32::from_be_bytes(self.array()?).into(), 0)),
            ([TIMESTAMP_TYPE], 8) => {
                let both = u64::from_be_bytes(self.array()?);
                let (nanos, seconds) = (both >> 34, both & ((1 << 34) - 1));
                Ok(timestamp(seconds.cast_signed(), u32::try_from(nanos).unwrap_or(u32::MAX)))
            }
            _ => Err(DecodeError::UnsupportedExtension),
        }
    }

    /// Reads a length of 1, 2 or 4 bytes.
    fn length(&mut self, log2_width: u8) -> Result<u32, DecodeError> {
        Ok(match log2_width {
            0 => u8::from_be_bytes(self.array()?).into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => u32::from_be_bytes(self.array()?),
        })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.frame[self.at..].first_chunk::<N>().ok_or(DecodeError::Malformed)?;
        self.at += N;
        Ok(*bytes)
    }

    fn take(&mut self, len: u32) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(len).map_err(|_| DecodeError::Malformed)?;
        let bytes = self.frame[self.at..].get(..len).ok_or(DecodeError::Malformed)?;
        self.at += len;
        Ok(bytes)
    }
}

fn timestamp<'a>(seconds: i64, nanos: u32) -> Token<'a> {
    Token::Date(seconds.saturating_mul(1000).saturating_add((nanos / 1_000_000).into()))
}

/// All of `notepack.io`'s extensions have this number; the length tells them apart.
const OWN_TYPE: u8 = 0;
/// The specification's timestamp has the number -1.
const TIMESTAMP_TYPE: u8 = 0xff;
