//! Decodes packets from text.
//!
//! See <https://socket.io/docs/v4/socket-io-protocol/#packet-encoding>. Where the official parser lets things
//! through that no official client sends (white space among digits, an event without data), this one does not.

use crate::{
    json::{self, JsonError, Literal, RawString, Visitor},
    socket::{
        DecodeError, Limits, Packet, PacketType, RESERVED_EVENTS, Revision,
        packet::{EventName, MAX_ID},
        placeholder::{Meaning, Placeholders},
    },
};

/// Decodes the text of a packet.
///
/// The data is checked as well, so that whoever parses it later, in whatever language, cannot fail.
///
/// ```
/// use ferrio_protocol::socket::{Limits, Revision, decode};
///
/// let packet = decode(Revision::V5, r#"2/chat,7["message",{"text":"hi"}]"#, &Limits::default())?;
/// assert_eq!((packet.namespace, packet.id), ("/chat", Some(7)));
/// assert_eq!(packet.event().as_deref(), Some("message"));
/// assert_eq!(packet.data, Some(r#"["message",{"text":"hi"}]"#));
/// # Ok::<(), ferrio_protocol::socket::DecodeError>(())
/// ```
///
/// # Errors
/// See [`DecodeError`].
pub fn decode<'a>(revision: Revision, text: &'a str, limits: &Limits) -> Result<Packet<'a>, DecodeError> {
    let kind = packet_type(text).ok_or(DecodeError::UnknownType)?;
    let rest = &text[1..];
    let (attachments, rest) = if kind.is_binary() { take_attachments(rest, limits)? } else { (0, rest) };
    let (namespace, query, rest) = take_namespace(revision, rest, limits)?;
    let (id, rest) = take_id(rest)?;
    let data = (!rest.is_empty()).then_some(rest);
    let name = check_data(revision, kind, data, attachments, limits)?;
    Ok(Packet { kind, namespace, query, id, attachments, data, name })
}

/// Returns the type of the packet whose text this is, if it is one, and looks no further.
pub fn packet_type(text: &str) -> Option<PacketType> {
    PacketType::from_number(text.as_bytes().first()?.wrapping_sub(b'0'))
}

/// Checks that `data` is JSON and of the kind that a packet type demands, and finds an event's name.
pub(super) fn check_data<'a>(
    revision: Revision,
    kind: PacketType,
    data: Option<&'a str>,
    attachments: usize,
    limits: &Limits,
) -> Result<Option<EventName<'a>>, DecodeError> {
    let Some(text) = data else {
        return match kind {
            PacketType::Connect | PacketType::Disconnect => Ok(None),
            _ => Err(DecodeError::InvalidPayload),
        };
    };
    check_json(text, attachments, limits)?;
    let value = json::trim_start(text);
    let is_right_kind = match (kind, value.as_bytes().first()) {
        (PacketType::Event | PacketType::BinaryEvent, Some(b'[')) => {
            return event_name(&value[1..]).map(Some);
        }
        (PacketType::Ack | PacketType::BinaryAck, Some(b'['))
        | (PacketType::Connect | PacketType::ConnectError, Some(b'{')) => true,
        (PacketType::ConnectError, Some(first)) => *first == b'"' || revision == Revision::V4,
        _ => false,
    };
    if is_right_kind { Ok(None) } else { Err(DecodeError::InvalidPayload) }
}

fn check_json(text: &str, attachments: usize, limits: &Limits) -> Result<(), DecodeError> {
    if attachments == 0 {
        return Ok(json::scan(text, limits.max_depth, &mut ())?);
    }
    let mut check = PlaceholderCheck { placeholders: Placeholders::new(attachments), has_illegal: false };
    json::scan(text, limits.max_depth, &mut check)?;
    if check.has_illegal { Err(DecodeError::IllegalPlaceholder) } else { Ok(()) }
}

/// Finds the name of an event in its array, from after the bracket. The array is known to be well-formed.
fn event_name(elements: &str) -> Result<EventName<'_>, DecodeError> {
    let elements = json::trim_start(elements);
    match elements.as_bytes().first() {
        Some(b'"') => {
            let name = json::leading_string(elements).map_err(|_: JsonError| DecodeError::InvalidPayload)?;
            if is_reserved(name) { Err(DecodeError::ReservedEvent) } else { Ok(EventName::Text(name)) }
        }
        Some(b'-' | b'0'..=b'9') => {
            let end = elements.find([',', ']', ' ', '\t', '\n', '\r']).unwrap_or(elements.len());
            Ok(EventName::Number(&elements[..end]))
        }
        _ => Err(DecodeError::InvalidPayload),
    }
}

