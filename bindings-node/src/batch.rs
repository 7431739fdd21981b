//! The form of a batch of commands: numbers, and the texts and bytes that they speak of.
//!
//! A batch is read by its own word only: each command says how long its texts are and how many attachments it has. If
//! that does not come out exactly, all of it is refused, because a command must never take what belongs to another.
//! Any other number that is wrong spoils its own command only.

use std::{fmt, time::Duration};

/// Numbers of one command: the same as `FRAME` in `command-batch.ts`, in this order: command, subject, detail, number of
/// attachments, lengths of the three texts, timeout, token.
const FRAME: usize = 9;

/// Instead of a text's length: there is none.
const ABSENT: i64 = -2;

/// Instead of a text's length: it is the next one of those that came on their own.
const LARGE: i64 = -1;

/// Instead of a timeout in milliseconds: there is none.
const UNLIMITED: i64 = -1;

/// From here on a number of JavaScript is no longer exact.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Commands in their order.
#[derive(Debug)]
pub(crate) struct Batch<'a, A> {
    frames: std::slice::ChunksExact<'a, f64>,
    texts: Texts<'a>,
    large: std::slice::Iter<'a, String>,
    attachments: &'a [A],
}

/// One thing that is asked of the core. What its numbers and texts mean depends on its kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Command<'a, A> {
    pub(crate) kind: u64,
    pub(crate) subject: u64,
    pub(crate) detail: u64,
    pub(crate) rooms: Option<&'a str>,
    pub(crate) except: Option<&'a str>,
    pub(crate) payload: Option<&'a str>,
    pub(crate) attachments: &'a [A],
    pub(crate) timeout: Option<Duration>,
    /// 0 where no ack is wanted.
    pub(crate) token: u64,
}

/// Why a batch is refused. The fault is ours: `command-batch.ts` has written it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// A number is missing, or is none that can stand in its place.
    Numbers,
    /// The texts are longer or shorter than the commands say.
    Texts,
    /// There are more or fewer attachments than the commands say.
    Attachments,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Numbers => "the numbers of a batch do not come out",
            Self::Texts => "the texts of a batch do not come out",
            Self::Attachments => "the attachments of a batch do not come out",
        })
    }
}

impl<'a, A> Batch<'a, A> {
    /// Checks that everything comes out, before anything is carried out.
    pub(crate) fn read(
        numbers: &'a [f64],
        texts: &'a str,
        large: &'a [String],
        attachments: &'a [A],
    ) -> Result<Self, Misfit> {
        let frames = numbers.chunks_exact(FRAME);
        if !frames.remainder().is_empty() {
            return Err(Misfit::Numbers);
        }
        let (mut n_units, mut n_large, mut n_attachments) = (0, 0, 0);
        for frame in frames.clone() {
            let [_kind, _subject, _detail, n_own, lengths @ .., _timeout, _token] = frame else {
                return Err(Misfit::Numbers);
            };
            n_attachments += count(*n_own)?;
            for &length in lengths {
                match whole(length)? {
                    ABSENT => {}
                    LARGE => n_large += 1,
                    _ => n_units += count(length)?,
                }
            }
        }
        let texts = Texts::new(texts);
        if n_units != texts.n_units() || n_large != large.len() as u64 {
            return Err(Misfit::Texts);
        }
        if n_attachments != attachments.len() as u64 {
            return Err(Misfit::Attachments);
        }
        Ok(Self { frames, texts, large: large.iter(), attachments })
    }

