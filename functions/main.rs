//! The app: its cloud functions and hooks, one file each, handed over to paylog's command line.
fn main() {}
