//! Tests that need what a machine may lack.

use std::io::Write;
use std::path::Path;

/// Whether what `.ci/sdk` installs is there. Where it must be and is not, the test fails; where it may be absent, that is
/// said.
pub(crate) fn is_installed(what: &str, file: &Path) -> bool {
    if file.exists() {
        return true;
    }
    assert!(
        std::env::var_os("PAYLOG_SDK_REQUIRED").is_none(),
        "the {what} must be installed (.ci/sdk): {} is absent",
        file.display()
    );
    say_skipped(format_args!("the {what} is not installed; .ci/sdk installs it"));
    false
}

/// Says aloud that a test is left out, past the capture of the test runner.
pub(crate) fn say_skipped(what: std::fmt::Arguments<'_>) {
    let mut stderr = std::io::stderr();
    let _ = stderr.write_fmt(format_args!("SKIPPED: {what}\n"));
}
