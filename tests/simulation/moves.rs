//! The whole store moves while everybody goes on: movers that die and come back, two at once, given up and tried again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paylog::model::{ClassName, Document};
use paylog::payment::protocol::ledger;
use paylog::payment::protocol::relocation::Resolution;
use paylog::payment::relocation::{MoveError, Mover};
use paylog::payment::relocation::{NewHome, Over, Placed, Placement};
use paylog::payment::{Kind, Rules};
use tokio::sync::oneshot;

use crate::auditor::{Seen, integer, is_fenced, is_live};
use crate::network::{Batches, Network, Reads};
use crate::processes::Fleet;
use crate::rng::Chance;
use crate::tasks::Owner;
use crate::world::{DECISIONS, Reply, Request, World};

/// The store that is left, and the one that takes over.
pub(crate) const OLD: usize = 0;
pub(crate) const NEW: usize = 1;

/// Processes that are movers have a place beyond all others.
const NO_PLACE: usize = usize::MAX;
/// How long a mover repeats what gets nowhere.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a mover that died stays away, at most, in milliseconds.
const DOWN_MILLIS_MAX: u64 = 8_000;

/// Where an order has the key that its creation is repeated under.
const KEY: &str = "key";

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Finished,
    RolledBack,
    /// Somebody finishes, and somebody else gives it up.
    Disputed,
}

/// What the seed has decided about the move.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    begins_after: Duration,
    copies_ahead: bool,
    /// The attempts, one after the other.
    endings: Vec<Ending>,
}

impl Plan {
    /// In some runs nothing moves.
    pub(crate) fn drawn(chance: &Chance, span_millis: u64) -> Option<Self> {
        if !chance.happens(350) {
            return None;
        }
        let endings = [
            Ending::Finished,
            Ending::Finished,
            Ending::RolledBack,
            Ending::Disputed,
        ];
        Some(Self {
            begins_after: chance.millis(0, span_millis),
            copies_ahead: chance.happens(300),
            endings: (0..chance.between(1, 3))
                .map(|_| *chance.pick(&endings))
                .collect(),
        })
    }
}

/// What a mover is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    CopyAhead,
    Prepare,
    Finish,
    RollBack,
}

/// Who moves the store.
#[derive(Clone)]
pub(crate) struct Moves {
    world: Arc<World>,
    fleet: Arc<Fleet>,
    chance: Chance,
}

impl Moves {
    pub(crate) fn new(world: &Arc<World>, fleet: &Arc<Fleet>, chance: &Chance) -> Self {
        Self {
            world: Arc::clone(world),
            fleet: Arc::clone(fleet),
            chance: chance.fork(5),
        }
    }

    pub(crate) async fn live(&self, plan: &Plan) {
        self.world.environment.sleep(plan.begins_after).await;
        if plan.copies_ahead {
            self.drive(Step::CopyAhead).await;
        }
        for ending in &plan.endings {
            self.drive(Step::Prepare).await;
            match ending {
                Ending::RolledBack => self.drive(Step::RollBack).await,
                Ending::Finished | Ending::Disputed => {
                    self.fleet.serve(None);
                    if *ending == Ending::Disputed {
                        self.besides(Step::RollBack);
                    }
                    self.drive(Step::Finish).await;
                }
            }
            self.go_on().await;
            if self.serving() == NEW {
                return;
            }
            self.world.environment.sleep(self.chance.millis(0, 10_000)).await;
        }
    }

    /// What is left of a move that has been decided, once more; the processes serve where they should.
    pub(crate) async fn go_on(&self) {
        let resolution = self.world.state().decision().map(|decision| decision.resolution);
        let home = match resolution {
            Some(Resolution::Final) => {
                self.drive(Step::Finish).await;
                NEW
            }
            Some(Resolution::RolledBack | Resolution::Open) => {
                self.drive(Step::RollBack).await;
                OLD
            }
            None => OLD,
        };
        if self.fleet.serving() == Some(home) {
            return;
        }
        if home == NEW {
            self.bring_products();
        }
        self.fleet.serve(Some(home));
        if home == NEW {
            self.drive(Step::Finish).await;
        }
    }

    fn serving(&self) -> usize {
        self.fleet.serving().unwrap_or(OLD)
    }

    /// What is sold is copied by other means.
    fn bring_products(&self) {
        let class = &self.world.config.product_class;
        for document in self.world.all(OLD, class) {
            let placement = Placement {
                class: class.clone(),
                document,
                over: Over::Nothing,
            };
            let _ = self.world.arrive(NEW, &Request::Place(placement), " (products)");
        }
    }

    /// Another mover does this at the same time.
    fn besides(&self, step: Step) {
        let moves = self.clone();
        self.world.tasks.spawn(Owner::World, async move {
            let late = moves.chance.millis(0, 3_000);
            moves.world.environment.sleep(late).await;
            moves.drive(step).await;
        });
    }

