//! The payment protocol, model checked: the real machine over documents that the real filters and operations change.
//!
//! Every request may be lost, may arrive late and any number of times from the moment it is sent; answers may be
//! lost; reads may be stale; workers crash at every point and others take over; marks are pruned at any moment. What
//! must hold is asserted in every state that can be reached, and in each of them recovery is run to its end.
//!
//! `cargo test --release --test model -- --nocapture` prints states, properties and negative controls.
//! `cargo test --release --test model at_large -- --ignored --nocapture` runs those that take longer;
//! `PAYLOG_MODEL_STORIES=1` prints the counterexample of each control, step by step.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a model that is wrong must stop the test"
)]
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "the numbers of states, and how long it took, are what the test reports"
)]

mod control;
mod outside;
mod properties;
mod relocation;
mod scenario;
mod store;
mod tables;
mod world;

use std::time::Instant;

use control::Control;
use paylog::payment::protocol::log::LogState;
use paylog::payment::protocol::machine::CommitMode::{Atomic, PerDocument};
use properties::Seen;
use scenario::{Scenario, capture, capture_part, expiry, keyed_capture, keyed_release, release};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use world::World;

/// Explores everything that can happen; every property must hold.
fn holds(scenario: Scenario) {
    let begun = Instant::now();
    let name = scenario.name;
    let checker = World::new(scenario)
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
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

/// Sightings of a payment that can only succeed.
const SMOOTH: [Seen; 4] = [Seen::Success, Seen::Pruned, Seen::Two, Seen::Unknown];
/// Sightings of a payment that can be refused, too.
const ROUGH: [Seen; 5] = [
    Seen::Success,
    Seen::Refusal,
    Seen::Pruned,
    Seen::Two,
    Seen::Unknown,
];
const REVERSED: [Seen; 6] = [
    Seen::Success,
    Seen::Refusal,
    Seen::Reversal,
    Seen::Pruned,
    Seen::Two,
    Seen::Unknown,
];

#[test]
fn purchase_with_enough_money() {
    holds(Scenario::purchase(PerDocument).seeing(&SMOOTH));
    holds(
        Scenario::purchase(Atomic)
            .seeing(&[Seen::Success])
            .with_repeats()
            .named("purchase at once"),
    );
    holds(
        Scenario::purchase(PerDocument)
            .seeing(&SMOOTH)
            .with_stale(1)
            .named("purchase, stale reads"),
    );
}

#[test]
fn purchase_without_enough_money() {
    holds(Scenario::poor_purchase(PerDocument).with_repeats().seeing(&ROUGH));
    holds(
        Scenario::poor_purchase(Atomic)
            .with_repeats()
            .seeing(&[Seen::Success, Seen::Refusal]),
    );
    holds(Scenario::mixed_purchase().seeing(&ROUGH));
    holds(
        Scenario::mixed_purchase()
            .seeing(&ROUGH)
            .with_stale(1)
            .named("both manners, stale reads"),
    );
}

#[test]
fn purchase_against_cancellation() {
    let seen = [
        Seen::Success,
        Seen::Refusal,
        Seen::Paid,
        Seen::Cancelled,
        Seen::Expired,
    ];
    let mixed = |pay, cancel| Scenario::attempts(pay, cancel, true).seeing(&seen);
    holds(mixed(Atomic, PerDocument).named("pay at once or cancel"));
    holds(mixed(PerDocument, Atomic).named("pay or cancel at once"));
    holds(mixed(PerDocument, PerDocument).with_workers(1));
}

#[test]
fn recharges() {
    let paid = [Seen::Success, Seen::Refusal, Seen::Apart];
    let seen = [paid.as_slice(), &[Seen::Pruned, Seen::Unknown]].concat();
    holds(
        Scenario::recharge(PerDocument, &["T"])
            .seeing(&seen)
            .named("recharge, one notice"),
    );
    holds(
        Scenario::recharge(Atomic, &["T"])
            .seeing(&paid)
            .named("recharge at once, one notice"),
    );
    let two = Scenario::recharge(PerDocument, &["T", "U"]).with_workers(1);
    holds(two.seeing(&seen).named("recharge, two numbers"));
}

#[test]
fn transfer_with_two_debits_and_a_credit() {
    holds(Scenario::transfer(PerDocument).seeing(&REVERSED));
    holds(
        Scenario::transfer(Atomic)
            .seeing(&[Seen::Success, Seen::Refusal])
            .with_repeats(),
    );
}

#[test]
fn two_payments_compete_for_one_balance() {
    holds(Scenario::two_transfers(PerDocument, Atomic).seeing(&ROUGH));
}

#[test]
fn holds_captured_released_and_expired() {
    let captured = [Seen::Success, Seen::Captured, Seen::Pruned, Seen::Unknown];
    let seen = [captured.as_slice(), &[Seen::Released]].concat();
    let hold = |manner, ends| Scenario::hold(manner, ends).with_ample_money();
    holds(
        hold(PerDocument, [capture, release])
            .with_workers(1)
            .seeing(&seen)
            .named("hold, capture or release"),
    );
    holds(
        hold(PerDocument, [capture_part, capture])
            .with_workers(1)
            .seeing(&captured)
            .named("hold, capture of a part or of all"),
    );
    holds(
        hold(Atomic, [capture_part, expiry])
            .seeing(&captured)
            .named("hold, capture of a part or expiry, in both manners"),
    );
}

#[test]
fn withdrawals() {
    let seen = [
        Seen::Success,
        Seen::Released,
        Seen::PaidOut,
        Seen::Pruned,
        Seen::Unknown,
    ];
    holds(Scenario::withdrawal(PerDocument).with_workers(1).seeing(&seen));
    holds(
        Scenario::withdrawal(Atomic)
            .seeing(&seen)
            .named("withdrawal, in both manners"),
    );
}

#[test]
fn adjustments() {
    let seen = [Seen::Success, Seen::Refusal, Seen::Pruned, Seen::Unknown];
    holds(Scenario::adjusting(PerDocument, 0).with_workers(1).seeing(&seen));
    let seen = [Seen::Success, Seen::Refusal, Seen::Unknown];
    holds(
        Scenario::adjusting(Atomic, -1)
            .with_workers(1)
            .seeing(&seen)
            .named("adjusting an account below zero, in both manners"),
    );
}

#[test]
fn refunds() {
    let refunded = [Seen::Success, Seen::Refunded];
    let seen = [refunded.as_slice(), &[Seen::Pruned, Seen::Unknown]].concat();
    let one = |manner| Scenario::refunds(manner, 2, true).with_workers(1);
    holds(one(Atomic).seeing(&refunded).named("refunds in both manners"));
    holds(one(PerDocument).seeing(&seen));
    let reversed = [seen.as_slice(), &[Seen::Refusal, Seen::Reversal]].concat();
    holds(
        Scenario::too_many_refunds(PerDocument, PerDocument)
            .with_workers(1)
            .seeing(&reversed),
    );
    holds(
        Scenario::too_many_refunds(Atomic, PerDocument)
            .with_workers(1)
            .seeing(&reversed)
            .named("a refund in full or in part, in both manners"),
    );
}

#[test]
fn refunds_with_stale_reads() {
    holds(
        Scenario::plain_refunds()
            .with_workers(1)
            .with_stale(2)
            .seeing(&[Seen::Success, Seen::Refunded])
            .named("refunds, stale reads"),
    );
}

/// The old home goes on working while it moves; once the move is final, both serve whoever asks.
#[test]
fn relocation_of_documents() {
    let seen = [
        Seen::Success,
        Seen::Unknown,
        Seen::LateAtTheFence,
        Seen::ArrivedOrdered,
        Seen::ArrivedApplied,
        Seen::ArrivedClosed,
    ];
    let transfer = |manner| {
        Scenario::plain_transfer(manner)
            .with_workers(1)
            .with_epochs(0)
            .moving(1)
    };
    holds(
        transfer(PerDocument)
            .seeing(&seen)
            .named("transfer while the store moves"),
    );
    holds(
        transfer(Atomic)
            .seeing(&[Seen::Success, Seen::ArrivedApplied, Seen::ArrivedClosed])
            .named("transfer at once while the store moves"),
    );
    let recharge = Scenario::recharge(PerDocument, &["T"]).with_workers(1).moving(1);
    let seen = [
        Seen::Success,
        Seen::ArrivedOrdered,
        Seen::ArrivedFunded,
        Seen::ArrivedClosed,
    ];
    holds(recharge.seeing(&seen).named("recharge while the store moves"));
}

#[test]
fn relocation_of_logs_in_every_state() {
    let states = [
        LogState::Created,
        LogState::Ordered,
        LogState::Funded,
        LogState::Applied,
        LogState::Settled,
    ];
    for state in states {
        let under_way = Scenario::under_way(state)
            .with_workers(1)
            .moving(1)
            .with_epochs(0);
        holds(
            under_way
                .seeing(&[Seen::Success, Seen::Arrived])
                .named(state_name(state)),
        );
    }
}

fn state_name(state: LogState) -> &'static str {
    match state {
        LogState::Created => "moving a log in state 0",
        LogState::Ordered => "moving a log in state 1",
        LogState::Funded => "moving a log in state 2",
        LogState::Applied => "moving a log in state 3",
        LogState::Settled => "moving a log in state 4",
        LogState::Closed => "moving a closed log",
    }
}

