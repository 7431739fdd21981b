//! The compressed forms of frames for many, until all receivers have them.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::packet::frame::Frame;

/// More frames for many are hardly under way at a time. With the next the oldest is given up: who still has to get it
/// compresses it anew.
const MAX_FRAMES: usize = 16;

/// Where the first who asks puts a compressed form; `None` if it is no shorter.
type Place = Arc<OnceLock<Option<Frame>>>;

/// Compressed forms, beside the frames that they belong to.
#[derive(Debug, Default)]
pub(crate) struct SharedForms(Mutex<Vec<(Frame, Place)>>);

impl SharedForms {
    /// The compressed form of a frame for many, made now if nobody has asked before.
    pub(crate) fn of(&self, raw: &Frame, compress: impl FnOnce() -> Option<Frame>) -> Option<Frame> {
        self.place(raw).get_or_init(compress).clone()
    }

    fn place(&self, raw: &Frame) -> Place {
        let mut places = self.0.lock();
        if let Some((_, place)) = places.iter().find(|(frame, _)| frame.is_same(raw)) {
            return place.clone();
        }
        if places.len() == MAX_FRAMES {
            places.remove(0);
        }
        let place = Place::default();
        places.push((raw.clone(), place.clone()));
        place
    }

    /// Forgets the forms of frames that nobody has any more.
    pub(crate) fn forget_unused(&self) {
        self.0.lock().retain(|(frame, _)| !frame.is_last());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_made_once_and_kept_as_long_as_its_frame() {
        let forms = SharedForms::default();
        let frame = Frame::message_text("the same");
        let form = |frame: &Frame, body: &[u8]| forms.of(frame, || Some(frame.with_compressed(body)));
        let first = form(&frame, b"first").expect("it was made");
        assert!(form(&frame.clone(), b"second").expect("it is there").is_same(&first));
        forms.forget_unused();
        assert_eq!(forms.0.lock().len(), 1);
        drop(frame);
        forms.forget_unused();
        assert_eq!(forms.0.lock().len(), 0);
        let frames: Vec<_> = (0..100).map(|number| Frame::message_text(&number.to_string())).collect();
        for frame in &frames {
            form(frame, b"one of many");
        }
        assert_eq!(forms.0.lock().len(), MAX_FRAMES);
    }
}