    /// The next command; `None` after the last.
    ///
    /// # Errors
    /// [`Misfit::Numbers`] when this command cannot be carried out. Anything else means that the batch cannot be followed
    /// any further, for instance because a text would end within a character.
    pub(crate) fn next(&mut self) -> Result<Option<Command<'a, A>>, Misfit> {
        let Some(frame) = self.frames.next() else { return Ok(None) };
        let [kind, subject, detail, n_own, rooms, except, payload, timeout, token] = frame else {
            return Err(Misfit::Numbers);
        };
        let n_own = usize::try_from(count(*n_own)?).map_err(|_| Misfit::Attachments)?;
        let (attachments, rest) = self.attachments.split_at_checked(n_own).ok_or(Misfit::Attachments)?;
        self.attachments = rest;
        // Before anything that may be wrong with this command alone.
        let (rooms, except, payload) = (self.text(*rooms)?, self.text(*except)?, self.text(*payload)?);
        Ok(Some(Command {
            kind: count(*kind)?,
            subject: count(*subject)?,
            detail: count(*detail)?,
            rooms,
            except,
            payload,
            attachments,
            timeout: duration(*timeout)?,
            token: count(*token)?,
        }))
    }

    fn text(&mut self, length: f64) -> Result<Option<&'a str>, Misfit> {
        let text = match whole(length)? {
            ABSENT => return Ok(None),
            LARGE => self.large.next().map(String::as_str),
            n_units => usize::try_from(n_units).ok().and_then(|n_units| self.texts.take(n_units)),
        };
        text.map(Some).ok_or(Misfit::Texts)
    }
}

/// A whole number that JavaScript knows exactly.
fn whole(value: f64) -> Result<i64, Misfit> {
    // Written so that it fails for what is no number at all.
    if !(value.abs() < MAX_EXACT && value.fract() == 0.0) {
        return Err(Misfit::Numbers);
    }
    #[expect(clippy::cast_possible_truncation, reason = "just checked")]
    Ok(value as i64)
}

fn count(value: f64) -> Result<u64, Misfit> {
    u64::try_from(whole(value)?).map_err(|_| Misfit::Numbers)
}

pub(crate) fn duration(milliseconds: f64) -> Result<Option<Duration>, Misfit> {
    if milliseconds < 0.0 {
        return if whole(milliseconds)? == UNLIMITED { Ok(None) } else { Err(Misfit::Numbers) };
    }
    Duration::try_from_secs_f64(milliseconds / 1000.0).map(Some).map_err(|_| Misfit::Numbers)
}

/// Texts one after the other. JavaScript counts them in UTF-16 units.
#[derive(Debug)]
struct Texts<'a> {
    rest: &'a str,
    is_ascii: bool,
}

impl<'a> Texts<'a> {
    fn new(texts: &'a str) -> Self {
        Self { rest: texts, is_ascii: texts.is_ascii() }
    }

    fn n_units(&self) -> u64 {
        if self.is_ascii {
            return self.rest.len() as u64;
        }
        // Each character is one unit, or two if its code takes four bytes.
        self.rest.bytes().map(|byte| u64::from(byte & 0xc0 != 0x80) + u64::from(byte >= 0xf0)).sum()
    }

