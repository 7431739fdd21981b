//! Makes the text of Socket.IO packets, and takes answers apart by comparing.

use crate::Result;

/// The number with which the ids of acks and broadcasts begin, so that all have six digits.
pub(crate) const FIRST_NUMBER: u32 = 100_000;

/// The number after `number`.
pub(crate) fn next_number(number: u32) -> u32 {
    if number == 999_999 { FIRST_NUMBER } else { number + 1 }
}

/// An object of exactly `length` bytes of JSON: a number and a sentence.
///
/// The keys are in alphabetical order because some servers' parsers sort them.
pub(crate) fn data(number: u32, length: usize) -> String {
    let sentence = "Grace wrote: the compiler is ready when you are, and it answers every question. ";
    let empty = data_with(number, "").len();
    let text: String = sentence.chars().cycle().take(length.saturating_sub(empty)).collect();
    data_with(number, &text)
}

fn data_with(number: u32, text: &str) -> String {
    format!(r#"{{"n":{number},"text":"{text}"}}"#)
}

/// An event as the message that carries it.
pub(crate) fn event(name: &str, arguments: &str) -> String {
    format!(r#"42["{name}",{arguments}]"#)
}

/// Splits the answer to an ack, `43<id>[…]`, into its id and its arguments.
pub(crate) fn ack(message: &[u8]) -> Result<(u32, &[u8])> {
    let body = message.strip_prefix(b"43").ok_or_else(|| unexpected(message))?;
    let digits = body.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (id, arguments) = body.split_at(digits);
    Ok((std::str::from_utf8(id)?.parse().map_err(|_| unexpected(message))?, arguments))
}

/// The fault of a message that is not what it has to be.
pub(crate) fn unexpected(message: &[u8]) -> String {
    format!("unexpected message: {:?}", String::from_utf8_lossy(&message[..message.len().min(200)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_has_the_length_asked_for() {
        assert_eq!(data(FIRST_NUMBER, 100).len(), 100);
        assert_eq!(data(FIRST_NUMBER, 1024).len(), 1024);
    }

    #[test]
    fn an_ack_is_split_and_anything_else_is_a_fault() {
        assert_eq!(ack(b"43100001[1]").unwrap(), (100_001, &b"[1]"[..]));
        assert!(ack(b"43[1]").is_err());
        assert!(ack(b"42[\"news\"]").is_err());
    }
}
