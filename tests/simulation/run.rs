//! One run, which its seed decides.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use paylog::model::ObjectId;
use paylog::payment::protocol::log::{Log, LogState};
use paylog::payment::{PaymentConfig, audit};

use crate::auditor::Coverage;
use crate::faults::Faults;
use crate::moves::{self, Moves};
use crate::network::{Batches, arrive_late};
use crate::processes::Processes;
use crate::reconciliation::reconcile;
use crate::rng::Rng;
use crate::sabotage::Sabotage;
use crate::tasks::Owner;
use crate::workload::{Plan, Population};
use crate::world::World;

/// The most steps of a run; a run with more is stuck.
const POLLS_MAX: u64 = 400_000;
/// The most time for recovery once the faults have ended. A lease lasts a minute at most.
const RECOVERY_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// Time within which each response arrives, and each request except those kept for the end of the run.
const RESPONSE_TIME_MAX: Duration = Duration::from_secs(120);

/// The result of a run.
#[derive(Debug)]
pub(crate) struct RunOutcome {
    pub(crate) seed: u64,
    /// The invariant that was violated, if any.
    pub(crate) violation: Option<String>,
    /// The hash of all events: the same for the same seed.
    pub(crate) trace: u64,
    pub(crate) transcript: Option<String>,
    pub(crate) coverage: BTreeSet<Coverage>,
    pub(crate) payments: usize,
}

/// The parameters of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunConfig {
    pub(crate) seed: u64,
    pub(crate) sabotage: Sabotage,
    /// True if the run keeps a transcript.
    pub(crate) is_verbose: bool,
}

impl RunConfig {
    pub(crate) fn of(seed: u64) -> Self {
        Self {
            seed,
            sabotage: Sabotage::None,
            is_verbose: false,
        }
    }
}

/// Runs one seed, on a runtime of its own whose time is paused.
pub(crate) fn run(run_config: RunConfig) -> RunOutcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let outcome = std::panic::catch_unwind(|| runtime.block_on(simulate(run_config)));
    outcome.unwrap_or_else(|panic| RunOutcome {
        seed: run_config.seed,
        violation: Some(format!("a panic: {}", text_of(&*panic))),
        trace: 0,
        transcript: None,
        coverage: BTreeSet::new(),
        payments: 0,
    })
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("?")
        .to_owned()
}

fn config(rng: &Rng) -> PaymentConfig {
    PaymentConfig {
        sandbox: true,
        prune_threshold: Some(usize::try_from(rng.below(4)).unwrap()),
        sweep_every: rng.millis(2_000, 12_000),
        ..PaymentConfig::new()
    }
}

async fn simulate(run_config: RunConfig) -> RunOutcome {
    let rng = Rng::new(run_config.seed);
    let plan = Plan::drawn(&rng);
    let faults = Faults::drawn(&rng);
    let world = World::new(
        &rng,
        faults,
        config(&rng),
        run_config.sabotage,
        run_config.is_verbose,
    );
    world.add_store();
    let mut slots = slots(moves::SOURCE, &rng);
    let move_plan = moves::Plan::drawn(&rng, plan.span_millis);
    if move_plan.is_some() {
        world.add_store();
        slots.extend(self::slots(moves::DESTINATION, &rng));
    }
    world.note(&0, || format!("{plan:?} {faults:?} {slots:?} {move_plan:?}"));
    let processes = Processes::new(&world, &rng, &slots, faults.policy_refuses > 0);
    let population = Population::new(&world, &processes, &plan, &rng);
    let plans = (&plan, move_plan.as_ref());
    let scenario = play(&world, &processes, &population, plans, &rng);
    let over = Arc::clone(&world);
    let ended = world
        .tasks
        .run(&world.rng, POLLS_MAX, || over.is_over(), scenario)
        .await;
    if ended.is_none() {
        world.violated("the run does not end");
    }
    let (trace, transcript) = world.end();
    if !world.is_over() {
        check_audit(&world, processes.serving().unwrap_or(moves::SOURCE)).await;
    }
    let state = world.state();
    RunOutcome {
        seed: run_config.seed,
        violation: state.violation.clone(),
        trace,
        transcript,
        coverage: state.auditor.coverage.clone(),
        payments: state.auditor.logs().count(),
    }
}

