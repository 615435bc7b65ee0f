//! Deterministic simulation: the real service, driver and machine on a simulated network, everything decided by a seed.
//!
//! Customers, gateways and two or three processes work on one store. Requests and answers are lost, repeated, late
//! (beyond every lease, and after the marks are pruned); reads are stale; workers and processes die at any call; wall
//! clocks jump. An auditor checks every write while it happens. Once the faults end, recovery alone must close every
//! payment, and all balances must agree with the responses that callers got.
//!
//! `PAYLOG_SEED=17 cargo test --test simulation -- --nocapture` prints one run step by step; `PAYLOG_SEEDS=100000` runs
//! more seeds.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a simulation that is wrong must stop the test"
)]

mod auditor;
mod calls;
mod faults;
mod moves;
mod network;
mod processes;
mod reconciliation;
mod responses;
mod rng;
mod run;
mod sabotage;
mod tasks;
mod workload;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use auditor::Coverage;
use run::{RunConfig, RunOutcome, run};
use sabotage::Sabotage;

/// Seeds of a run without `PAYLOG_SEEDS`.
const SEEDS: u64 = 2000;
/// Seeds that run at the same time: every machine has two cores.
const THREADS: usize = 2;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var_os(variable)?;
    Some(
        text.to_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("{variable} is a number")),
    )
}

/// The sum of many runs.
#[derive(Default)]
struct Summary {
    payments: usize,
    /// The number of runs that reached each situation.
    coverage: BTreeMap<Coverage, u64>,
}

/// Runs seeds on all threads until one fails. Returns the failed run with the lowest seed.
fn run_seeds(seeds: u64, sabotage: Sabotage) -> Result<Summary, Box<RunOutcome>> {
    let (next, summary, failed) = (
        AtomicU64::new(0),
        Mutex::new(Summary::default()),
        Mutex::new(None::<Box<RunOutcome>>),
    );
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while failed.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let outcome = run(RunConfig {
                        sabotage,
                        ..RunConfig::of(seed)
                    });
                    if outcome.violation.is_some() {
                        let mut failed = failed.lock().unwrap();
                        if failed.as_ref().is_none_or(|other| other.seed > seed) {
                            *failed = Some(Box::new(outcome));
                        }
                        return;
                    }
                    let mut summary = summary.lock().unwrap();
                    summary.payments += outcome.payments;
                    for one in outcome.coverage {
                        *summary.coverage.entry(one).or_insert(0) += 1;
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap() {
        Some(failed) => Err(failed),
        None => Ok(summary.into_inner().unwrap()),
    }
}

/// The command that repeats a failed run, and its violation.
fn replay(outcome: &RunOutcome) -> String {
    format!(
        "PAYLOG_SEED={} cargo test --test simulation random_faults_break_no_invariant -- --nocapture\n{}",
        outcome.seed,
        outcome.violation.as_deref().unwrap_or_default()
    )
}

#[test]
fn random_faults_break_no_invariant() {
    if let Some(seed) = number("PAYLOG_SEED") {
        let outcome = run(RunConfig {
            is_verbose: true,
            ..RunConfig::of(seed)
        });
        println!("{}", outcome.transcript.as_deref().unwrap_or_default());
        assert_eq!(outcome.violation, None, "seed {seed}");
        return;
    }
    let seeds = number("PAYLOG_SEEDS").unwrap_or(SEEDS);
    match run_seeds(seeds, Sabotage::None) {
        Ok(Summary { payments, coverage }) => {
            println!("{seeds} seeds, {payments} payments; runs that reached each situation: {coverage:?}");
            let missing: Vec<&Coverage> = Coverage::ALL
                .iter()
                .filter(|one| !coverage.contains_key(one))
                .collect();
            assert!(
                missing.is_empty() || seeds < SEEDS,
                "reached by no run: {missing:?}"
            );
        }
        Err(outcome) => {
            println!("{}", replay(&outcome));
            panic!("seed {}", outcome.seed);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..40 {
        let (first, second) = (run(RunConfig::of(seed)), run(RunConfig::of(seed)));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.violation, second.violation, "seed {seed}");
        assert_ne!(first.trace, run(RunConfig::of(seed + 1)).trace, "seed {seed}");
    }
}

#[test]
fn each_rule_left_out_breaks_an_invariant() {
    for sabotage in Sabotage::ALL {
        match run_seeds(SEEDS, sabotage) {
            Ok(_) => panic!("{sabotage:?} is not found in {SEEDS} seeds"),
            Err(outcome) => println!(
                "without {sabotage:?}, found by seed {}: {}",
                outcome.seed,
                outcome.violation.unwrap_or_default()
            ),
        }
    }
}