#[test]
fn relocation_after_a_rolled_back_attempt() {
    let seen = [
        Seen::Success,
        Seen::TriedAgain,
        Seen::ArrivedOrdered,
        Seen::ArrivedClosed,
    ];
    holds(
        Scenario::one_account(PerDocument)
            .with_workers(1)
            .with_epochs(0)
            .moving(2)
            .seeing(&seen)
            .named("one account while the store tries twice to move"),
    );
}

#[test]
fn transfer_to_oneself() {
    holds(Scenario::to_oneself().seeing(&[Seen::Success]));
}

/// The largest of those that are always explored.
#[test]
fn more_than_a_million_states() {
    holds(Scenario::attempts(PerDocument, PerDocument, true).named("pay or cancel, two workers"));
    holds(
        Scenario::purchase(PerDocument)
            .with_workers(3)
            .named("purchase, three workers"),
    );
}

#[test]
#[ignore = "millions of states; takes minutes"]
fn at_large() {
    holds(Scenario::recharge(PerDocument, &["T", "U"]).named("recharge, two numbers, two workers"));
    holds(Scenario::hold(PerDocument, [capture_part, release]).named("hold, two workers"));
}

#[test]
#[ignore = "many millions of states"]
fn two_payments_at_large() {
    let both = Scenario::two_transfers(PerDocument, PerDocument).seeing(&REVERSED);
    holds(both.named("two payments for the same money, both step by step"));
}

