//! The real program, killed at each write of each kind of payment: before it, after it, and in the middle of a batch;
//! and killed again during the recovery.
//!
//! An uninterrupted run of each scenario shows its writing calls. Then the scenario runs once for each failpoint at
//! those calls: the program stops there, is killed, starts again and recovers. The audit must be clean, the money must
//! have moved completely or not at all, and the repeated call must return one final response.
//!
//! By default recovery is killed once per scenario, at a random failpoint (`PAYLOG_SEED`); with `PAYLOG_CRASH=all` it is
//! killed at every failpoint, after every first kill.

mod harness;
mod scenarios;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use paylog::environment::Environment;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use crate::support::program;
use harness::{CommitMode, Failpoint, Harness, Moment};
use scenarios::{Case, Money, Participants, Scenario};

/// Commit modes of the concurrent harnesses, each with its own data.
const LANES: [CommitMode; 4] = [
    CommitMode::PerDocument,
    CommitMode::Atomic,
    CommitMode::PerDocument,
    CommitMode::PerDocument,
];

/// Time that the program has to reach the failpoint after the response.
const GRACE: Duration = Duration::from_secs(3);

/// All runs of one scenario.
struct ScenarioRun<'a> {
    harness: &'a mut Harness,
    participants: Participants,
    scenario: Scenario,
    rounds: usize,
    kills: usize,
    kills_while_recovering: usize,
}

/// The response of the caller, if there was one.
type CallerResponse = Option<(u16, Value)>;

/// Result of one scenario.
struct ScenarioReport {
    /// Writing calls of the uninterrupted run.
    calls: Vec<String>,
    kills: usize,
    kills_while_recovering: usize,
}

impl fmt::Display for ScenarioReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            calls,
            kills,
            kills_while_recovering,
        } = self;
        let count = calls.len();
        let calls = calls.join(", ");
        write!(
            f,
            "{count} calls ({calls}), {kills} kills and {kills_while_recovering} while recovering"
        )
    }
}

impl<'a> ScenarioRun<'a> {
    async fn new(harness: &'a mut Harness, scenario: Scenario) -> Self {
        let participants = Participants::create(harness, scenario).await;
        Self {
            harness,
            participants,
            scenario,
            rounds: 0,
            kills: 0,
            kills_while_recovering: 0,
        }
    }

    /// Runs the scenario with all kills. `rng` chooses the failpoint of the recovery.
    async fn run_all(&mut self, rng: &mut StdRng) -> ScenarioReport {
        let calls = self.uninterrupted().await;
        for failpoint in failpoints(&calls) {
            self.kill_at(failpoint, None).await;
        }
        let firsts = if is_exhaustive() {
            failpoints(&calls)
        } else {
            vec![Failpoint {
                call: calls.len().div_ceil(2),
                moment: Moment::After,
            }]
        };
        for first in firsts {
            let mut again = failpoints(&self.recovery_calls(first).await);
            if !is_exhaustive() {
                again = again.choose(rng).copied().into_iter().collect();
            }
            for again in again {
                self.kill_at(first, Some(again)).await;
            }
        }
        ScenarioReport {
            calls,
            kills: self.kills,
            kills_while_recovering: self.kills_while_recovering,
        }
    }

    /// Prepares everything up to the call.
    async fn prepare(&mut self) -> Case {
        self.rounds += 1;
        let case = self
            .participants
            .prepare(self.harness, self.scenario, self.rounds)
            .await;
        self.harness.wait_until_closed().await;
        self.harness.calls();
        case
    }

    /// Runs without a kill; returns the writing calls.
    async fn uninterrupted(&mut self) -> Vec<String> {
        self.harness.current_case = format!("{:?} {:?} uninterrupted", self.scenario, self.harness.mode);
        let case = self.prepare().await;
        let before = self.participants.money(self.harness).await;
        case.make_due(self.harness).await;
        let response = if case.runs_at_start() {
            self.harness.restart().await;
            None
        } else {
            Some(self.call(&case).await)
        };
        case.wait_until_done(self.harness).await;
        self.harness.wait_until_closed().await;
        let calls = self.harness.calls();
        self.check(&case, response, &before).await;
        calls
    }

