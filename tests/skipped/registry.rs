//! The skipped tests of one run of `cargo test`, in a file that all its test programs write to.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

/// The file of this run. Test programs of one run have the same parent process: cargo.
fn file() -> PathBuf {
    #[cfg(unix)]
    let run = std::os::unix::process::parent_id();
    #[cfg(not(unix))]
    let run = 0;
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("skipped-{run}"))
}

/// Adds one skipped test.
pub(crate) fn add(test: &str, reason: &str) {
    // One write of one line: tests on other threads add theirs at the same time.
    let line = format!("{test}: {reason}\n");
    let appended = File::options()
        .create(true)
        .append(true)
        .open(file())
        .and_then(|mut file| file.write_all(line.as_bytes()));
    appended.expect("the list of skipped tests cannot be written");
}

/// Removes and returns the skipped tests of this run, sorted, one line each.
pub(crate) fn take() -> Vec<String> {
    let text = fs::read_to_string(file()).unwrap_or_default();
    let _ = fs::remove_file(file());
    let mut tests: Vec<_> = text.lines().map(str::to_owned).collect();
    tests.sort();
    tests.dedup();
    tests
}
