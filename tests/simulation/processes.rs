//! The processes: each its own payment service with its own clock, on one store.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use paylog::model::{CloudError, ErrorCode};
use paylog::payment::policy::Proposal;
use paylog::payment::{PaymentPolicy, Payments};
use paylog::store::Store;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::auditor::Seen;
use crate::calls::{Answer, Call};
use crate::network::{Batches, Network, Reads};
use crate::rng::{Chance, Clocks};
use crate::tasks::Owner;
use crate::world::World;

/// How long a process that died stays away, at most, in milliseconds.
const DOWN_MILLIS_MAX: u64 = 15_000;

/// One process that runs.
#[derive(Clone)]
pub(crate) struct Process {
    number: usize,
    pub(crate) payments: Payments,
}

/// The places in which processes run; one that died is followed by another in its place.
pub(crate) struct Fleet {
    world: Arc<World>,
    chance: Chance,
    places: Vec<Place>,
    /// Whether the app has rules of its own.
    has_policy: bool,
    running: Mutex<Running>,
}

struct Running {
    next: usize,
    processes: Vec<Option<Process>>,
    /// The store whose processes serve; none while a move comes to its end.
    serving: Option<usize>,
}

/// What stays the same from one process to the next.
#[derive(Clone)]
struct Place {
    home: usize,
    batches: Batches,
    clocks: Clocks,
}

impl Fleet {
    pub(crate) fn new(
        world: &Arc<World>,
        chance: &Chance,
        places: &[(usize, Batches)],
        has_policy: bool,
    ) -> Arc<Self> {
        let places: Vec<Place> = places
            .iter()
            .map(|(home, batches)| Place {
                home: *home,
                batches: *batches,
                clocks: world.clocks.another(),
            })
            .collect();
        Arc::new(Self {
            world: Arc::clone(world),
            chance: chance.fork(3),
            running: Mutex::new(Running {
                next: 0,
                processes: vec![None; places.len()],
                serving: None,
            }),
            places,
            has_policy,
        })
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap()
    }

    /// From now on the processes of this store serve, and no others do.
    pub(crate) fn serve(&self, home: Option<usize>) {
        self.running().serving = home;
        for place in 0..self.places.len() {
            if let Some(process) = self.running().processes[place].take() {
                self.world.tasks.kill(Owner::Process(process.number));
            }
        }
        self.revive();
    }

    /// The places of the store that serves.
    pub(crate) fn open_places(&self) -> Vec<usize> {
        let serving = self.running().serving;
        let places = self.places.iter().enumerate();
        let open = places.filter(|(_, place)| Some(place.home) == serving);
        open.map(|(place, _)| place).collect()
    }

    pub(crate) fn serving(&self) -> Option<usize> {
        self.running().serving
    }

    /// The number of another process.
    pub(crate) fn another_number(&self) -> usize {
        let mut running = self.running();
        running.next += 1;
        running.next
    }

    fn start(&self, at: usize) {
        let place = &self.places[at];
        let number = self.another_number();
        let world = &self.world;
        let network: Arc<dyn Store> = Arc::new(Network {
            world: Arc::clone(world),
            home: place.home,
            process: (number, at),
            batches: place.batches,
            reads: Reads::Stale,
            moves: false,
        });
        let chance = self.chance.fork(number as u64);
        let environment = place.clocks.environment(chance.clone());
        let teller = Arc::clone(world);
        let mut payments = Payments::new(network, environment, world.config.clone())
            .with_after_payment(move |receipt| tell(Arc::clone(&teller), receipt.log));
        if self.has_policy {
            payments = payments.with_policy(Arc::new(Whims(Arc::clone(world))));
        }
        let sweeping = payments.clone();
        let sweeper = world.tasks.spawn(Owner::Process(number), async move {
            sweeping.run_sweeper(CancellationToken::new()).await;
        });
        world.state().sweepers.insert(sweeper);
        world.note(&(number, at), || format!("process {number} starts in place {at}"));
        self.running().processes[at] = Some(Process { number, payments });
    }