    async fn call(&self, case: &Case) -> (u16, Value) {
        let answer = self.harness.call(case.function, case.from(), &case.parameters);
        answer.await
    }

    /// Kills at `first` only; returns the writing calls of the recovery.
    async fn recovery_calls(&mut self, first: Failpoint) -> Vec<String> {
        self.harness.current_case = format!(
            "{:?} {:?} {first:?}, recovering",
            self.scenario, self.harness.mode
        );
        let case = self.prepare().await;
        let before = self.participants.money(self.harness).await;
        let response = self.call_and_kill(&case, first).await;
        self.harness.start_killed().await;
        case.wait_until_done(self.harness).await;
        self.harness.wait_until_closed().await;
        let calls = self.harness.calls();
        self.check(&case, response, &before).await;
        self.kills += 1;
        calls
    }

    /// Kills at `failpoint`, and then at `again` during the recovery.
    async fn kill_at(&mut self, failpoint: Failpoint, again: Option<Failpoint>) {
        self.harness.current_case = format!(
            "{:?} {:?} {failpoint:?} {again:?}",
            self.scenario, self.harness.mode
        );
        let case = self.prepare().await;
        let before = self.participants.money(self.harness).await;
        let response = self.call_and_kill(&case, failpoint).await;
        if let Some(again) = again {
            self.harness.set_failpoint(again);
            self.harness.start_killed().await;
            if self
                .harness
                .wait_for_stop(async || case.is_done(self.harness).await, Duration::ZERO)
                .await
            {
                self.harness.assert_audit_clean().await;
                self.kills_while_recovering += 1;
            }
            self.harness.clear_failpoint();
            self.harness.kill(false);
        }
        self.harness.start_killed().await;
        self.harness.recover_all().await;
        self.harness.assert_audit_clean().await;
        let (now, expected_money) = (
            self.participants.money(self.harness).await,
            case.expected_money(&before),
        );
        if matches!(response, Some((200, _))) {
            assert_eq!(now, expected_money, "{response:?}");
        } else {
            assert!(
                now == before || now == expected_money,
                "{now:?} is neither {before:?} nor {expected_money:?}"
            );
        }
        self.check(&case, response, &before).await;
        self.kills += 1;
    }

    /// Calls, and kills the program at `failpoint`. At [`Moment::After`] the storage is killed too: acknowledged writes
    /// must survive that.
    async fn call_and_kill(&mut self, case: &Case, failpoint: Failpoint) -> CallerResponse {
        let (address, keys) = self.harness.endpoint();
        let path = format!("/1.1/functions/{}", case.function);
        let http = self.harness.http.clone();
        self.harness.set_failpoint(failpoint);
        case.make_due(self.harness).await;
        if case.runs_at_start() {
            if self.harness.restart().await {
                if self
                    .harness
                    .wait_for_stop(async || case.is_done(self.harness).await, GRACE)
                    .await
                {
                    self.harness.assert_audit_clean().await;
                }
                self.harness.clear_failpoint();
                self.harness.kill(failpoint.moment == Moment::After);
            }
            return None;
        }
        let call = program::send(
            &http,
            &address,
            &keys,
            "POST",
            &path,
            case.from(),
            &case.parameters,
        );
        let is_answered = Cell::new(false);
        let call = async {
            let response = call.await;
            is_answered.set(true);
            response
        };
        let harness = &mut *self.harness;
        let kill = async {
            if harness.wait_for_stop(async || is_answered.get(), GRACE).await {
                harness.assert_audit_clean().await;
            }
            harness.clear_failpoint();
            harness.kill(failpoint.moment == Moment::After);
        };
        let (response, ()) = tokio::join!(call, kill);
        response.ok()
    }

