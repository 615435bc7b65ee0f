//! Tests that need what a machine may lack.

use std::io::Write;

/// Says aloud that a test is left out, past the capture of the test runner.
pub(crate) fn say_skipped(what: std::fmt::Arguments<'_>) {
    let mut stderr = std::io::stderr();
    let _ = stderr.write_fmt(format_args!("SKIPPED: {what}\n"));
}
