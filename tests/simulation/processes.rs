//! The processes of the app. Each has its own payment service and clock; all of a store share its documents.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use paylog::model::{CloudError, ErrorCode};
use paylog::payment::policy::Proposal;
use paylog::payment::{PaymentPolicy, PaymentService};
use paylog::store::Store;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::auditor::Coverage;
use crate::calls::{Call, Response};
use crate::network::{Batches, Network, Reads};
use crate::rng::{Clocks, Rng};
use crate::tasks::Owner;
use crate::world::World;

/// The longest time between the death of a process and its restart, in milliseconds.
const DOWN_MILLIS_MAX: u64 = 15_000;

/// A running process.
#[derive(Clone)]
pub(crate) struct Process {
    number: usize,
    pub(crate) payments: PaymentService,
}

/// The slots of processes. A process that dies is followed by another in its slot.
pub(crate) struct Processes {
    world: Arc<World>,
    rng: Rng,
    slots: Vec<Slot>,
    /// True if the app has a payment policy.
    has_policy: bool,
    running: Mutex<Running>,
}

struct Running {
    next: usize,
    processes: Vec<Option<Process>>,
    /// The store whose processes serve; `None` while a move finishes.
    serving: Option<usize>,
}

/// The part of a slot that outlives its process.
#[derive(Clone)]
struct Slot {
    store: usize,
    batches: Batches,
    clocks: Clocks,
}

impl Processes {
    pub(crate) fn new(
        world: &Arc<World>,
        rng: &Rng,
        slots: &[(usize, Batches)],
        has_policy: bool,
    ) -> Arc<Self> {
        let slots: Vec<Slot> = slots
            .iter()
            .map(|(store, batches)| Slot {
                store: *store,
                batches: *batches,
                clocks: world.clocks.same_time(),
            })
            .collect();
        Arc::new(Self {
            world: Arc::clone(world),
            rng: rng.fork(3),
            running: Mutex::new(Running {
                next: 0,
                processes: vec![None; slots.len()],
                serving: None,
            }),
            slots,
            has_policy,
        })
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap()
    }

    /// Lets only the processes of this store serve from now on.
    pub(crate) fn serve(&self, store: Option<usize>) {
        self.running().serving = store;
        for slot in 0..self.slots.len() {
            if let Some(process) = self.running().processes[slot].take() {
                self.world.tasks.kill(Owner::Process(process.number));
            }
        }
        self.restart_dead();
    }

    /// The slots of the serving store.
    pub(crate) fn open_slots(&self) -> Vec<usize> {
        let serving = self.running().serving;
        let slots = self.slots.iter().enumerate();
        let open = slots.filter(|(_, slot)| Some(slot.store) == serving);
        open.map(|(slot, _)| slot).collect()
    }

    pub(crate) fn serving(&self) -> Option<usize> {
        self.running().serving
    }

    /// The number for a new process.
    pub(crate) fn next_number(&self) -> usize {
        let mut running = self.running();
        running.next += 1;
        running.next
    }

    fn start(&self, at: usize) {
        let slot = &self.slots[at];
        let number = self.next_number();
        let world = &self.world;
        let network: Arc<dyn Store> = Arc::new(Network {
            world: Arc::clone(world),
            store: slot.store,
            process: (number, at),
            batches: slot.batches,
            reads: Reads::Stale,
            moves: false,
        });
        let rng = self.rng.fork(number as u64);
        let environment = slot.clocks.environment(rng.clone());
        let notified = Arc::clone(world);
        let mut payments = PaymentService::new(network, environment, world.config.clone())
            .with_after_payment(move |receipt| after_payment(Arc::clone(&notified), receipt.log));
        if self.has_policy {
            payments = payments.with_policy(Arc::new(RandomPolicy(Arc::clone(world))));
        }
        let sweeping = payments.clone();
        let sweeper = world.tasks.spawn(Owner::Process(number), async move {
            sweeping.run_sweeper(CancellationToken::new()).await;
        });
        world.state().sweepers.insert(sweeper);
        world.note(&(number, at), || format!("process {number} starts in slot {at}"));
        self.running().processes[at] = Some(Process { number, payments });
    }