    /// Follows up what has died, and lets clocks jump, until the faults are over.
    pub(crate) async fn trouble(self: Arc<Self>) {
        while !self.world.is_healed() {
            let pause = self.chance.millis(200, 4000);
            self.world.environment.sleep(pause).await;
            let died = std::mem::take(&mut self.world.state().died);
            for place in died {
                if place >= self.places.len() {
                    // A mover: whoever has started it looks after it.
                    continue;
                }
                self.running().processes[place] = None;
                let (fleet, down) = (Arc::clone(&self), self.chance.millis(0, DOWN_MILLIS_MAX));
                self.world.tasks.spawn(Owner::World, async move {
                    fleet.world.environment.sleep(down).await;
                    if fleet.running().processes[place].is_none() && fleet.open_places().contains(&place) {
                        fleet.world.saw(Seen::Restart);
                        fleet.start(place);
                    }
                });
            }
            if self.chance.happens(self.world.state().faults.clock_jumps) {
                self.jump();
            }
        }
    }

    /// A clock is wrong from now on: by seconds, by hours, by days; forwards or backwards.
    fn jump(&self) {
        let most = *self.chance.pick(&[3_000, 60_000, 3_600_000, 3 * 86_400_000]);
        let wrong = i64::try_from(self.chance.below(2 * most)).unwrap() - i64::try_from(most).unwrap();
        let place = self.chance.index(self.places.len());
        self.places[place].clocks.jump_to(wrong);
        self.world.saw(Seen::ClockJump);
        self.world.note(&(place, wrong), || {
            format!("the clock of place {place} is wrong by {wrong} ms")
        });
    }

    /// Everything that has died runs again.
    pub(crate) fn revive(&self) {
        self.world.state().died.clear();
        for place in self.open_places() {
            let runs = self.running().processes[place].clone();
            let is_dead =
                runs.is_none_or(|process| !self.world.tasks.is_alive(Owner::Process(process.number)));
            if is_dead {
                self.start(place);
            }
        }
    }

    /// Asks one of the processes; `None` where it is away, or dies on the way.
    pub(crate) async fn ask(&self, place: usize, call: &Call) -> Option<Answer> {
        let process = self.running().processes[place].clone()?;
        if !self.world.tasks.is_alive(Owner::Process(process.number)) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let asked = call.clone();
        self.world
            .tasks
            .spawn(Owner::Process(process.number), async move {
                let answer = asked.made(&process.payments).await;
                let _ = sender.send(answer);
            });
        receiver.await.ok()
    }
}

/// `afterPayment` of the app: it may take long, or fail.
async fn tell(world: Arc<World>, log: paylog::model::ObjectId) -> Result<(), CloudError> {
    let faults = world.state().faults;
    if world.chance.happens(faults.slow) {
        world.environment.sleep(world.chance.millis(100, 20_000)).await;
    }
    let fails = world.chance.happens(faults.telling_fails);
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

/// A policy that nobody could predict: it says something else each time it is asked.
struct Whims(Arc<World>);

#[async_trait]
impl PaymentPolicy for Whims {
    async fn allow(&self, _: Proposal<'_>) -> Result<(), String> {
        let refuses = self.0.state().faults.policy_refuses;
        if self.0.chance.happens(refuses) {
            let text = format!("Not today: {}", self.0.chance.below(1000));
            return Err(text);
        }
        Ok(())
    }
}

/// Whether the error says that it may come out either way.
pub(crate) fn is_undecided(answer: Option<&Answer>) -> bool {
    match answer {
        None => true,
        Some(Err(error)) => [ErrorCode::OUTCOME_UNKNOWN, ErrorCode::ACCOUNT_MOVED].contains(&error.code),
        Some(Ok(_)) => false,
    }
}