    /// Asserts that the repeated call returns the response of the first, and that the money is as expected.
    async fn check(&self, case: &Case, response: CallerResponse, before: &Money) {
        case.wait_until_done(self.harness).await;
        let answers = [Some(self.call(case).await), response, Some(self.call(case).await)];
        let mut answers = answers.into_iter().flatten().map(|(status, mut answer)| {
            if let Some(result) = answer["result"].as_object_mut() {
                result.shift_remove("replayed");
            }
            (status, answer)
        });
        let first = answers.next().unwrap();
        let (status, answer) = &first;
        match case.refusal_code {
            None => assert_eq!(*status, 200, "{answer}"),
            Some(code) => assert_eq!(
                (*status >= 400, &answer["code"]),
                (true, &json!(code)),
                "{answer}"
            ),
        }
        for other in answers {
            assert_eq!(other, first);
        }
        assert_eq!(
            self.participants.money(self.harness).await,
            case.expected_money(before)
        );
        if let Some((order, status)) = &case.order {
            let order = self.harness.get(&self.harness.config.order_class, order).await;
            assert_eq!(order.text("status"), Some(*status), "{order:?}");
        }
    }
}

/// All failpoints of these calls.
fn failpoints(calls: &[String]) -> Vec<Failpoint> {
    let moments = |call: &String| match call.strip_prefix("batch ") {
        Some(classes) if classes.contains(' ') => {
            vec![Moment::Before, Moment::First, Moment::Last, Moment::After]
        }
        _ => vec![Moment::Before, Moment::After],
    };
    let failpoints = (1..).zip(calls);
    failpoints
        .flat_map(|(call, name)| {
            moments(name)
                .into_iter()
                .map(move |moment| Failpoint { call, moment })
        })
        .collect()
}

fn is_exhaustive() -> bool {
    std::env::var_os("PAYLOG_CRASH").is_some_and(|value| value == "all")
}

#[tokio::test]
async fn payment_killed_at_any_write_recovers() {
    let environment = Environment::system();
    let seed = std::env::var_os("PAYLOG_SEED")
        .map(|text| text.to_str().unwrap().parse().unwrap())
        .unwrap_or_else(|| u64::from_be_bytes(environment.random()));
    println!("PAYLOG_SEED={seed}");
    let waiting: BTreeMap<CommitMode, RefCell<Vec<Scenario>>> = [CommitMode::Atomic, CommitMode::PerDocument]
        .map(|mode| {
            let scenarios = Scenario::ALL
                .into_iter()
                .filter(|scenario| scenario.runs_in(mode));
            (mode, RefCell::new(scenarios.collect()))
        })
        .into();
    let lanes = LANES.map(|mode| {
        let waiting = &waiting[&mode];
        async move {
            let mut harness = Harness::start(mode).await;
            let mut reports = Vec::new();
            loop {
                let scenario = waiting.borrow_mut().pop();
                let Some(scenario) = scenario else { break };
                // The same failpoints for a scenario, whichever lane runs it.
                let mut rng = StdRng::seed_from_u64(seed ^ scenario as u64);
                let mut run = ScenarioRun::new(&mut harness, scenario).await;
                reports.push((mode, scenario, run.run_all(&mut rng).await));
            }
            harness.finish().await;
            reports
        }
    });
    let mut reports: Vec<_> = join_all(lanes).await.into_iter().flatten().collect();
    reports.sort_by_key(|(mode, scenario, _)| (*mode, *scenario));
    let (mut kills, mut kills_while_recovering) = (0, 0);
    for (mode, scenario, reports) in &reports {
        println!("{mode:?} {scenario:?}: {reports}");
        kills += reports.kills;
        kills_while_recovering += reports.kills_while_recovering;
    }
    println!(
        "{kills} kills and {kills_while_recovering} while recovering, in {:?}",
        environment.elapsed()
    );
}
