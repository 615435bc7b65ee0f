//! Lines on standard output and standard error.

use std::io::{ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

/// First error of standard output.
static OUTPUT_ERROR: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Prints a line on standard output. A closed pipe (`paylog audit | head`) is no error; [`take_output_error`] returns any
/// other error, which is one of the whole command.
pub(crate) fn print_line(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        let mut first = OUTPUT_ERROR.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
    }
}

/// Takes the error of the first line that could not be printed; `None` if all lines were printed.
pub(crate) fn take_output_error() -> Option<std::io::Error> {
    OUTPUT_ERROR.lock().unwrap_or_else(PoisonError::into_inner).take()
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
