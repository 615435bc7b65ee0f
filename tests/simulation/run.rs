//! One run: a seed decides everything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use paylog::payment::log::{Log, LogState};
use paylog::payment::{PaymentConfig, audit};

use crate::auditor::Seen;
use crate::chance::Chance;
use crate::errands::{Plan, Town};
use crate::faults::Faults;
use crate::network::{Batches, arrive_late};
use crate::processes::Fleet;
use crate::sabotage::Sabotage;
use crate::tasks::Owner;
use crate::told::as_told;
use crate::world::World;

/// A run that needs more steps than this gets nowhere.
const POLLS_MAX: u64 = 400_000;
/// How long recovery may take once nothing goes wrong any more: leases last a minute at most.
const RECOVERY_TAKES: Duration = Duration::from_secs(10 * 60);

/// How a run came out.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    /// What must never happen, and did.
    pub(crate) violation: Option<String>,
    /// The same for the same seed, always.
    pub(crate) trace: u64,
    pub(crate) story: Option<String>,
    pub(crate) seen: BTreeSet<Seen>,
    pub(crate) payments: usize,
}

/// What a run is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    pub(crate) sabotage: Sabotage,
    /// Whether it is to be told step by step.
    pub(crate) tells: bool,
}

impl Setting {
    pub(crate) fn of(seed: u64) -> Self {
        Self {
            seed,
            sabotage: Sabotage::None,
            tells: false,
        }
    }
}

/// Runs one seed, on a runtime of its own whose time is paused.
pub(crate) fn run(setting: Setting) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let outcome = std::panic::catch_unwind(|| runtime.block_on(lived(setting)));
    outcome.unwrap_or_else(|panic| Outcome {
        seed: setting.seed,
        violation: Some(format!("a panic: {}", text_of(&*panic))),
        trace: 0,
        story: None,
        seen: BTreeSet::new(),
        payments: 0,
    })
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("?")
        .to_owned()
}

fn config(chance: &Chance) -> PaymentConfig {
    PaymentConfig {
        sandbox: true,
        prune_threshold: Some(usize::try_from(chance.below(4)).unwrap()),
        sweep_every: chance.millis(2_000, 12_000),
        ..PaymentConfig::new()
    }
}

async fn lived(setting: Setting) -> Outcome {
    let chance = Chance::new(setting.seed);
    let plan = Plan::drawn(&chance);
    let faults = Faults::drawn(&chance);
    let world = World::new(&chance, faults, config(&chance), setting.sabotage, setting.tells);
    world.add_home();
    let places: Vec<(usize, Batches)> = (0..chance.between(2, 3))
        .map(|_| {
            (
                0,
                *chance.pick(&[Batches::AllOrNothing, Batches::Separate, Batches::Separate]),
            )
        })
        .collect();
    world.note(&0, || format!("{plan:?} {faults:?} {places:?}"));
    let fleet = Fleet::new(&world, &chance, &places, faults.policy_refuses > 0);
    let town = Town::new(&world, &fleet, &plan, &chance);
    let life = life(&world, &fleet, &town, &plan, &chance);
    let over = Arc::clone(&world);
    let ended = world
        .tasks
        .run(&world.chance, POLLS_MAX, || over.is_over(), life)
        .await;
    if ended.is_none() {
        world.violated("it does not come to an end");
    }
    let (trace, story) = world.end();
    if !world.is_over() {
        audited(&world, 0).await;
    }
    let state = world.state();
    Outcome {
        seed: setting.seed,
        violation: state.violation.clone(),
        trace,
        story,
        seen: state.homes[0].auditor.seen.clone(),
        payments: state.homes[0].auditor.logs().count(),
    }
}

/// Everything that happens, in order.
async fn life(world: &Arc<World>, fleet: &Arc<Fleet>, town: &Arc<Town>, plan: &Plan, chance: &Chance) {
    fleet.start_all();
    world.tasks.spawn(Owner::World, Arc::clone(fleet).trouble());
    town.live(plan, chance).await;
    world.note(&"healed", || "nothing goes wrong any more".to_owned());
    world.heal();
    fleet.revive();
    closes(world, 0).await;
    let late = std::mem::take(&mut world.state().at_the_end);
    for (home, request) in late {
        arrive_late(world, home, &request);
    }
    closes(world, 0).await;
    town.settle(&chance.fork(8)).await;
    closes(world, 0).await;
    is_pruned(world, 0).await;
    as_told(world, town, 0);
}

/// Recovery alone brings every log to its end.
async fn closes(world: &World, home: usize) {
    let begun = world.now();
    loop {
        let open = {
            let state = world.state();
            let mut logs = state.homes[home].auditor.logs();
            logs.find(|log| is_open(log)).cloned()
        };
        let Some(open) = open else { return };
        if world.now().saturating_sub(begun) > RECOVERY_TAKES {
            world.violated(format!("recovery leaves {} open: {open:?}", open.id));
            return;
        }
        world.environment.sleep(Duration::from_secs(1)).await;
    }
}

fn is_open(log: &Log) -> bool {
    log.state < LogState::Closed && log.stuck.is_none() && !log.waits_for_gateway()
}

/// Documents that somebody knows to be crowded are pruned soon.
async fn is_pruned(world: &World, home: usize) {
    world.environment.sleep(Duration::from_secs(60)).await;
    let threshold = world.config.prune_threshold.unwrap_or(usize::MAX);
    let classes = [&world.config.user_class, &world.config.order_class];
    for document in classes.into_iter().flat_map(|class| world.all(home, class)) {
        let state = world.state();
        let crowded = state.homes[home].auditor.is_crowded(&document, threshold);
        drop(state);
        if crowded {
            world.note(&"crowded", || format!("crowded: {document:?}"));
        }
    }
}

/// The real audit, once everything has come to rest.
async fn audited(world: &World, home: usize) {
    let documents = world.documents(home);
    let audit = audit::Audit::of(&documents, &world.config).of_one_moment();
    let (report, _) = audit.run().await.unwrap();
    if !report.differences.is_empty() {
        world.violated(format!("the audit finds {:?}", report.differences));
    }
}
