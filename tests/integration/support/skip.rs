//! Tests that need an SDK or a tool that a machine may lack.

use std::io::Write;
use std::path::Path;

#[expect(dead_code, reason = "tests/skipped takes the list")]
#[path = "../../skipped/registry.rs"]
mod registry;

/// True if `file`, a part of an SDK that `.ci/sdk` installs, is there. Otherwise the test is counted as skipped.
///
/// # Panics
/// If it is missing and `PAYLOG_SDK_REQUIRED` is set.
pub(crate) fn is_installed(sdk: &str, file: &Path) -> bool {
    let is_required = std::env::var_os("PAYLOG_SDK_REQUIRED").is_some();
    is_present(sdk, file, is_required)
}

fn is_present(sdk: &str, file: &Path, is_required: bool) -> bool {
    if file.exists() {
        return true;
    }
    assert!(
        !is_required,
        "the {sdk} must be installed (.ci/sdk): {} is missing",
        file.display()
    );
    skip(&format!("the {sdk} is not installed; .ci/sdk installs it"));
    false
}

/// Counts the test that runs on this thread as skipped, and prints the reason at once, past the output capture of the
/// test harness. `tests/skipped` prints the count at the end of `cargo test`.
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    registry::add(test, reason);
}

#[test]
#[should_panic(expected = "the SDK for tests must be installed")]
fn missing_sdk_fails_if_required() {
    is_present("SDK for tests", Path::new("no/such/file"), true);
}

#[test]
fn installed_sdk_is_present_if_required() {
    assert!(is_present("SDK for tests", Path::new(file!()), true));
}
