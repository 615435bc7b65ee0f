//! The workload: customers who pay, order and hold, and repeat calls that stay undecided.

use std::sync::{Arc, Mutex, MutexGuard};

use paylog::model::{ClassName, Document, ObjectId, Update, Value};
use paylog::store::{Write, WriteOutcome};
use serde_json::json;

use crate::calls::{Call, Response, Success};
use crate::processes::{Processes, is_undecided};
use crate::responses::Responses;
use crate::rng::Rng;
use crate::tasks::Owner;
use crate::world::World;

/// The most attempts at a call that stays undecided.
const TRIES_MAX: u64 = 4;

/// A product, with the shares of its payees.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) id: ObjectId,
    pub(crate) price: i64,
    pub(crate) payees: Vec<(ObjectId, i64)>,
}

/// The customers, and the responses that they got.
pub(crate) struct Population {
    pub(crate) world: Arc<World>,
    pub(crate) processes: Arc<Processes>,
    pub(crate) users: Vec<ObjectId>,
    pub(crate) products: Vec<Product>,
    responses: Mutex<Responses>,
}

/// The workload of a run, as its seed decides.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) users: usize,
    pub(crate) activities: u64,
    /// Time within which all activities begin, in milliseconds.
    pub(crate) span_millis: u64,
    /// Share of the activities for the first user, in thousandths.
    pub(crate) hot: u16,
}

impl Plan {
    pub(crate) fn drawn(rng: &Rng) -> Self {
        Self {
            users: usize::try_from(rng.between(2, 5)).unwrap(),
            activities: rng.between(4, 14),
            span_millis: *rng.pick(&[100, 3_000, 20_000, 60_000]),
            hot: *rng.pick(&[0, 500, 900]),
        }
    }
}

impl Population {
    pub(crate) fn new(world: &Arc<World>, processes: &Arc<Processes>, plan: &Plan, rng: &Rng) -> Arc<Self> {
        let users: Vec<ObjectId> = (0..plan.users)
            .map(|_| create_document(world, &ClassName::user(), json!({})))
            .collect();
        let mut products = Vec::new();
        for payees in 0..3_usize {
            let price = i64::try_from(rng.between(20, 120)).unwrap();
            let payees: Vec<(ObjectId, i64)> = users
                .iter()
                .rev()
                .take(payees)
                .map(|user| (user.clone(), rng.below(price.unsigned_abs() / 3)))
                .map(|(user, share)| (user, 1 + i64::try_from(share).unwrap()))
                .collect();
            let shown: Vec<Value> = payees
                .iter()
                .map(|(user, amount)| json!({"user": user, "amount": amount}))
                .collect();
            let fields = json!({"name": "x", "price": price, "payees": shown});
            let id = create_document(world, &world.config.product_class, fields);
            products.push(Product { id, price, payees });
        }
        Arc::new(Self {
            world: Arc::clone(world),
            processes: Arc::clone(processes),
            users,
            products,
            responses: Mutex::new(Responses {
                stale_reads: world.state().faults.stale > 0,
                ..Responses::default()
            }),
        })
    }

