//! The last line of a test run: how many tests were skipped, and why.
//!
//! The test harness counts a test that finds its SDK missing as passed. Such a test adds itself to a list; this program
//! prints the list and its length. Cargo runs test programs by name, so this one comes after all that add to the list.
//! With `PAYLOG_SDK_REQUIRED` set, a missing SDK fails the test instead.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a program that reports")]

#[expect(dead_code, reason = "tests of other programs add to the list")]
mod registry;

fn main() {
    // Test runners ask every test program for its tests. It has none.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let tests = registry::take();
    match tests.len() {
        0 => println!("\nno test was skipped\n"),
        1 => println!("\n1 test was skipped:"),
        number => println!("\n{number} tests were skipped:"),
    }
    for test in &tests {
        println!("  {test}");
    }
    if !tests.is_empty() {
        println!();
    }
}