/// An escape cannot smuggle a reserved name in: the meaning counts.
fn is_reserved(name: RawString<'_>) -> bool {
    RESERVED_EVENTS.contains(&&*name.unescape())
}

/// Takes the number of attachments with the hyphen after it. It is bounded before it is even a number, so that
/// announcing 10^10 of them costs nothing.
fn take_attachments<'a>(text: &'a str, limits: &Limits) -> Result<(usize, &'a str), DecodeError> {
    let (digits, rest) = take_digits(text);
    let rest = rest.strip_prefix('-').ok_or(DecodeError::IllegalAttachments)?;
    if digits.is_empty() {
        return Err(DecodeError::IllegalAttachments);
    }
    match digits.parse() {
        Ok(0) => Err(DecodeError::IllegalAttachments),
        Ok(n_attachments) if n_attachments <= limits.max_attachments => Ok((n_attachments, rest)),
        _ => Err(DecodeError::TooManyAttachments),
    }
}

type Namespace<'a> = (&'a str, Option<&'a str>, &'a str);

fn take_namespace<'a>(
    revision: Revision,
    text: &'a str,
    limits: &Limits,
) -> Result<Namespace<'a>, DecodeError> {
    if !text.starts_with('/') {
        return Ok(("/", None, text));
    }
    let (namespace, rest) = text.split_once(',').unwrap_or((text, ""));
    if namespace.len() > limits.max_namespace {
        return Err(DecodeError::NamespaceTooLong);
    }
    match (revision, namespace.split_once('?')) {
        (Revision::V4, Some((path, query))) => Ok((path, Some(query), rest)),
        _ => Ok((namespace, None, rest)),
    }
}

fn take_id(text: &str) -> Result<(Option<u64>, &str), DecodeError> {
    let (digits, rest) = take_digits(text);
    if digits.is_empty() {
        return Ok((None, rest));
    }
    match digits.parse() {
        Ok(id) if id <= MAX_ID => Ok((Some(id), rest)),
        _ => Err(DecodeError::IllegalId),
    }
}

fn take_digits(text: &str) -> (&str, &str) {
    let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(n_digits)
}

/// Checks that every object that stands for an attachment points to one that is announced.
struct PlaceholderCheck {
    placeholders: Placeholders,
    has_illegal: bool,
}

impl<'a> Visitor<'a> for PlaceholderCheck {
    fn begin_object(&mut self) {
        self.placeholders.begin_object();
    }

    fn end_object(&mut self) {
        self.has_illegal |= self.placeholders.end_object() == Meaning::IllegalPlaceholder;
    }

    fn begin_array(&mut self) {
        self.placeholders.other_value();
    }

    fn key(&mut self, key: RawString<'a>) {
        self.placeholders.key(key);
    }

    fn string(&mut self, _string: RawString<'a>) {
        self.placeholders.other_value();
    }

    fn number(&mut self, number: &'a str) {
        self.placeholders.number(number);
    }

    fn literal(&mut self, literal: Literal) {
        self.placeholders.literal(literal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_limits() {
        let limits = Limits { max_attachments: 1, max_depth: 2, max_namespace: 4, ..Limits::default() };
        let decode = |text| decode(Revision::V5, text, &limits).map(|_| ());
        assert_eq!(decode(r#"51-["a"]"#), Ok(()));
        assert_eq!(decode(r#"52-["a"]"#), Err(DecodeError::TooManyAttachments));
        assert_eq!(decode(r#"2["a",[]]"#), Ok(()));
        assert_eq!(decode(r#"2["a",[[]]]"#), Err(DecodeError::TooDeep));
        assert_eq!(decode("0/abc,"), Ok(()));
        assert_eq!(decode("0/abcd,"), Err(DecodeError::NamespaceTooLong));
        assert_eq!(decode("0/abcd"), Err(DecodeError::NamespaceTooLong));
    }

    #[test]
    fn numbers_name_events_as_in_javascript() {
        for (number, name) in [("1", "1"), ("1.0", "1"), ("1e2", "100"), ("-0", "0"), ("-1.50", "-1.5")] {
            let text = format!("2[ {number} ,1]");
            let packet = decode(Revision::V5, &text, &Limits::default()).unwrap();
            assert_eq!(packet.event().unwrap(), name);
        }
    }

    #[test]
    fn a_plain_name_is_borrowed_from_the_text() {
        let packet = decode(Revision::V5, r#"2["hello",1]"#, &Limits::default()).unwrap();
        assert!(matches!(packet.event(), Some(std::borrow::Cow::Borrowed("hello"))));
    }
}