    pub(crate) fn responses(&self) -> MutexGuard<'_, Responses> {
        self.responses.lock().unwrap()
    }

    /// Runs every activity of the plan to its end.
    pub(crate) async fn run(self: &Arc<Self>, plan: &Plan, rng: &Rng) {
        for (n, user) in self.users.iter().enumerate() {
            let is_payee = self
                .products
                .iter()
                .flat_map(|product| &product.payees)
                .any(|(payee, _)| payee == user);
            if rng.per_mille(if is_payee { 200 } else { 700 }) {
                let call = Call::Adjust {
                    user: user.clone(),
                    amount: i64::try_from(rng.between(50, 500)).unwrap(),
                    key: format!("start{n}"),
                };
                let _ = self.ask(rng, &call).await;
            }
        }
        let mut ends = Vec::new();
        for n in 0..plan.activities {
            let (population, rng) = (Arc::clone(self), rng.fork(100 + n));
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let (span, hot) = (plan.span_millis, plan.hot);
            self.world.tasks.spawn(Owner::World, async move {
                population.world.environment.sleep(rng.millis(0, span)).await;
                let user = if rng.per_mille(hot) {
                    0
                } else {
                    rng.index(population.users.len())
                };
                let user = population.users[user].clone();
                Activity {
                    population,
                    rng,
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

    /// Repeats every call without faults, and those that stay undecided until they are decided. A violation if one
    /// never is.
    pub(crate) async fn ask_unknown_again(self: &Arc<Self>, rng: &Rng) {
        self.responses().stale_reads = false;
        for call in self.with_responses(Responses::first_calls) {
            let _ = self.ask(rng, &call).await;
        }
        for _ in 0..40 {
            let unknown = self.with_responses(Responses::unknown);
            if unknown.is_empty() {
                return;
            }
            for call in unknown {
                let _ = self.ask(rng, &call).await;
            }
        }
        if let Some(call) = self.with_responses(Responses::unknown).first() {
            self.world
                .violated(format!("stays undecided: {}", call.describe()));
        }
    }

    /// Adjusts the account by 1, so that a process reads it.
    pub(crate) async fn adjust_by_one(self: &Arc<Self>, user: &ObjectId, n: u64, rng: &Rng) {
        let call = Call::Adjust {
            user: user.clone(),
            amount: 1,
            key: format!("touch{n}"),
        };
        let _ = self.ask(rng, &call).await;
    }

    fn with_responses<T>(&self, look: impl FnOnce(&Responses) -> T) -> T {
        look(&self.responses())
    }

    /// Sends one call to a random process, and records the response.
    pub(crate) async fn ask(&self, rng: &Rng, call: &Call) -> Option<Response> {
        self.responses().asked(call);
        let open = self.processes.open_slots();
        if open.is_empty() {
            return None;
        }
        let slot = *rng.pick(&open);
        self.world.note(&(slot, call.identity()), || {
            format!("→ {slot}: {}", call.describe())
        });
        let answer = self.processes.ask(slot, call).await;
        let heard = answer.as_ref().map(|answer| match answer {
            Ok(success) => format!("{success:?}"),
            Err(error) => error.to_string(),
        });
        self.world.note(&(slot, call.identity(), &heard), || {
            format!("← {slot}: {} ⇒ {heard:?}", call.describe())
        });
        if let Some(answer) = &answer {
            let checked = self.responses().record(call, answer);
            match checked {
                Ok(None) => {}
                Ok(Some(coverage)) => self.world.cover(coverage),
                Err(why) => self.world.violated(why),
            }
        }
        answer
    }
}

/// Creates a document directly in the first store.
fn create_document(world: &World, class: &ClassName, fields: Value) -> ObjectId {
    let Value::Object(fields) = fields else { panic!() };
    let update = Update::parse(&Document(fields)).unwrap();
    let request = crate::world::Request::Write(Write::create(class, update));
    match world.arrive(0, &request, " (created)") {
        crate::world::Reply::Write(WriteOutcome::Applied(written)) => written.object_id.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// One activity of a customer.
struct Activity {
    population: Arc<Population>,
    rng: Rng,
    user: ObjectId,
    n: u64,
}

impl Activity {
    async fn run(&self) {
        match self.rng.below(20) {
            0..=5 => self.recharge().await,
            6..=10 => self.purchase().await,
            11..=13 => self.transfer().await,
            14 | 15 => self.withdraw().await,
            16..=18 => self.hold_funds().await,
            _ => self.adjust().await,
        }
    }

    /// Repeats the call until it is decided, at most a few times; sometimes twice at the same time, sometimes again
    /// after it was decided.
    async fn ask_until_decided(&self, call: &Call) -> Option<Success> {
        let mut last = None;
        for _ in 0..self.rng.between(1, TRIES_MAX) {
            if self.rng.per_mille(150) {
                self.ask_in_background(call);
            }
            last = self.population.ask(&self.rng, call).await;
            if !is_undecided(last.as_ref()) {
                break;
            }
            self.pause().await;
        }
        if self.rng.per_mille(150) {
            self.ask_in_background(call);
        }
        last?.ok()
    }

    /// Sends the call in the background, now or later.
    fn ask_in_background(&self, call: &Call) {
        let (population, rng, call) = (Arc::clone(&self.population), self.rng.fork(7), call.clone());
        self.population.world.tasks.spawn(Owner::World, async move {
            if rng.per_mille(500) {
                population.world.environment.sleep(rng.millis(0, 20_000)).await;
            }
            let _ = population.ask(&rng, &call).await;
        });
    }

    async fn pause(&self) {
        let most = *self.rng.pick(&[10, 500, 8_000]);
        self.population
            .world
            .environment
            .sleep(self.rng.millis(0, most))
            .await;
    }

    async fn recharge(&self) {
        let amount = i64::try_from(self.rng.between(20, 400)).unwrap();
        let call = Call::Recharge {
            user: self.user.clone(),
            amount,
            key: format!("r{}", self.n),
        };
        if self.rng.per_mille(100) {
            let other = Call::Recharge {
                user: self.user.clone(),
                amount: amount + 1,
                key: format!("r{}", self.n),
            };
            self.ask_in_background(&other);
        }
        let Some(Success::Payment(receipt)) = self.ask_until_decided(&call).await else {
            return;
        };
        let Some(number) = receipt.number else { return };
        if self.rng.per_mille(100) {
            return;
        }
        self.pause().await;
        self.confirm_recharge(&number, receipt.amount.unwrap(), &format!("T{}", self.n))
            .await;
        if self.rng.per_mille(100) {
            // The customer pays the gateway a second time.
            self.confirm_recharge(&number, receipt.amount.unwrap(), &format!("U{}", self.n))
                .await;
        }
    }

    /// Pays a gateway, which confirms until it is acknowledged, and sometimes once more.
    async fn confirm_recharge(&self, number: &str, amount: i64, trade_no: &str) {
        let amount = if self.rng.per_mille(60) {
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
        self.population.world.is_paid(trade_no, &paid);
        let _ = self.ask_until_decided(&call).await;
        while self.rng.per_mille(300) {
            self.ask_in_background(&call);
        }
    }

    async fn purchase(&self) {
        let product = self.rng.pick(&self.population.products).clone();
        let quantity = i64::try_from(self.rng.between(1, 2)).unwrap();
        let call = Call::Order {
            user: self.user.clone(),
            product: product.id.clone(),
            quantity,
            key: format!("o{}", self.n),
        };
        let Some(Success::Order(order)) = self.ask_until_decided(&call).await else {
            return;
        };
        self.pause().await;
        for attempt in 0..self.rng.between(1, 3) {
            let pay = Call::Pay {
                user: self.user.clone(),
                order: order.order.clone(),
                key: self.rng.per_mille(700).then(|| format!("p{}.{attempt}", self.n)),
            };
            match self.rng.below(8) {
                0 => self.ask_in_background(&pay),
                1 => self.cancel_order(&order.order).await,
                _ => {
                    let _ = self.ask_until_decided(&pay).await;
                }
            }
            self.pause().await;
        }
        if self.rng.per_mille(500) {
            if self.rng.per_mille(600)
                && let Some((payee, share)) = product.payees.last()
            {
                self.spend_share(payee, share * quantity).await;
            }
            self.refund_order(&order.order).await;
        }
    }

    /// Lets a payee spend its share, so that a refund may fail.
    async fn spend_share(&self, payee: &ObjectId, amount: i64) {
        let call = Call::Transfer {
            user: payee.clone(),
            to: self.anybody(),
            amount,
            key: format!("s{}", self.n),
        };
        let _ = self.ask_until_decided(&call).await;
    }

    async fn cancel_order(&self, order: &ObjectId) {
        let call = Call::Cancel {
            user: self.user.clone(),
            order: order.clone(),
        };
        let _ = self.ask_until_decided(&call).await;
    }

    async fn refund_order(&self, order: &ObjectId) {
        for refund in 0..self.rng.between(1, 3) {
            let amount = i64::try_from(self.rng.between(1, 80)).unwrap();
            let call = Call::Refund {
                user: self.user.clone(),
                order: order.clone(),
                amount: self.rng.per_mille(700).then_some(amount),
                key: format!("b{}.{refund}", self.n),
            };
            if self.rng.per_mille(300) {
                self.ask_in_background(&call);
            } else {
                let _ = self.ask_until_decided(&call).await;
            }
        }
    }

    fn amount(&self) -> i64 {
        i64::try_from(self.rng.between(1, 200)).unwrap()
    }

    fn anybody(&self) -> ObjectId {
        self.rng.pick(&self.population.users).clone()
    }

    async fn transfer(&self) {
        let mut call = Call::Transfer {
            user: self.user.clone(),
            to: self.anybody(),
            amount: self.amount(),
            key: format!("t{}", self.n),
        };
        let _ = self.ask_until_decided(&call).await;
        if self.rng.per_mille(150)
            && let Call::Transfer { amount, .. } = &mut call
        {
            // The same key for another amount.
            *amount += 1;
            let _ = self.ask_until_decided(&call).await;
        }
    }

    async fn withdraw(&self) {
        let call = Call::Withdraw {
            user: self.user.clone(),
            amount: self.amount(),
            key: format!("w{}", self.n),
        };
        let Some(Success::Payment(receipt)) = self.ask_until_decided(&call).await else {
            return;
        };
        self.pause().await;
        let settled = |succeeded| Call::SettleWithdraw {
            user: self.user.clone(),
            log: receipt.log.clone(),
            succeeded,
        };
        let succeeded = self.rng.per_mille(500);
        if self.rng.per_mille(300) {
            self.ask_in_background(&settled(!succeeded));
        }
        if self.rng.per_mille(900) {
            let _ = self.ask_until_decided(&settled(succeeded)).await;
        }
    }

    async fn hold_funds(&self) {
        let amount = self.amount();
        let call = Call::Hold {
            user: self.user.clone(),
            amount,
            expires_in: match self.rng.below(3) {
                0 => None,
                1 => Some(2),
                _ => Some(i64::try_from(self.rng.between(1, 60)).unwrap()),
            },
            key: format!("h{}", self.n),
        };
        let Some(Success::Payment(receipt)) = self.ask_until_decided(&call).await else {
            return;
        };
        self.pause().await;
        for end in 0..self.rng.below(4) {
            let (user, hold) = (self.user.clone(), receipt.log.clone());
            let key = format!("e{}.{end}", self.n);
            let call = if self.rng.per_mille(500) {
                Call::Release { user, hold, key }
            } else {
                let part = i64::try_from(self.rng.between(1, 250)).unwrap();
                Call::Capture {
                    user,
                    hold,
                    amount: self.rng.per_mille(600).then_some(part),
                    payee: self.rng.per_mille(500).then(|| self.anybody()),
                    key,
                }
            };
            if self.rng.per_mille(400) {
                self.ask_in_background(&call);
            } else {
                let _ = self.ask_until_decided(&call).await;
            }
        }
    }

    async fn adjust(&self) {
        let amount = self.amount();
        let call = Call::Adjust {
            user: self.user.clone(),
            amount: if self.rng.per_mille(600) { amount } else { -amount },
            key: format!("a{}", self.n),
        };
        let _ = self.ask_until_decided(&call).await;
    }
}
