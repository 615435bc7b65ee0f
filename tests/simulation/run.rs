//! One run: a seed decides everything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use paylog::model::ObjectId;
use paylog::payment::protocol::log::{Log, LogState};
use paylog::payment::{PaymentConfig, audit};

use crate::auditor::Seen;
use crate::faults::Faults;
use crate::moves::{self, Moves};
use crate::network::{Batches, arrive_late};
use crate::processes::Fleet;
use crate::reconciliation::as_told;
use crate::rng::Chance;
use crate::sabotage::Sabotage;
use crate::tasks::Owner;
use crate::workload::{Plan, Town};
use crate::world::World;

/// A run that needs more steps than this gets nowhere.
const POLLS_MAX: u64 = 400_000;
/// How long recovery may take once nothing goes wrong any more: leases last a minute at most.
const RECOVERY_TAKES: Duration = Duration::from_secs(10 * 60);

/// Whoever is answered at all is answered within this time, and what is late without being very late has arrived.
const ANSWERS_TAKE: Duration = Duration::from_secs(120);

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
    let mut places = places(moves::OLD, &chance);
    let move_plan = moves::Plan::drawn(&chance, plan.span_millis);
    if move_plan.is_some() {
        world.add_home();
        places.extend(self::places(moves::NEW, &chance));
    }
    world.note(&0, || format!("{plan:?} {faults:?} {places:?} {move_plan:?}"));
    let fleet = Fleet::new(&world, &chance, &places, faults.policy_refuses > 0);
    let town = Town::new(&world, &fleet, &plan, &chance);
    let plans = (&plan, move_plan.as_ref());
    let life = life(&world, &fleet, &town, plans, &chance);
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
        audited(&world, fleet.serving().unwrap_or(moves::OLD)).await;
    }
    let state = world.state();
    Outcome {
        seed: setting.seed,
        violation: state.violation.clone(),
        trace,
        story,
        seen: state.auditor.seen.clone(),
        payments: state.auditor.logs().count(),
    }
}

fn places(home: usize, chance: &Chance) -> Vec<(usize, Batches)> {
    let manners = [Batches::AllOrNothing, Batches::Separate, Batches::Separate];
    let count = chance.between(2, 3);
    (0..count).map(|_| (home, *chance.pick(&manners))).collect()
}

/// Everything that happens, in order.
async fn life(
    world: &Arc<World>,
    fleet: &Arc<Fleet>,
    town: &Arc<Town>,
    (plan, move_plan): (&Plan, Option<&moves::Plan>),
    chance: &Chance,
) {
    fleet.serve(Some(moves::OLD));
    world.tasks.spawn(Owner::World, Arc::clone(fleet).trouble());
    let moves = Moves::new(world, fleet, chance);
    let moving = async {
        if let Some(plan) = move_plan {
            moves.live(plan).await;
        }
    };
    let living = async {
        town.live(plan, chance).await;
        world.note(&"healed", || "nothing goes wrong any more".to_owned());
        world.heal();
    };
    futures_util::future::join(living, moving).await;
    // What was read before all was well is still on its way to somebody.
    world.environment.sleep(ANSWERS_TAKE).await;
    let home = at_rest(world, fleet, &moves).await;
    let late = std::mem::take(&mut world.state().at_the_end);
    for (home, request) in late {
        arrive_late(world, home, &request);
    }
    let home = {
        let after = at_rest(world, fleet, &moves).await;
        assert_eq!(home, after);
        after
    };
    town.settle(&chance.fork(8)).await;
    closes(world, home).await;
    is_pruned(world, town, home, chance).await;
    as_told(world, town, home);
    moves::all_in_one_home(world, home);
}

/// Everything runs again, and comes to its end; answers which store serves.
async fn at_rest(world: &Arc<World>, fleet: &Arc<Fleet>, moves: &Moves) -> usize {
    moves.go_on().await;
    fleet.revive();
    let home = fleet.serving().unwrap_or(moves::OLD);
    closes(world, home).await;
    home
}

/// Recovery alone brings every log to its end.
async fn closes(world: &World, home: usize) {
    let begun = world.now();
    loop {
        let open = {
            let state = world.state();
            let mut logs = state.auditor.logs();
            logs.find(|log| is_open(log) && state.auditor.home_of(&log.id) == Some(home))
                .cloned()
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

/// Whoever is paid, or pays, once more has no more marks than the protocol allows soon after: what a process that died
/// had in mind is noticed by the next one.
async fn is_pruned(world: &World, town: &Arc<Town>, home: usize, chance: &Chance) {
    let threshold = world.config.prune_threshold.unwrap_or(usize::MAX);
    let crowded = |user: &ObjectId| {
        let document = world.newest(home, &world.config.user_class, user);
        let state = world.state();
        document.is_some_and(|document| state.auditor.is_crowded(&document, threshold))
    };
    for user in &town.users {
        for n in 0..3 {
            if crowded(user) {
                town.touch(user, n, chance).await;
                world.environment.sleep(Duration::from_secs(30)).await;
            }
        }
        if crowded(user) {
            world.violated(format!("{user} is paid, and not pruned"));
        }
    }
    closes(world, home).await;
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