#[test]
#[ignore = "millions of states; takes minutes"]
fn stale_reads_at_large() {
    holds(
        Scenario::transfer(PerDocument)
            .with_stale(1)
            .named("two debits and a credit, stale reads"),
    );
    holds(
        Scenario::hold(Atomic, [capture_part, release])
            .with_stale(1)
            .named("hold, in both manners, stale reads"),
    );
    holds(
        Scenario::recharge(PerDocument, &["T"])
            .with_stale(1)
            .named("recharge, stale reads"),
    );
}

#[test]
fn every_protocol_rule_is_necessary() {
    fails(Scenario::purchase(PerDocument).without(Control::EpochInGuard));
    fails(Scenario::purchase(PerDocument).without(Control::MarkInGuard));
    fails(Scenario::transfer(PerDocument).without(Control::UndoMark));
    fails(Scenario::transfer(PerDocument).without(Control::Tombstone));
    fails(Scenario::purchase(PerDocument).without(Control::ClaimByWrite));
    fails(
        Scenario::purchase(PerDocument)
            .with_repeats()
            .without(Control::OwnCreateOnly),
    );
    fails(Scenario::poor_purchase(Atomic).without(Control::RefusalsStored));
    fails(Scenario::poor_transfer().without(Control::OneAtATime));
    fails(Scenario::transfer(PerDocument).without(Control::StateInGuard));
    fails(Scenario::recharge(PerDocument, &["T", "U"]).without(Control::TradeNo));
    fails(Scenario::recharge(PerDocument, &["T", "U"]).without(Control::ConfirmOnce));
    fails(Scenario::purchase(PerDocument).without(Control::PruneRaisesEpoch));
    fails(Scenario::purchase(PerDocument).without(Control::PruneClosedOnly));
    fails(Scenario::purchase(PerDocument).without(Control::NoAnswerIsNone));
    fails(Scenario::to_oneself().without(Control::Merging));
    fails(Scenario::attempts(PerDocument, PerDocument, false).without(Control::AttemptKey));
    fails(Scenario::hold(PerDocument, [keyed_capture, keyed_release]).without(Control::SettleKey));
    fails(Scenario::refunds(PerDocument, 1, false).without(Control::OrderLegLast));
    fails(
        Scenario::plain_refunds()
            .with_workers(1)
            .with_stale(1)
            .without(Control::RefundedByWrite),
    );
}

#[test]
fn every_relocation_rule_is_necessary() {
    let moving = |attempts| {
        Scenario::one_account(PerDocument)
            .with_workers(1)
            .with_epochs(0)
            .moving(attempts)
            .named("moving store")
    };
    let at_once = Scenario::one_account(Atomic).with_workers(1).moving(1);
    fails(moving(1).without(Control::EpochInGuard));
    fails(
        at_once
            .without(Control::EpochInGuard)
            .named("moving store, at once"),
    );
    fails(moving(1).without(Control::DocumentFence));
    fails(moving(1).without(Control::LogFence));
    fails(moving(1).without(Control::DecisionOnce));
    fails(moving(1).without(Control::OpenAfterFinal));
    fails(moving(1).without(Control::CopyGuard));
    fails(moving(2).without(Control::RollBackEpoch));
    fails(moving(2).without(Control::MoveAttempt));
    fails(
        Scenario::one_account(Atomic)
            .with_workers(1)
            .with_top_up(0, 1)
            .with_repeats()
            .poor()
            .moving(1)
            .without(Control::EpochInRefusal)
            .named("moving store, at once, without enough money"),
    );
}
