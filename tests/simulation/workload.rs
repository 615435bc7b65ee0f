//! What customers do, in what order, and how they insist.

use std::sync::{Arc, Mutex, MutexGuard};

use paylog::model::{ClassName, Document, ObjectId, Update, Value};
use paylog::store::{Write, WriteOutcome};
use serde_json::json;

use crate::calls::{Answer, Call, Told};
use crate::processes::{Fleet, is_undecided};
use crate::responses::Ledger;
use crate::rng::Chance;
use crate::tasks::Owner;
use crate::world::World;

/// How often a customer asks again who was told nothing.
const TRIES_MAX: u64 = 4;

/// What is sold.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) id: ObjectId,
    pub(crate) price: i64,
    pub(crate) payees: Vec<(ObjectId, i64)>,
}

/// A town of customers, and what they know.
pub(crate) struct Town {
    pub(crate) world: Arc<World>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) users: Vec<ObjectId>,
    pub(crate) products: Vec<Product>,
    ledger: Mutex<Ledger>,
}

/// What the seed has decided about the errands of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) users: usize,
    pub(crate) errands: u64,
    /// Within so many milliseconds all errands begin.
    pub(crate) span_millis: u64,
    /// Of a thousand errands, how many are for the first user.
    pub(crate) hot: u16,
}

impl Plan {
    pub(crate) fn drawn(chance: &Chance) -> Self {
        Self {
            users: usize::try_from(chance.between(2, 5)).unwrap(),
            errands: chance.between(4, 14),
            span_millis: *chance.pick(&[100, 3_000, 20_000, 60_000]),
            hot: *chance.pick(&[0, 500, 900]),
        }
    }
}

impl Town {
    pub(crate) fn new(world: &Arc<World>, fleet: &Arc<Fleet>, plan: &Plan, chance: &Chance) -> Arc<Self> {
        let users: Vec<ObjectId> = (0..plan.users)
            .map(|_| founded(world, &ClassName::user(), json!({})))
            .collect();
        let mut products = Vec::new();
        for payees in 0..3_usize {
            let price = i64::try_from(chance.between(20, 120)).unwrap();
            let payees: Vec<(ObjectId, i64)> = users
                .iter()
                .rev()
                .take(payees)
                .map(|user| (user.clone(), chance.below(price.unsigned_abs() / 3)))
                .map(|(user, share)| (user, 1 + i64::try_from(share).unwrap()))
                .collect();
            let shown: Vec<Value> = payees
                .iter()
                .map(|(user, amount)| json!({"user": user, "amount": amount}))
                .collect();
            let fields = json!({"name": "x", "price": price, "payees": shown});
            let id = founded(world, &world.config.product_class, fields);
            products.push(Product { id, price, payees });
        }
        Arc::new(Self {
            world: Arc::clone(world),
            fleet: Arc::clone(fleet),
            users,
            products,
            ledger: Mutex::new(Ledger {
                stale_reads: world.state().faults.stale > 0,
                ..Ledger::default()
            }),
        })
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// Every errand of the plan, from its beginning to its end.
    pub(crate) async fn live(self: &Arc<Self>, plan: &Plan, chance: &Chance) {
        for (n, user) in self.users.iter().enumerate() {
            let is_payee = self
                .products
                .iter()
                .flat_map(|product| &product.payees)
                .any(|(payee, _)| payee == user);
            if chance.happens(if is_payee { 200 } else { 700 }) {
                let call = Call::Adjust {
                    user: user.clone(),
                    amount: i64::try_from(chance.between(50, 500)).unwrap(),
                    key: format!("start{n}"),
                };
                let _ = self.ask(chance, &call).await;
            }
        }
        let mut ends = Vec::new();
        for n in 0..plan.errands {
            let (town, chance) = (Arc::clone(self), chance.fork(100 + n));
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let (span, hot) = (plan.span_millis, plan.hot);
            self.world.tasks.spawn(Owner::World, async move {
                town.world.environment.sleep(chance.millis(0, span)).await;
                let user = if chance.happens(hot) {
                    0
                } else {
                    chance.index(town.users.len())
                };
                let user = town.users[user].clone();
                Errand {
                    town,
                    chance,
                    user,
                    n,
                }
                .run()
                .await;
                let _ = sender.send(());
            });
            ends.push(receiver);
        }
        for end in ends {
            let _ = end.await;
        }
    }

    /// Everybody asks once more, now that all is well, and whoever was told nothing until they know; everybody must be
    /// told now.
    pub(crate) async fn settle(self: &Arc<Self>, chance: &Chance) {
        self.ledger().stale_reads = false;
        for call in self.ledger_of(Ledger::all) {
            let _ = self.ask(chance, &call).await;
        }
        for _ in 0..40 {
            let unknown = self.ledger_of(Ledger::unknown);
            if unknown.is_empty() {
                return;
            }
            for call in unknown {
                let _ = self.ask(chance, &call).await;
            }
        }
        if let Some(call) = self.ledger_of(Ledger::unknown).first() {
            self.world
                .violated(format!("nobody ever says how this came out: {}", call.told()));
        }
    }

    /// A payment of one, so that somebody looks at the account.
    pub(crate) async fn touch(self: &Arc<Self>, user: &ObjectId, n: u64, chance: &Chance) {
        let call = Call::Adjust {
            user: user.clone(),
            amount: 1,
            key: format!("touch{n}"),
        };
        let _ = self.ask(chance, &call).await;
    }

    fn ledger_of<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.ledger())
    }

    /// One call to one process.
    pub(crate) async fn ask(&self, chance: &Chance, call: &Call) -> Option<Answer> {
        self.ledger().asked(call);
        let open = self.fleet.open_places();
        if open.is_empty() {
            return None;
        }
        let place = *chance.pick(&open);
        self.world.note(&(place, call.identity()), || {
            format!("→ {place}: {}", call.told())
        });
        let answer = self.fleet.ask(place, call).await;
        let heard = answer.as_ref().map(|answer| match answer {
            Ok(told) => format!("{told:?}"),
            Err(error) => error.to_string(),
        });
        self.world.note(&(place, call.identity(), &heard), || {
            format!("← {place}: {} ⇒ {heard:?}", call.told())
        });
        if let Some(answer) = &answer {
            let checked = self.ledger().told(call, answer);
            match checked {
                Ok(None) => {}
                Ok(Some(seen)) => self.world.saw(seen),
                Err(why) => self.world.violated(why),
            }
        }
        answer
    }
}

