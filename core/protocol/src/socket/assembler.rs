//! Joins a binary packet with the attachments that follow it.
//!
//! See <https://socket.io/docs/v4/socket-io-protocol/#sending-and-receiving-binary-data>.

use std::{borrow::Cow, fmt};

use bytes::Bytes;

use crate::socket::{Limits, Packet, PacketType};

/// Keeps a binary packet until its attachments are there. There is one for each connection.
///
/// - [`text`](Self::text) is called for every text message, [`begin`](Self::begin) after it when that is a binary
///   packet, [`push`](Self::push) for every binary message.
/// - How long the peer takes is the owner's to bound, from `begin` until [`is_waiting`](Self::is_waiting) is false.
/// - After an error the connection is to be closed; what was kept is gone.
#[derive(Debug, Default)]
pub struct Assembler {
    /// Boxed because most connections never have one.
    pending: Option<Box<Pending>>,
}

#[derive(Debug)]
struct Pending {
    packet: BinaryPacket,
    n_due: usize,
    n_bytes_left: usize,
}

/// A packet that owns its parts: one whose attachments are all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryPacket {
    /// What the packet is for. Never a binary type: having attachments says as much.
    pub kind: PacketType,
    /// The namespace, `/` when none is named.
    pub namespace: String,
    /// The number under which an answer is expected, or which this answers.
    pub id: Option<u64>,
    /// The name of an event.
    pub event: Option<String>,
    /// The JSON text. If there are attachments, each `{"_placeholder":true,"num":n}` in it points to one.
    pub data: Option<String>,
    /// The attachments, by number.
    pub attachments: Vec<Bytes>,
}

/// Why a message does not fit in: always the peer's fault, and the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AssemblyError {
    /// A text message came while attachments were due.
    TextInsteadOfAttachment,
    /// A binary message came while none was due.
    UnexpectedAttachment,
    /// The attachments have more bytes together than allowed.
    TooLarge,
}

impl fmt::Display for AssemblyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TextInsteadOfAttachment => "text message while attachments are due",
            Self::UnexpectedAttachment => "binary message while no attachment is due",
            Self::TooLarge => "attachments too large",
        })
    }
}

impl std::error::Error for AssemblyError {}

impl Assembler {
    /// Makes one that waits for nothing.
    pub const fn new() -> Self {
        Self { pending: None }
    }

    /// Tells whether attachments are due.
    #[inline]
    pub const fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// Takes note of a text message.
    ///
    /// # Errors
    /// It must not come between a packet and its attachments.
    #[inline]
    pub fn text(&mut self) -> Result<(), AssemblyError> {
        match self.pending.take() {
            None => Ok(()),
            Some(_) => Err(AssemblyError::TextInsteadOfAttachment),
        }
    }

    /// Keeps a binary packet; [`Packet::attachments`] is within the limits already.
    ///
    /// # Errors
    /// It must not come between a packet and its attachments.
    pub fn begin(&mut self, packet: &Packet<'_>, limits: &Limits) -> Result<(), AssemblyError> {
        self.text()?;
        let owned = BinaryPacket {
            kind: packet.kind.without_attachments(),
            namespace: packet.namespace.to_owned(),
            id: packet.id,
            event: packet.event().map(Cow::into_owned),
            data: packet.data.map(str::to_owned),
            attachments: Vec::with_capacity(packet.attachments),
        };
        let n_bytes_left = limits.max_attachment_bytes;
        self.pending = Some(Box::new(Pending { packet: owned, n_due: packet.attachments, n_bytes_left }));
        Ok(())
    }

    /// Takes the next attachment, and returns the packet when it was the last.
    ///
    /// # Errors
    /// It must be due, and within the limit on bytes.
    pub fn push(&mut self, attachment: Bytes) -> Result<Option<BinaryPacket>, AssemblyError> {
        let mut pending = self.pending.take().ok_or(AssemblyError::UnexpectedAttachment)?;
        let n_bytes_left =
            pending.n_bytes_left.checked_sub(attachment.len()).ok_or(AssemblyError::TooLarge)?;
        pending.n_bytes_left = n_bytes_left;
        pending.packet.attachments.push(attachment);
        if pending.packet.attachments.len() >= pending.n_due {
            return Ok(Some(pending.packet));
        }
        self.pending = Some(pending);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::{Revision, decode};

    const LIMITS: Limits =
        Limits { max_attachments: 10, max_attachment_bytes: 8, max_depth: 512, max_namespace: 100 };

    fn begin(assembler: &mut Assembler, text: &str) -> Result<(), AssemblyError> {
        assembler.begin(&decode(Revision::V5, text, &LIMITS).unwrap(), &LIMITS)
    }

    #[test]
    fn a_packet_is_complete_with_its_last_attachment() {
        let mut assembler = Assembler::new();
        assert_eq!(assembler.text(), Ok(()));
        begin(&mut assembler, r#"52-/a,7["x",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#)
            .unwrap();
        assert!(assembler.is_waiting());
        assert_eq!(assembler.push(Bytes::from_static(b"1")), Ok(None));
        let packet = assembler.push(Bytes::from_static(b"2")).unwrap().unwrap();
        assert_eq!((packet.kind, packet.namespace.as_str(), packet.id), (PacketType::Event, "/a", Some(7)));
        assert_eq!(packet.event.as_deref(), Some("x"));
        assert_eq!(packet.attachments, [Bytes::from_static(b"1"), Bytes::from_static(b"2")]);
        assert!(!assembler.is_waiting());
    }

    #[test]
    fn text_must_not_come_between_a_packet_and_its_attachments() {
        let mut assembler = Assembler::new();
        begin(&mut assembler, r#"51-["x"]"#).unwrap();
        assert_eq!(assembler.text(), Err(AssemblyError::TextInsteadOfAttachment));
        begin(&mut assembler, r#"51-["x"]"#).unwrap();
        assert_eq!(begin(&mut assembler, r#"51-["x"]"#), Err(AssemblyError::TextInsteadOfAttachment));
    }

    #[test]
    fn an_attachment_that_nobody_announced_is_refused() {
        let mut assembler = Assembler::new();
        assert_eq!(assembler.push(Bytes::new()), Err(AssemblyError::UnexpectedAttachment));
        begin(&mut assembler, "61-1[]").unwrap();
        assert_eq!(assembler.push(Bytes::new()).unwrap().unwrap().kind, PacketType::Ack);
        assert_eq!(assembler.push(Bytes::new()), Err(AssemblyError::UnexpectedAttachment));
    }

    #[test]
    fn the_bytes_of_all_attachments_together_are_bounded() {
        let mut assembler = Assembler::new();
        begin(&mut assembler, r#"53-["x"]"#).unwrap();
        assert_eq!(assembler.push(Bytes::from_static(b"12345")), Ok(None));
        assert_eq!(assembler.push(Bytes::from_static(b"678")), Ok(None));
        assert_eq!(assembler.push(Bytes::from_static(b"9")), Err(AssemblyError::TooLarge));
        assert!(!assembler.is_waiting());
    }
}