    /// Has it done, by one mover after the other.
    async fn drive(&self, step: Step) {
        if step != Step::CopyAhead && self.chance.happens(200) {
            let moves = self.clone();
            self.world.tasks.spawn(Owner::World, async move {
                let _ = moves.mover_does(step).await;
            });
        }
        while !self.world.is_over() {
            match self.mover_does(step).await {
                Some(Ok(())) | Some(Err(MoveError::Superseded(_))) => return,
                // What a replica does not show yet is asked for again.
                Some(Err(MoveError::Unavailable { .. } | MoveError::NotBegun)) if !self.world.is_healed() => {
                }
                Some(Err(error)) => {
                    self.world
                        .violated(format!("a mover gives up on {step:?}: {error}"));
                    return;
                }
                None => {
                    self.world.saw(Seen::MoverDied);
                    let down = self.chance.millis(0, DOWN_MILLIS_MAX);
                    self.world.environment.sleep(down).await;
                }
            }
        }
    }

    /// What one mover makes of it; `None` where it dies.
    async fn mover_does(&self, step: Step) -> Option<Result<(), MoveError>> {
        let number = self.fleet.another_number();
        // The functions of the old home have been stopped, and what they wrote has reached every replica.
        let reads = match step {
            Step::Finish => Reads::Fresh,
            Step::CopyAhead | Step::Prepare | Step::RollBack => Reads::Stale,
        };
        let network = |home, reads| Network {
            world: Arc::clone(&self.world),
            home,
            process: (number, NO_PLACE),
            batches: Batches::Separate,
            reads,
            moves: true,
        };
        let class = ClassName::parse(DECISIONS).unwrap();
        let mover = Mover::new(
            Arc::new(network(OLD, reads)),
            Arc::new(network(NEW, Reads::Fresh)),
            self.world
                .clocks
                .another()
                .environment(self.chance.fork(number as u64)),
            self.world.config.clone(),
            class,
        )
        .with_patience(PATIENCE);
        self.world.note(&(number, format!("{step:?}")), || {
            format!("mover {number} begins: {step:?}")
        });
        let (sender, receiver) = oneshot::channel();
        self.world.tasks.spawn(Owner::Process(number), async move {
            let done = match step {
                Step::CopyAhead => mover.copy_ahead().await,
                Step::Prepare => mover.prepare().await,
                Step::Finish => mover.finish().await,
                Step::RollBack => mover.roll_back().await,
            };
            let _ = sender.send(done.map(|_| ()));
        });
        let done = receiver.await.ok();
        self.world
            .note(&number, || format!("mover {number} ends: {done:?}"));
        done
    }
}

#[async_trait]
impl NewHome for Network {
    async fn place(&self, placements: Vec<Placement>) -> Vec<Placed> {
        let mut placed = Vec::with_capacity(placements.len());
        for placement in placements {
            placed.push(match self.send(Request::Place(placement)).await {
                Some(Reply::Place(placed)) => placed,
                Some(Reply::Write(_) | Reply::Commit(_)) | None => Placed::Unknown("no answer".into()),
            });
        }
        placed
    }
}

/// Once all is over, every document is in use in one store, and that is the one that serves.
pub(crate) fn all_in_one_home(world: &World, home: usize) {
    let rules = world.config.rules();
    for class in [&rules.user_class, &rules.order_class] {
        for document in world.all(OLD, class) {
            let id = document.object_id().unwrap();
            let here = world.newest(home, class, &id);
            let elsewhere = (home != OLD).then_some(&document);
            let fenced_elsewhere = elsewhere.is_none_or(|document| is_fenced(document, false));
            let in_use_here = here.is_some_and(|here| is_live(&here, false));
            if !fenced_elsewhere
                || !in_use_here && !is_a_stranded_order(world, &rules, home, class, &document)
            {
                world.violated(format!("{class}/{id} is not in use in store {home} alone"));
            }
        }
    }
    for document in world.all(OLD, &rules.log_class) {
        let id = document.object_id().unwrap();
        let here = world.newest(home, &rules.log_class, &id);
        if here.is_none_or(|here| is_fenced(&here, true)) && !has_stranded(world, &rules, home, &document) {
            world.violated(format!(
                "the log {id} (state {}) is not in store {home}",
                integer(&document, "state")
            ));
        }
    }
}

/// Whether the document is an order whose creation arrived after the move had been decided, while its customer tried
/// again at the new home: nobody knows of it, and nothing was paid for it.
fn is_a_stranded_order(
    world: &World,
    rules: &Rules,
    home: usize,
    class: &ClassName,
    document: &Document,
) -> bool {
    let id = document.object_id().unwrap();
    let same_key = |other: &Document| {
        other.object_id() != Some(id.clone())
            && other.text(KEY).is_some()
            && other.text(KEY) == document.text(KEY)
    };
    *class == rules.order_class
        && home == NEW
        && world.all(NEW, class).iter().any(same_key)
        && !world.state().auditor.has_paid(&id)
}

/// Whether the log came too late for the move, and nobody has lost anything by that.
fn has_stranded(world: &World, rules: &Rules, home: usize, document: &Document) -> bool {
    let Ok(log) = ledger::read_log(document, rules) else {
        return false;
    };
    let state = world.state();
    let taken = [Some(&log.intent.key), log.intent.request_key.as_ref()]
        .into_iter()
        .flatten()
        .any(|key| {
            state
                .auditor
                .log_under(home, key)
                .is_some_and(|other| other.id != log.id)
        });
    let owed = log.intent.kind == Kind::Recharge
        && log
            .trade_no
            .as_ref()
            .is_some_and(|trade_no| !state.auditor.credited(trade_no));
    home == NEW && taken && !state.auditor.has_moved_money(&log.id) && !owed
}