/// Makes a document, past the network.
fn founded(world: &World, class: &ClassName, fields: Value) -> ObjectId {
    let Value::Object(fields) = fields else { panic!() };
    let update = Update::parse(&Document(fields)).unwrap();
    let request = crate::world::Request::Write(Write::create(class, update));
    match world.arrive(0, &request, " (founded)") {
        crate::world::Reply::Write(WriteOutcome::Applied(written)) => written.object_id.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// One customer on the way.
struct Errand {
    town: Arc<Town>,
    chance: Chance,
    user: ObjectId,
    n: u64,
}

impl Errand {
    async fn run(&self) {
        match self.chance.below(20) {
            0..=5 => self.bring_money().await,
            6..=10 => self.shop().await,
            11..=13 => self.give().await,
            14 | 15 => self.take_money_out().await,
            16..=18 => self.deposit().await,
            _ => self.correct().await,
        }
    }

    /// Asks until an answer says something, or patience ends; sometimes twice at once, sometimes again although all
    /// is known, sometimes for something else under the same key.
    async fn insist(&self, call: &Call) -> Option<Told> {
        let mut last = None;
        for _ in 0..self.chance.between(1, TRIES_MAX) {
            if self.chance.happens(150) {
                self.at_once(call);
            }
            last = self.town.ask(&self.chance, call).await;
            if !is_undecided(last.as_ref()) {
                break;
            }
            self.pause().await;
        }
        if self.chance.happens(150) {
            self.at_once(call);
        }
        last?.ok()
    }

    /// The same call, somewhere else, now or later; nobody waits for it.
    fn at_once(&self, call: &Call) {
        let (town, chance, call) = (Arc::clone(&self.town), self.chance.fork(7), call.clone());
        self.town.world.tasks.spawn(Owner::World, async move {
            if chance.happens(500) {
                town.world.environment.sleep(chance.millis(0, 20_000)).await;
            }
            let _ = town.ask(&chance, &call).await;
        });
    }

    async fn pause(&self) {
        let most = *self.chance.pick(&[10, 500, 8_000]);
        self.town
            .world
            .environment
            .sleep(self.chance.millis(0, most))
            .await;
    }

    async fn bring_money(&self) {
        let amount = i64::try_from(self.chance.between(20, 400)).unwrap();
        let call = Call::Recharge {
            user: self.user.clone(),
            amount,
            key: format!("r{}", self.n),
        };
        if self.chance.happens(100) {
            let other = Call::Recharge {
                user: self.user.clone(),
                amount: amount + 1,
                key: format!("r{}", self.n),
            };
            self.at_once(&other);
        }
        let Some(Told::Payment(receipt)) = self.insist(&call).await else {
            return;
        };
        let Some(number) = receipt.number else { return };
        if self.chance.happens(100) {
            return;
        }
        self.pause().await;
        self.pay_in(&number, receipt.amount.unwrap(), &format!("T{}", self.n))
            .await;
        if self.chance.happens(100) {
            // The customer pays a second time.
            self.pay_in(&number, receipt.amount.unwrap(), &format!("U{}", self.n))
                .await;
        }
    }

    /// A gateway is paid, and says so until it is acknowledged; sometimes once more.
    async fn pay_in(&self, number: &str, amount: i64, trade_no: &str) {
        let amount = if self.chance.happens(60) {
            amount + 1
        } else {
            amount
        };
        let call = Call::Confirm {
            user: self.user.clone(),
            number: number.to_owned(),
            amount,
            trade_no: trade_no.to_owned(),
        };
        let paid = (number.to_owned(), amount);
        self.town.world.is_paid(trade_no, &paid);
        let _ = self.insist(&call).await;
        while self.chance.happens(300) {
            self.at_once(&call);
        }
    }

    async fn shop(&self) {
        let product = self.chance.pick(&self.town.products).clone();
        let quantity = i64::try_from(self.chance.between(1, 2)).unwrap();
        let call = Call::Order {
            user: self.user.clone(),
            product: product.id.clone(),
            quantity,
            key: format!("o{}", self.n),
        };
        let Some(Told::Order(order)) = self.insist(&call).await else {
            return;
        };
        self.pause().await;
        for attempt in 0..self.chance.between(1, 3) {
            let pay = Call::Pay {
                user: self.user.clone(),
                order: order.order.clone(),
                key: self.chance.happens(700).then(|| format!("p{}.{attempt}", self.n)),
            };
            match self.chance.below(8) {
                0 => self.at_once(&pay),
                1 => self.give_up(&order.order).await,
                _ => {
                    let _ = self.insist(&pay).await;
                }
            }
            self.pause().await;
        }
        if self.chance.happens(500) {
            if self.chance.happens(600)
                && let Some((payee, share)) = product.payees.last()
            {
                self.spend(payee, share * quantity).await;
            }
            self.give_back(&order.order).await;
        }
    }

    /// A payee does not keep what was paid: a refund may find nothing.
    async fn spend(&self, payee: &ObjectId, amount: i64) {
        let call = Call::Transfer {
            user: payee.clone(),
            to: self.anybody(),
            amount,
            key: format!("s{}", self.n),
        };
        let _ = self.insist(&call).await;
    }

    async fn give_up(&self, order: &ObjectId) {
        let call = Call::Cancel {
            user: self.user.clone(),
            order: order.clone(),
        };
        let _ = self.insist(&call).await;
    }

    async fn give_back(&self, order: &ObjectId) {
        for refund in 0..self.chance.between(1, 3) {
            let amount = i64::try_from(self.chance.between(1, 80)).unwrap();
            let call = Call::Refund {
                user: self.user.clone(),
                order: order.clone(),
                amount: self.chance.happens(700).then_some(amount),
                key: format!("b{}.{refund}", self.n),
            };
            if self.chance.happens(300) {
                self.at_once(&call);
            } else {
                let _ = self.insist(&call).await;
            }
        }
    }

    fn amount(&self) -> i64 {
        i64::try_from(self.chance.between(1, 200)).unwrap()
    }

    fn anybody(&self) -> ObjectId {
        self.chance.pick(&self.town.users).clone()
    }

    async fn give(&self) {
        let mut call = Call::Transfer {
            user: self.user.clone(),
            to: self.anybody(),
            amount: self.amount(),
            key: format!("t{}", self.n),
        };
        let _ = self.insist(&call).await;
        if self.chance.happens(150)
            && let Call::Transfer { amount, .. } = &mut call
        {
            // The same key for something else.
            *amount += 1;
            let _ = self.insist(&call).await;
        }
    }

    async fn take_money_out(&self) {
        let call = Call::Withdraw {
            user: self.user.clone(),
            amount: self.amount(),
            key: format!("w{}", self.n),
        };
        let Some(Told::Payment(receipt)) = self.insist(&call).await else {
            return;
        };
        self.pause().await;
        let settled = |succeeded| Call::SettleWithdraw {
            user: self.user.clone(),
            log: receipt.log.clone(),
            succeeded,
        };
        let succeeded = self.chance.happens(500);
        if self.chance.happens(300) {
            self.at_once(&settled(!succeeded));
        }
        if self.chance.happens(900) {
            let _ = self.insist(&settled(succeeded)).await;
        }
    }

    async fn deposit(&self) {
        let amount = self.amount();
        let call = Call::Hold {
            user: self.user.clone(),
            amount,
            expires_in: match self.chance.below(3) {
                0 => None,
                1 => Some(2),
                _ => Some(i64::try_from(self.chance.between(1, 60)).unwrap()),
            },
            key: format!("h{}", self.n),
        };
        let Some(Told::Payment(receipt)) = self.insist(&call).await else {
            return;
        };
        self.pause().await;
        for end in 0..self.chance.below(4) {
            let (user, hold) = (self.user.clone(), receipt.log.clone());
            let key = format!("e{}.{end}", self.n);
            let call = if self.chance.happens(500) {
                Call::Release { user, hold, key }
            } else {
                let part = i64::try_from(self.chance.between(1, 250)).unwrap();
                Call::Capture {
                    user,
                    hold,
                    amount: self.chance.happens(600).then_some(part),
                    payee: self.chance.happens(500).then(|| self.anybody()),
                    key,
                }
            };
            if self.chance.happens(400) {
                self.at_once(&call);
            } else {
                let _ = self.insist(&call).await;
            }
        }
    }

    async fn correct(&self) {
        let amount = self.amount();
        let call = Call::Adjust {
            user: self.user.clone(),
            amount: if self.chance.happens(600) { amount } else { -amount },
            key: format!("a{}", self.n),
        };
        let _ = self.insist(&call).await;
    }
}
