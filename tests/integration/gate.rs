//! The parts of `.ci/` that judge: the budget of the stages fails if it is exceeded.

use std::path::Path;
use std::process::{Command, Output};

/// Runs one stage that uses some processor time, then ends the stages with `budget` minutes.
fn stages_with_budget(budget: &str) -> Output {
    let script = format!(
        "set -eu; . .ci/stages; stage busy; \
         bash -c 'for i in $(seq 200000); do :; done'; stages_end {budget}"
    );
    Command::new("bash")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .args(["-c", &script])
        .output()
        .unwrap()
}

#[test]
fn stages_within_the_budget_pass_and_are_listed() {
    let ended = stages_with_budget("10");
    let printed = String::from_utf8(ended.stdout).unwrap();
    assert!(ended.status.success(), "{printed}");
    assert!(printed.contains("\nbusy "), "{printed}");
    assert!(printed.contains("processor time"), "{printed}");
}

#[test]
fn stages_beyond_the_budget_fail() {
    let ended = stages_with_budget("0.0001");
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success());
    assert!(error.contains("the budget is 0.0001"), "{error}");
}
