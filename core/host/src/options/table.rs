//! The table: what the options are called, where they go, what they accept and what they mean.

use std::time::Duration;

use ferrio::Config;

use super::{Entry, Fault, Form, Spelled, Unit, Value};

mod http;
mod limits;
mod own;
mod sockets;
mod transport;

/// Every option, in the order of the documentation.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    [
        transport::TRANSPORT,
        http::HTTP,
        sockets::SOCKETS,
        limits::LIMITS,
        limits::OUTBOX,
        own::NODE,
        own::PYTHON,
    ]
    .into_iter()
    .flatten()
}

/// A day is long enough for every timer, and short enough for sums of them.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const fn entry(name: &'static str, spelled: Spelled, form: Form, doc: &'static str) -> Entry {
    Entry { name, spelled, form, doc }
}

const fn time(field: fn(&mut Config) -> &mut Duration) -> Form {
    Form::Time { field, low: Duration::from_millis(1), high: DAY }
}

const fn size(field: fn(&mut Config) -> &mut usize, unit: Unit, low: usize, high: usize) -> Form {
    Form::Size { field, unit, low, high }
}

const fn special(
    accepts: &'static str,
    default: &'static str,
    set: fn(&mut Config, &Value) -> Result<(), Fault>,
) -> Form {
    Form::Special { accepts, default, set }
}

const fn own(accepts: &'static str, default: &'static str) -> Form {
    Form::Own { accepts, default }
}
