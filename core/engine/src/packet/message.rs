//! A message that is kept.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use ferrio_protocol::engine::Data;

/// A message of the engine, or what another packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(Arc<str>),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// Its bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it carries.
    pub fn data(&self) -> Data<'_> {
        match self {
            Self::Text(text) => Data::Text(text),
            Self::Binary(bytes) => Data::Binary(Cow::Borrowed(bytes)),
        }
    }
}

impl From<&Data<'_>> for Message {
    fn from(data: &Data<'_>) -> Self {
        match data {
            Data::Text(text) => Self::Text(Arc::from(*text)),
            Data::Binary(bytes) => Self::Binary(Bytes::copy_from_slice(bytes)),
        }
    }
}
