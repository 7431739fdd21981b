//! Descriptors that the host language knows as numbers.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

/// Duplicates the descriptor of a connection or a port that the core takes over. The host keeps its own, and closes it as
/// it likes.
///
/// # Errors
/// Those of the system, also for a number that is no open descriptor.
pub fn duplicate(descriptor: i32) -> io::Result<OwnedFd> {
    // As the standard library does: the first three are those of the standard streams, and no child inherits it.
    // SAFETY: the call takes no pointer, and refuses a number that is no open descriptor.
    #[expect(unsafe_code, reason = "it is a function of the system")]
    let duplicate = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3) };
    if duplicate < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was made just now, and nobody else knows it.
    #[expect(unsafe_code, reason = "the system names descriptors by numbers")]
    Ok(unsafe { OwnedFd::from_raw_fd(duplicate) })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write, pipe},
        os::fd::AsRawFd,
    };

    use super::*;

    #[test]
    fn a_duplicate_outlives_the_descriptor() {
        let (mut reader, writer) = pipe().unwrap();
        let duplicate = duplicate(writer.as_raw_fd()).unwrap();
        drop(writer);
        std::fs::File::from(duplicate).write_all(b"hello").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn a_number_that_is_no_descriptor_is_an_error() {
        for number in [-1, i32::MIN, i32::MAX] {
            assert_eq!(duplicate(number).unwrap_err().raw_os_error(), Some(libc::EBADF));
        }
    }
}