    /// Restarts processes that died, and lets clocks jump, until the faults end.
    pub(crate) async fn inject_failures(self: Arc<Self>) {
        while !self.world.is_healed() {
            let pause = self.rng.millis(200, 4000);
            self.world.environment.sleep(pause).await;
            let died = std::mem::take(&mut self.world.state().died);
            for slot in died {
                if slot >= self.slots.len() {
                    // A mover, which `Moves` replaces.
                    continue;
                }
                self.running().processes[slot] = None;
                let (processes, down) = (Arc::clone(&self), self.rng.millis(0, DOWN_MILLIS_MAX));
                self.world.tasks.spawn(Owner::World, async move {
                    processes.world.environment.sleep(down).await;
                    if processes.running().processes[slot].is_none() && processes.open_slots().contains(&slot)
                    {
                        processes.world.cover(Coverage::Restart);
                        processes.start(slot);
                    }
                });
            }
            if self.rng.per_mille(self.world.state().faults.clock_jumps) {
                self.jump();
            }
        }
    }

    /// Sets the clock of a slot wrong: by seconds, hours or days, forwards or backwards.
    fn jump(&self) {
        let most = *self.rng.pick(&[3_000, 60_000, 3_600_000, 3 * 86_400_000]);
        let wrong = i64::try_from(self.rng.below(2 * most)).unwrap() - i64::try_from(most).unwrap();
        let slot = self.rng.index(self.slots.len());
        self.slots[slot].clocks.set_offset(wrong);
        self.world.cover(Coverage::ClockJump);
        self.world.note(&(slot, wrong), || {
            format!("the clock of slot {slot} is wrong by {wrong} ms")
        });
    }

    /// Starts a process in each slot of the serving store that has none.
    pub(crate) fn restart_dead(&self) {
        self.world.state().died.clear();
        for slot in self.open_slots() {
            let runs = self.running().processes[slot].clone();
            let is_dead =
                runs.is_none_or(|process| !self.world.tasks.is_alive(Owner::Process(process.number)));
            if is_dead {
                self.start(slot);
            }
        }
    }

    /// Sends a call to the process of a slot; `None` if it is down, or dies during the call.
    pub(crate) async fn ask(&self, slot: usize, call: &Call) -> Option<Response> {
        let process = self.running().processes[slot].clone()?;
        if !self.world.tasks.is_alive(Owner::Process(process.number)) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let asked = call.clone();
        self.world
            .tasks
            .spawn(Owner::Process(process.number), async move {
                let answer = asked.perform(&process.payments).await;
                let _ = sender.send(answer);
            });
        receiver.await.ok()
    }
}

/// The `afterPayment` hook of the app: may be slow, or fail.
async fn after_payment(world: Arc<World>, log: paylog::model::ObjectId) -> Result<(), CloudError> {
    let faults = world.state().faults;
    if world.rng.per_mille(faults.slow) {
        world.environment.sleep(world.rng.millis(100, 20_000)).await;
    }
    let fails = world.rng.per_mille(faults.notification_fails);
    world.note(&(&log, fails), || {
        format!("afterPayment of {log}{}", if fails { " fails" } else { "" })
    });
    let checked = world.state().auditor.after_payment(&log, !fails);
    if let Err(why) = checked {
        world.violated(why);
    }
    if fails {
        return Err(CloudError::other("the app is in trouble"));
    }
    Ok(())
}

/// A policy that decides at random, each time anew.
struct RandomPolicy(Arc<World>);

#[async_trait]
impl PaymentPolicy for RandomPolicy {
    async fn allow(&self, _: Proposal<'_>) -> Result<(), String> {
        let refuses = self.0.state().faults.policy_refuses;
        if self.0.rng.per_mille(refuses) {
            let text = format!("Not today: {}", self.0.rng.below(1000));
            return Err(text);
        }
        Ok(())
    }
}

/// True if the response leaves the outcome open.
pub(crate) fn is_undecided(answer: Option<&Response>) -> bool {
    match answer {
        None => true,
        Some(Err(error)) => [ErrorCode::OUTCOME_UNKNOWN, ErrorCode::ACCOUNT_MOVED].contains(&error.code),
        Some(Ok(_)) => false,
    }
}
