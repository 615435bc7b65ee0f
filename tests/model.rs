//! The payment protocol, model checked: the real machine over documents that the real filters and operations change.
//!
//! Every request may be lost, may arrive late and any number of times from the moment it is sent; answers may be
//! lost; reads may be stale; workers crash at every point and others take over; marks are pruned at any moment. What
//! must hold is asserted in every state that can be reached, and in each of them recovery is run to its end.
//!
//! `cargo test --release --test model -- --nocapture` prints states, properties and negative controls.
//! `PAYLOG_MODEL_FULL=1` adds the configurations that take longer.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a model that is wrong must stop the test"
)]

#[path = "model/control.rs"]
mod control;
#[path = "model/properties.rs"]
mod properties;
#[path = "model/scenario.rs"]
mod scenario;
#[path = "model/tables.rs"]
mod tables;
#[path = "model/world.rs"]
mod world;

use std::time::Instant;

use control::Control;
use paylog::payment::machine::Manner::{AtOnce, Stepwise};
use properties::Seen;
use scenario::Scenario;
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use world::World;

/// Explores everything that can happen; every property must hold.
fn holds(scenario: Scenario) {
    let begun = Instant::now();
    let name = scenario.name;
    let checker = World::new(scenario).checker().spawn_bfs().join();
    println!(
        "{name}: {} states ({} with repetitions), depth {}, {} properties, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        checker.model().properties().len(),
        begun.elapsed().as_secs_f64(),
    );
    let mut failed = Vec::new();
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match (property.expectation, found) {
            (Expectation::Always, Some(path)) => {
                println!("{}", world::told_as_a_story(checker.model(), path.into_vec()));
                failed.push(format!("violated: {}", property.name));
            }
            (Expectation::Sometimes, None) => failed.push(format!("never seen: {}", property.name)),
            _ => {}
        }
    }
    assert!(failed.is_empty(), "{name}: {failed:?}");
}

/// Without one rule something must go wrong.
fn fails(scenario: Scenario) {
    let begun = Instant::now();
    let (name, control) = (scenario.name, scenario.control);
    let checker = World::new(scenario)
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let violated = checker.model().properties().into_iter().find_map(|property| {
        let always = property.expectation == Expectation::Always;
        always.then(|| checker.discovery(property.name).map(|path| (property.name, path)))?
    });
    let Some((property, path)) = violated else {
        panic!(
            "{name} without {control:?}: no violation in {} states",
            checker.unique_state_count()
        );
    };
    let path = path.into_vec();
    println!(
        "{name} without {control:?}: '{property}' is violated after {} steps ({} states, {:.1} s)",
        path.len() - 1,
        checker.unique_state_count(),
        begun.elapsed().as_secs_f64(),
    );
    if std::env::var_os("PAYLOG_MODEL_STORIES").is_some() {
        println!("{}", world::told_as_a_story(checker.model(), path));
    }
}

#[test]
fn purchase_stepwise() {
    holds(Scenario::purchase(Stepwise).seeing(&[Seen::Success, Seen::Pruned, Seen::Two, Seen::Unknown]));
}

#[test]
fn transfer_stepwise() {
    holds(Scenario::transfer(Stepwise).seeing(&[
        Seen::Success,
        Seen::Refusal,
        Seen::Reversal,
        Seen::Pruned,
        Seen::Two,
        Seen::Unknown,
    ]));
}
