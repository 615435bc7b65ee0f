//! The move of the whole store during the run: movers die and are replaced, run two at a time, roll back and try again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paylog::model::{ClassName, Document};
use paylog::payment::protocol::ledger;
use paylog::payment::protocol::relocation::Resolution;
use paylog::payment::relocation::{IfExists, ImportDocument, ImportOutcome, ImportStore};
use paylog::payment::relocation::{RelocationError, Relocator};
use paylog::payment::{Kind, SchemaNames};
use tokio::sync::oneshot;

use crate::auditor::{Coverage, integer, is_fenced, is_live};
use crate::network::{Batches, Network, Reads};
use crate::processes::Processes;
use crate::rng::Rng;
use crate::tasks::Owner;
use crate::world::{DECISIONS, Reply, Request, World};

/// The numbers of the store that the move leaves, and of the one that takes over.
pub(crate) const SOURCE: usize = 0;
pub(crate) const DESTINATION: usize = 1;

/// The slot of a mover, which is no slot of a process.
const NO_SLOT: usize = usize::MAX;
/// Time after which a mover gives up an operation that fails.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time between the death of a mover and its replacement, in milliseconds.
const DOWN_MILLIS_MAX: u64 = 8_000;

/// The column with the idempotency key of an order.
const KEY: &str = "key";

/// The end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Finished,
    RolledBack,
    /// One mover finishes while another rolls back.
    Disputed,
}

/// The move of a run, as its seed decides.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    begins_after: Duration,
    copies_ahead: bool,
    /// One ending for each attempt.
    endings: Vec<Ending>,
}

impl Plan {
    /// Draws a plan; `None` in runs without a move.
    pub(crate) fn drawn(rng: &Rng, span_millis: u64) -> Option<Self> {
        if !rng.per_mille(350) {
            return None;
        }
        let endings = [
            Ending::Finished,
            Ending::Finished,
            Ending::RolledBack,
            Ending::Disputed,
        ];
        Some(Self {
            begins_after: rng.millis(0, span_millis),
            copies_ahead: rng.per_mille(300),
            endings: (0..rng.between(1, 3)).map(|_| *rng.pick(&endings)).collect(),
        })
    }
}

/// A step of a mover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    CopyAhead,
    Prepare,
    Finish,
    RollBack,
}

/// The operator of the move, who starts movers.
#[derive(Clone)]
pub(crate) struct Moves {
    world: Arc<World>,
    processes: Arc<Processes>,
    rng: Rng,
}

impl Moves {
    pub(crate) fn new(world: &Arc<World>, processes: &Arc<Processes>, rng: &Rng) -> Self {
        Self {
            world: Arc::clone(world),
            processes: Arc::clone(processes),
            rng: rng.fork(5),
        }
    }

    pub(crate) async fn run(&self, plan: &Plan) {
        self.world.environment.sleep(plan.begins_after).await;
        if plan.copies_ahead {
            self.drive(Step::CopyAhead).await;
        }
        for ending in &plan.endings {
            self.drive(Step::Prepare).await;
            match ending {
                Ending::RolledBack => self.drive(Step::RollBack).await,
                Ending::Finished | Ending::Disputed => {
                    self.processes.serve(None);
                    if *ending == Ending::Disputed {
                        self.start_second(Step::RollBack);
                    }
                    self.drive(Step::Finish).await;
                }
            }
            self.go_on().await;
            if self.serving() == DESTINATION {
                return;
            }
            self.world.environment.sleep(self.rng.millis(0, 10_000)).await;
        }
    }

    /// Completes a move that has been decided, and lets the processes of the right store serve.
    pub(crate) async fn go_on(&self) {
        let resolution = self.world.state().decision().map(|decision| decision.resolution);
        let store = match resolution {
            Some(Resolution::Final) => {
                self.drive(Step::Finish).await;
                DESTINATION
            }
            Some(Resolution::RolledBack | Resolution::Open) => {
                self.drive(Step::RollBack).await;
                SOURCE
            }
            None => SOURCE,
        };
        if self.processes.serving() == Some(store) {
            return;
        }
        if store == DESTINATION {
            self.bring_products();
        }
        self.processes.serve(Some(store));
        if store == DESTINATION {
            self.drive(Step::Finish).await;
        }
    }

    fn serving(&self) -> usize {
        self.processes.serving().unwrap_or(SOURCE)
    }

    /// Copies the products, which movers leave alone.
    fn bring_products(&self) {
        let class = &self.world.config.product_class;
        for document in self.world.all(SOURCE, class) {
            let placement = ImportDocument {
                class: class.clone(),
                document,
                if_exists: IfExists::Keep,
            };
            let _ = self
                .world
                .arrive(DESTINATION, &Request::Place(placement), " (products)");
        }
    }

    /// Starts another mover at the same time.
    fn start_second(&self, step: Step) {
        let moves = self.clone();
        self.world.tasks.spawn(Owner::World, async move {
            let late = moves.rng.millis(0, 3_000);
            moves.world.environment.sleep(late).await;
            moves.drive(step).await;
        });
    }

