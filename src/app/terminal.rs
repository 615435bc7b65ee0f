//! Lines on standard output and standard error.

use std::io::{ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

/// Why standard output could not be written, the first time that it could not.
static UNWRITTEN: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Prints a line on standard output. A reader that has gone away (`paylog audit | head`) is no error; anything else
/// that stands in the way is one of the whole command, which [`unwritten`] answers.
pub(crate) fn print_line(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        let mut unwritten = UNWRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.get_or_insert(error);
    }
}

/// Takes the error of the first line that could not be printed; `None` where all were.
pub(crate) fn unwritten() -> Option<std::io::Error> {
    UNWRITTEN.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Prints a line on standard error.
pub(crate) fn eprint_line(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", line.as_ref());
}

/// Prints `value` as JSON over several lines.
///
/// # Errors
/// A value that JSON cannot hold.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print_line(serde_json::to_string_pretty(value)?);
    Ok(())
}
