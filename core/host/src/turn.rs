//! How much a host deals with in one turn of its event loop.

/// Events of the core that are handled in one turn. The application's own timers and requests come between two turns,
/// so they must not wait for long; and what one turn sends leaves in one write for each client, so it pays to handle many.
///
/// A host ends a turn earlier by a measure of its own: the time its handlers took, or the bytes it has to convert.
pub const TURN_EVENTS: usize = 256;