fn slots(store: usize, rng: &Rng) -> Vec<(usize, Batches)> {
    let manners = [Batches::AllOrNothing, Batches::Separate, Batches::Separate];
    let count = rng.between(2, 3);
    (0..count).map(|_| (store, *rng.pick(&manners))).collect()
}

/// The phases of a run, in order.
async fn play(
    world: &Arc<World>,
    processes: &Arc<Processes>,
    population: &Arc<Population>,
    (plan, move_plan): (&Plan, Option<&moves::Plan>),
    rng: &Rng,
) {
    processes.serve(Some(moves::SOURCE));
    world
        .tasks
        .spawn(Owner::World, Arc::clone(processes).inject_failures());
    let moves = Moves::new(world, processes, rng);
    let moving = async {
        if let Some(plan) = move_plan {
            moves.run(plan).await;
        }
    };
    let living = async {
        population.run(plan, rng).await;
        world.note(&"healed", || "nothing goes wrong any more".to_owned());
        world.heal();
    };
    futures_util::future::join(living, moving).await;
    // Stale responses from the time of the faults still arrive.
    world.environment.sleep(RESPONSE_TIME_MAX).await;
    let store = run_until_quiet(world, processes, &moves).await;
    let late = std::mem::take(&mut world.state().at_the_end);
    for (store, request) in late {
        arrive_late(world, store, &request);
    }
    let store = {
        let after = run_until_quiet(world, processes, &moves).await;
        assert_eq!(store, after);
        after
    };
    population.ask_unknown_again(&rng.fork(8)).await;
    check_all_closed(world, store).await;
    check_marks_pruned(world, population, store, rng).await;
    reconcile(world, population, store);
    moves::check_one_store_in_use(world, store);
}

/// Restarts all processes and waits until every log is closed. Returns the serving store.
async fn run_until_quiet(world: &Arc<World>, processes: &Arc<Processes>, moves: &Moves) -> usize {
    moves.go_on().await;
    processes.restart_dead();
    let store = processes.serving().unwrap_or(moves::SOURCE);
    check_all_closed(world, store).await;
    store
}

/// Waits until recovery has closed every log. A violation if it takes too long.
async fn check_all_closed(world: &World, store: usize) {
    let begun = world.now();
    loop {
        let open = {
            let state = world.state();
            let mut logs = state.auditor.logs();
            logs.find(|log| is_open(log) && state.auditor.store_of(&log.id) == Some(store))
                .cloned()
        };
        let Some(open) = open else { return };
        if world.now().saturating_sub(begun) > RECOVERY_TIME_MAX {
            world.violated(format!("recovery leaves {} open: {open:?}", open.id));
            return;
        }
        world.environment.sleep(Duration::from_secs(1)).await;
    }
}

fn is_open(log: &Log) -> bool {
    log.state < LogState::Closed && log.stuck.is_none() && !log.waits_for_gateway()
}

/// Checks that an account with too many marks is pruned after its next payment: a process that died leaves marks, and
/// the next process finds them.
async fn check_marks_pruned(world: &World, population: &Arc<Population>, store: usize, rng: &Rng) {
    let threshold = world.config.prune_threshold.unwrap_or(usize::MAX);
    let crowded = |user: &ObjectId| {
        let document = world.newest(store, &world.config.user_class, user);
        let state = world.state();
        document.is_some_and(|document| state.auditor.is_crowded(&document, threshold))
    };
    for user in &population.users {
        for n in 0..3 {
            if crowded(user) {
                population.adjust_by_one(user, n, rng).await;
                world.environment.sleep(Duration::from_secs(30)).await;
            }
        }
        if crowded(user) {
            world.violated(format!("{user} is paid, and not pruned"));
        }
    }
    check_all_closed(world, store).await;
}

/// Runs the audit of the library at the end of the run.
async fn check_audit(world: &World, store: usize) {
    let documents = world.documents(store);
    let audit = audit::Audit::of(&documents, &world.config).of_one_moment();
    let (report, _) = audit.run().await.unwrap();
    if !report.differences.is_empty() {
        world.violated(format!("the audit finds {:?}", report.differences));
    }
}