    fn take(&mut self, n_units: usize) -> Option<&'a str> {
        let end = if self.is_ascii { n_units } else { self.position(n_units)? };
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(text)
    }

    fn position(&self, n_units: usize) -> Option<usize> {
        let mut n_left = n_units;
        for (at, character) in self.rest.char_indices() {
            if n_left == 0 {
                return Some(at);
            }
            n_left = n_left.checked_sub(character.len_utf16())?;
        }
        (n_left == 0).then_some(self.rest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: f64 = -2.0;
    const LARGE: f64 = -1.0;
    const UNLIMITED: f64 = -1.0;

    fn read(numbers: &[f64], texts: &str, large: &[&str], attachments: &[u8]) -> Result<Vec<String>, Misfit> {
        let large: Vec<String> = large.iter().map(ToString::to_string).collect();
        let mut batch = Batch::read(numbers, texts, &large, attachments)?;
        let mut read = Vec::new();
        while let Some(command) = batch.next()? {
            let Command { kind, rooms, except, payload, attachments, .. } = command;
            let texts = [rooms, except, payload].map(|text| text.unwrap_or("-"));
            read.push(format!("{kind} {} {attachments:?}", texts.join(" ")));
        }
        Ok(read)
    }

    #[test]
    fn each_command_gets_its_own_texts_and_attachments() {
        let numbers = [
            [3.0, 1.0, 0.0, 1.0, 3.0, NONE, LARGE, UNLIMITED, 0.0],
            [0.0, 2.0, 0.0, 2.0, NONE, NONE, 4.0, 10.5, 7.0],
            [9.0, 3.0, 0.0, 0.0, NONE, NONE, NONE, UNLIMITED, 0.0],
        ]
        .concat();
        for (texts, payload) in [("abcdefg", "defg"), ("äöü€🦀z", "€🦀z"), ("🦀1défg", "défg")]
        {
            let rooms = texts.strip_suffix(payload).expect("a part of it");
            let expected = [
                format!("3 {rooms} - large [1]"),
                format!("0 - - {payload} [2, 3]"),
                "9 - - - []".to_owned(),
            ];
            assert_eq!(read(&numbers, texts, &["large"], &[1, 2, 3]).as_deref(), Ok(&expected[..]));
        }
    }

    #[test]
    fn a_batch_that_does_not_come_out_is_refused_before_anything_is_carried_out() {
        let one = |n_own, length| [0.0, 1.0, 0.0, n_own, NONE, NONE, length, UNLIMITED, 0.0];
        assert_eq!(read(&one(0.0, 3.0), "[1]", &[], &[]).map(|read| read.len()), Ok(1));
        assert_eq!(read(&one(0.0, 3.0), "[1][2]", &[], &[]), Err(Misfit::Texts));
        assert_eq!(read(&one(0.0, 3.0), "[]", &[], &[]), Err(Misfit::Texts));
        assert_eq!(read(&one(0.0, LARGE), "", &[], &[]), Err(Misfit::Texts));
        assert_eq!(read(&one(0.0, 3.0), "[1]", &["[2]"], &[]), Err(Misfit::Texts));
        assert_eq!(read(&one(1.0, 3.0), "[1]", &[], &[]), Err(Misfit::Attachments));
        assert_eq!(read(&one(1.0, 3.0), "[1]", &[], &[1, 2]), Err(Misfit::Attachments));
        assert_eq!(read(&one(0.0, 3.0)[..8], "[1]", &[], &[]), Err(Misfit::Numbers));
    }

    #[test]
    fn a_length_that_is_none_spoils_the_batch_and_another_bad_number_its_command() {
        let good = [0.0, 1.0, 0.0, 1.0, NONE, NONE, 2.0, UNLIMITED, 0.0];
        for bad in [f64::NAN, f64::INFINITY, -3.0, 0.5, MAX_EXACT] {
            for at in [0, 1, 2, 3, 4, 5, 6, 8] {
                let mut numbers = [good, good].concat();
                numbers[at] = bad;
                let batch = Batch::read(&numbers, "[][]", &[], &[1, 2]);
                if (3..=6).contains(&at) {
                    assert_eq!(batch.unwrap_err(), Misfit::Numbers, "{bad} at {at}");
                    continue;
                }
                let mut batch = batch.unwrap();
                assert_eq!(batch.next(), Err(Misfit::Numbers), "{bad} at {at}");
                let second = batch.next().unwrap().unwrap();
                assert_eq!((second.payload, second.attachments), (Some("[]"), &[2][..]));
                assert_eq!(batch.next(), Ok(None));
            }
        }
    }

    #[test]
    fn a_timeout_is_any_time_or_none() {
        let read = |timeout: f64| {
            let numbers = [1.0, 1.0, 0.0, 0.0, NONE, NONE, 2.0, timeout, 7.0];
            Batch::<u8>::read(&numbers, "[]", &[], &[])
                .unwrap()
                .next()
                .map(|command| command.unwrap().timeout)
        };
        assert_eq!(read(UNLIMITED), Ok(None));
        assert_eq!(read(0.5), Ok(Some(Duration::from_micros(500))));
        for bad in [f64::NAN, f64::INFINITY, -3.0, -0.5] {
            assert_eq!(read(bad), Err(Misfit::Numbers), "{bad}");
        }
    }

    #[test]
    fn a_text_that_would_end_within_a_character_is_refused() {
        let numbers = [
            [0.0, 1.0, 0.0, 0.0, NONE, NONE, 1.0, UNLIMITED, 0.0],
            [0.0, 1.0, 0.0, 0.0, NONE, NONE, 1.0, UNLIMITED, 0.0],
        ]
        .concat();
        assert_eq!(read(&numbers, "🦀", &[], &[]), Err(Misfit::Texts));
    }
}