    /// Runs movers one after the other until the step is done.
    async fn drive(&self, step: Step) {
        if step != Step::CopyAhead && self.rng.per_mille(200) {
            let moves = self.clone();
            self.world.tasks.spawn(Owner::World, async move {
                let _ = moves.mover_does(step).await;
            });
        }
        while !self.world.is_over() {
            match self.mover_does(step).await {
                Some(Ok(())) | Some(Err(RelocationError::Superseded(_))) => return,
                // A replica that lags behind does not show the decision yet.
                Some(Err(RelocationError::Unavailable { .. } | RelocationError::NotBegun))
                    if !self.world.is_healed() => {}
                Some(Err(error)) => {
                    self.world
                        .violated(format!("a mover gives up on {step:?}: {error}"));
                    return;
                }
                None => {
                    self.world.cover(Coverage::MoverDied);
                    let down = self.rng.millis(0, DOWN_MILLIS_MAX);
                    self.world.environment.sleep(down).await;
                }
            }
        }
    }

    /// Runs one mover; `None` if it dies.
    async fn mover_does(&self, step: Step) -> Option<Result<(), RelocationError>> {
        let number = self.processes.next_number();
        // The functions at the source have been stopped, and their writes have reached every replica.
        let reads = match step {
            Step::Finish => Reads::Fresh,
            Step::CopyAhead | Step::Prepare | Step::RollBack => Reads::Stale,
        };
        let network = |store, reads| Network {
            world: Arc::clone(&self.world),
            store,
            process: (number, NO_SLOT),
            batches: Batches::Separate,
            reads,
            moves: true,
        };
        let class = ClassName::parse(DECISIONS).unwrap();
        let mover = Relocator::new(
            Arc::new(network(SOURCE, reads)),
            Arc::new(network(DESTINATION, Reads::Fresh)),
            self.world
                .clocks
                .same_time()
                .environment(self.rng.fork(number as u64)),
            self.world.config.clone(),
            class,
        )
        .with_timeout(TIMEOUT);
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
impl ImportStore for Network {
    async fn import(&self, placements: Vec<ImportDocument>) -> Vec<ImportOutcome> {
        let mut placed = Vec::with_capacity(placements.len());
        for placement in placements {
            placed.push(match self.send(Request::Place(placement)).await {
                Some(Reply::Place(placed)) => placed,
                Some(Reply::Write(_) | Reply::Commit(_)) | None => ImportOutcome::Unknown("no answer".into()),
            });
        }
        placed
    }
}

/// Checks, at the end of a run, that each document is in use in the serving store and nowhere else.
pub(crate) fn check_one_store_in_use(world: &World, store: usize) {
    let names = world.config.names();
    for class in [&names.user_class, &names.order_class] {
        for document in world.all(SOURCE, class) {
            let id = document.object_id().unwrap();
            let here = world.newest(store, class, &id);
            let elsewhere = (store != SOURCE).then_some(&document);
            let fenced_elsewhere = elsewhere.is_none_or(|document| is_fenced(document, false));
            let in_use_here = here.is_some_and(|here| is_live(&here, false));
            if !fenced_elsewhere || !in_use_here && !is_stranded_order(world, &names, store, class, &document)
            {
                world.violated(format!("{class}/{id} is not in use in store {store} alone"));
            }
        }
    }
    for document in world.all(SOURCE, &names.log_class) {
        let id = document.object_id().unwrap();
        let here = world.newest(store, &names.log_class, &id);
        if here.is_none_or(|here| is_fenced(&here, true)) && !is_stranded_log(world, &names, store, &document)
        {
            world.violated(format!(
                "the log {id} (state {}) is not in store {store}",
                integer(&document, "state")
            ));
        }
    }
}

/// True for an order whose create request arrived after the move was decided, while its customer ordered again at the
/// destination: nobody knows its id, and nothing was paid for it.
fn is_stranded_order(
    world: &World,
    names: &SchemaNames,
    store: usize,
    class: &ClassName,
    document: &Document,
) -> bool {
    let id = document.object_id().unwrap();
    let same_key = |other: &Document| {
        other.object_id() != Some(id.clone())
            && other.text(KEY).is_some()
            && other.text(KEY) == document.text(KEY)
    };
    *class == names.order_class
        && store == DESTINATION
        && world.all(DESTINATION, class).iter().any(same_key)
        && !world.state().auditor.has_paid(&id)
}

/// True for a log that was created too late for the move, and whose payment nobody has lost.
fn is_stranded_log(world: &World, names: &SchemaNames, store: usize, document: &Document) -> bool {
    let Ok(log) = ledger::read_log(document, names) else {
        return false;
    };
    let state = world.state();
    let taken = [Some(&log.intent.key), log.intent.request_key.as_ref()]
        .into_iter()
        .flatten()
        .any(|key| {
            state
                .auditor
                .log_under(store, key)
                .is_some_and(|other| other.id != log.id)
        });
    let owed = log.intent.kind == Kind::Recharge
        && log
            .trade_no
            .as_ref()
            .is_some_and(|trade_no| !state.auditor.credited(trade_no));
    store == DESTINATION && taken && !state.auditor.has_moved_money(&log.id) && !owed
}
