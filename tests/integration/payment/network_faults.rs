//! The payment flow behind a bad network, over real HTTP: workers whose store is the REST client, behind a proxy that
//! loses, repeats, delays and resets, before the real server.
//!
//! The seed decides the fate of the n-th request of each worker; timing decides which request that is. So a replayed seed
//! has the same faults, but not the same run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use paylog::client::{Client, Idempotent, ReadOptions, RetryPolicy, WriteOptions};
use paylog::credentials::Credentials;
use paylog::environment::Environment;
use paylog::model::{ClassName, CloudError, Filter, ObjectId, Update};
use paylog::payment::service::{Channel, Receipt};
use paylog::payment::{PaymentConfig, PaymentService, schema};
use paylog::server::{PasswordCost, Server, ServerConfig, set_up};
use paylog::storage::SqliteStore;
use paylog::store::{Action, Database, Store, Write, WriteOutcome};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::fixture::{self, Bank, key, notice};
use crate::support::proxy::{Asked, Fate, Proxy};

/// Time-out of the client.
const PATIENCE: Duration = Duration::from_millis(400);

/// The server, with a database of its own.
struct Site {
    url: String,
    store: SqliteStore,
    config: PaymentConfig,
    _folder: TempDir,
}

impl Site {
    async fn start(config: PaymentConfig) -> Self {
        let environment = Environment::system();
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path(), environment.clone()).unwrap();
        set_up(&store).await.unwrap();
        for change in schema::changes(&store.schema(), &config).unwrap() {
            store.define(change).await.unwrap();
        }
        let credentials = Credentials {
            app_id: "app-id".to_owned(),
            app_key: "app-key".into(),
            master_key: Some("master-key".into()),
            hook_key: None,
            androidx_key: None,
        };
        let mut server = ServerConfig::new(credentials, environment);
        server.password_cost = PasswordCost::CHEAPEST;
        let router = Server::new(Arc::new(store.clone()), server, None).router();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self {
            url,
            store,
            config,
            _folder: folder,
        }
    }

    fn seen_by(&self, seen: Arc<dyn Store>) -> Bank {
        let store = Arc::new(self.store.clone());
        Bank::on(seen, store, self.config.clone(), Environment::system())
    }
}

/// A client of the server at `url` that retries as often and as quickly as it may.
fn client(url: &str) -> Client {
    Client::builder(url, "app-id", "app-key")
        .master_key("master-key")
        .timeout(PATIENCE)
        .retry_policy(RetryPolicy {
            attempts_max: 3,
            delay_first: Duration::from_millis(2),
            delay_max: Duration::from_millis(10),
            guarded_writes: true,
            ..RetryPolicy::default()
        })
        .build()
        .unwrap()
}

/// Every harmful fate; the slow ones exceed the client's time-out.
fn faults() -> Vec<Fate> {
    let late = Duration::from_millis(50);
    vec![
        Fate::Slow(PATIENCE + late),
        Fate::Lost,
        Fate::LostAndReset,
        Fate::LostBadGateway,
        Fate::Busy,
        Fate::AnswerLost,
        Fate::AnswerLostAndReset,
        Fate::AnswerBadGateway,
        Fate::AnswerCut,
        Fate::Late(late),
        Fate::LateBadGateway(late),
    ]
}

/// A document with a number, on a server behind a proxy that harms the first requests to it.
struct Counter {
    site: Site,
    proxy: Proxy,
    class: ClassName,
    id: ObjectId,
}

impl Counter {
    /// The first `count` writes meet `fate`.
    async fn start(fate: Fate, count: usize) -> Self {
        let site = Site::start(fixture::config()).await;
        let class = ClassName::parse("Counter").unwrap();
        let (maker, fields) = (client(&site.url), Update::new().set("n", 0));
        let made = maker.objects(&class).create(&fields, WriteOptions::new()).await;
        let WriteOutcome::Applied(made) = made else {
            panic!("{made:?}")
        };
        let met = AtomicUsize::new(0);
        let proxy = Proxy::start(&site.url, move |_: &Asked| {
            let is_met = met.fetch_add(1, Ordering::SeqCst) < count;
            if is_met { fate } else { Fate::Fine }
        })
        .await;
        Self {
            site,
            proxy,
            class,
            id: made.object_id.unwrap(),
        }
    }

    async fn increment(&self, options: WriteOptions) -> WriteOutcome {
        let increment = Update::new().increment("n", 1);
        let client = client(&self.proxy.url);
        client
            .objects(&self.class)
            .update(&self.id, &increment, options)
            .await
    }

    /// The stored number, once no request is under way.
    async fn counted(&self) -> i64 {
        self.proxy.heal().await;
        let counter = self.site.store.get(&self.class, &self.id).await.unwrap().unwrap();
        counter.integer("n").unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increment_is_sent_once() {
    for fate in faults() {
        let counter = Counter::start(fate, 1).await;
        // A condition that stays true guards nothing, whoever declares it.
        let harmless = Filter::all().gte("n", 0);
        let options = [
            WriteOptions::new(),
            WriteOptions::new().idempotent(Idempotent::Guarded),
            WriteOptions::new().idempotent(Idempotent::Yes),
            WriteOptions::new().precondition(harmless),
        ];
        let outcome = counter.increment(options[0].clone()).await;
        match (fate, outcome) {
            (Fate::Busy, WriteOutcome::Rejected(error)) => assert_eq!(error.code.0, 429),
            (_, WriteOutcome::Unknown(_)) => {}
            (fate, outcome) => panic!("{fate:?}: {outcome:?}"),
        }
        assert_eq!(counter.proxy.asked().len(), 1, "{fate:?}");
        assert_eq!(counter.counted().await, i64::from(fate.arrives()), "{fate:?}");
        for options in options.into_iter().skip(1) {
            let counter = Counter::start(fate, 1).await;
            let _ = counter.increment(options.clone()).await;
            assert_eq!(counter.proxy.asked().len(), 1, "{fate:?} {options:?}");
            assert_eq!(counter.counted().await, i64::from(fate.arrives()), "{fate:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declared_guarded_write_is_sent_again() {
    for fate in faults() {
        let counter = Counter::start(fate, 2).await;
        let precondition = Filter::all().eq("n", 0);
        let options = WriteOptions::new()
            .precondition(precondition)
            .idempotent(Idempotent::Guarded);
        let outcome = counter.increment(options).await;
        assert_eq!(counter.proxy.asked().len(), 3, "{fate:?}");
        match outcome {
            WriteOutcome::Applied(_) => {}
            // The condition may not hold because an earlier attempt has come through.
            WriteOutcome::Unknown(_) => assert!(fate.arrives(), "{fate:?}"),
            other => panic!("{fate:?}: {other:?}"),
        }
        assert_eq!(counter.counted().await, 1, "{fate:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payment_writes_are_sent_once_and_reads_until_answered() {
    for fate in faults() {
        let counter = Counter::start(fate, 1).await;
        let client = client(&counter.proxy.url);
        let leg = Filter::all().ne("paylogs", "log").eq("n", 0);
        let update = Update::new()
            .increment("n", 1)
            .add_unique("paylogs", vec!["log".into()]);
        let write = Write::update(&counter.class, &counter.id, leg, update);
        let outcome = client.write(write.clone()).await;
        assert!(
            matches!(outcome, WriteOutcome::Unknown(_) | WriteOutcome::Rejected(_)),
            "{fate:?}: {outcome:?}"
        );
        assert_eq!(counter.proxy.asked().len(), 1, "{fate:?}");
        assert_eq!(counter.counted().await, i64::from(fate.arrives()), "{fate:?}");

        let counter = Counter::start(fate, 1).await;
        let client = self::client(&counter.proxy.url);
        let batch = vec![write.clone(), write];
        let outcomes = client.batch(batch).await;
        let unknown = |outcome: &WriteOutcome| matches!(outcome, WriteOutcome::Unknown(_));
        assert!(
            outcomes.len() == 2 && outcomes.iter().all(unknown),
            "{fate:?}: {outcomes:?}"
        );
        assert_eq!(counter.proxy.asked().len(), 1, "{fate:?}");

        let counter = Counter::start(fate, 2).await;
        let client = self::client(&counter.proxy.url);
        let found = client
            .objects(&counter.class)
            .get(&counter.id, &ReadOptions::default())
            .await;
        assert_eq!(found.unwrap().unwrap().integer("n"), Some(0), "{fate:?}");
        assert_eq!(counter.proxy.asked().len(), 3, "{fate:?}");
    }
}

/// A call with its parameters.
#[derive(Clone, Debug)]
enum Call {
    Recharge {
        user: ObjectId,
        amount: i64,
        key: String,
    },
    Confirm {
        number: String,
        amount: i64,
    },
    Pay {
        user: ObjectId,
        order: ObjectId,
        key: String,
    },
    Cancel {
        user: ObjectId,
        order: ObjectId,
    },
    Transfer {
        user: ObjectId,
        to: ObjectId,
        amount: i64,
        key: String,
    },
    Refund {
        order: ObjectId,
        amount: Option<i64>,
        key: String,
    },
    Hold {
        user: ObjectId,
        amount: i64,
        key: String,
    },
    Capture {
        hold: ObjectId,
        amount: Option<i64>,
        payee: ObjectId,
        key: String,
    },
    Release {
        hold: ObjectId,
        key: String,
    },
    Withdraw {
        user: ObjectId,
        amount: i64,
        key: String,
    },
    SettleWithdraw {
        withdrawal: ObjectId,
        succeeded: bool,
    },
    Adjust {
        user: ObjectId,
        amount: i64,
        key: String,
    },
}

impl Call {
    async fn make(&self, payments: &PaymentService) -> Result<Receipt, CloudError> {
        match self {
            Self::Recharge { user, amount, key } => {
                let amount = json!(amount);
                payments
                    .recharge(user, &amount, Channel::Sandbox, &self::key(key))
                    .await
            }
            Self::Confirm { number, amount } => {
                let notice = notice(number, *amount, &format!("T-{number}"));
                payments.confirm_recharge(&notice).await
            }
            Self::Pay { user, order, key } => payments.pay_order(user, order, Some(&self::key(key))).await,
            Self::Cancel { user, order } => payments.cancel_order(user, order).await,
            Self::Transfer {
                user,
                to,
                amount,
                key,
            } => {
                let key = self::key(key);
                payments.transfer(user, to, &json!(amount), None, &key).await
            }
            Self::Refund { order, amount, key } => {
                let amount = amount.map(|amount| json!(amount));
                payments
                    .refund_order(order, amount.as_ref(), None, &self::key(key))
                    .await
            }
            Self::Hold { user, amount, key } => {
                payments
                    .hold_funds(user, &json!(amount), None, &self::key(key))
                    .await
            }
            Self::Capture {
                hold,
                amount,
                payee,
                key,
            } => {
                let amount = amount.map(|amount| json!(amount));
                let key = self::key(key);
                payments
                    .capture_hold(hold, amount.as_ref(), Some(payee), &key)
                    .await
            }
            Self::Release { hold, key } => payments.release_hold(hold, &self::key(key)).await,
            Self::Withdraw { user, amount, key } => {
                let (amount, key) = (json!(amount), self::key(key));
                payments
                    .withdraw(user, &amount, Channel::Sandbox, "account 1234", &key)
                    .await
            }
            Self::SettleWithdraw {
                withdrawal,
                succeeded,
            } => payments.settle_withdraw(withdrawal, *succeeded).await,
            Self::Adjust { user, amount, key } => {
                let (amount, key) = (json!(amount), self::key(key));
                payments
                    .adjust_account(user, &amount, "counted again", &key)
                    .await
            }
        }
    }
}

/// A final result: the payment, or the code of the refusal.
type Verdict = Result<Receipt, i32>;

/// The expected changes of accounts: spendable and held, in minor units.
type Moves = Vec<(ObjectId, i64, i64)>;

/// The result of a call, and its changes if it succeeds.
struct Said {
    call: Call,
    told: Vec<Verdict>,
    moves: Moves,
    /// The changes if it was refused.
    otherwise: Moves,
}

/// The final result; `None` if the outcome is not known yet.
fn verdict(answer: Result<Receipt, CloudError>) -> Option<Verdict> {
    match answer {
        Ok(receipt) => Some(Ok(Receipt {
            replayed: false,
            ..receipt
        })),
        Err(error) => (9001..=9009).contains(&error.code.0).then_some(Err(error.code.0)),
    }
}

/// Tries of a call before its caller gives up.
const TRIES: usize = 8;

/// The participants of one run.
struct Market {
    workers: Vec<PaymentService>,
    /// The service without a network between it and the store.
    documents: SqliteStore,
    log_class: ClassName,
    said: Mutex<Vec<Said>>,
    merchant: ObjectId,
    /// Products of 100 fen, of which the merchant gets 30, and of 5000.
    cheap: ObjectId,
    dear: ObjectId,
}

impl Market {
    /// Calls until there is a final result: all workers at the same time first, then one after the other.
    async fn insist(&self, call: Call, moves: Moves) -> Option<Verdict> {
        self.insist_or(call, moves, Moves::new()).await
    }

    async fn insist_or(&self, call: Call, moves: Moves, otherwise: Moves) -> Option<Verdict> {
        let at_once = self.workers.iter().map(|worker| call.make(worker));
        let mut told: Vec<_> = join_all(at_once).await.into_iter().filter_map(verdict).collect();
        for worker in self.workers.iter().cycle().take(TRIES) {
            if !told.is_empty() {
                break;
            }
            told.extend(verdict(call.make(worker).await));
        }
        let first = told.first().cloned();
        self.said.lock().unwrap().push(Said {
            call,
            told,
            moves,
            otherwise,
        });
        first
    }

    /// Two calls that exclude each other: one of them succeeds.
    async fn one_of(&self, one: (Call, Moves), other: (Call, Moves)) {
        let results = tokio::join!(
            Box::pin(self.insist(one.0, one.1)),
            Box::pin(self.insist(other.0, other.1))
        );
        if let (Some(one), Some(other)) = results {
            assert!(one.is_ok() != other.is_ok(), "{one:?} and {other:?}");
        }
    }

    async fn order(&self, user: &ObjectId, product: &ObjectId, key: &str) -> Option<ObjectId> {
        let mut orders = Vec::new();
        for worker in self.workers.iter().cycle().take(TRIES) {
            let made = worker.create_order(user, product, None, &fixture::key(key)).await;
            match made {
                Ok(order) => orders.push(order.order),
                Err(error) => assert!(!(9001..=9009).contains(&error.code.0), "{error}"),
            }
            if orders.len() == 2 {
                break;
            }
        }
        orders.dedup();
        assert!(orders.len() <= 1, "one key, one order");
        orders.pop()
    }

    /// A customer with money who uses every operation at the same time.
    async fn customer(&self, user: &ObjectId, neighbour: &ObjectId) -> Option<()> {
        let recharge = Call::Recharge {
            user: user.clone(),
            amount: 1000,
            key: "money".into(),
        };
        let number = self
            .insist(recharge, Moves::new())
            .await?
            .unwrap()
            .number
            .unwrap();
        let confirm = Call::Confirm { number, amount: 1000 };
        self.insist(confirm, vec![(user.clone(), 1000, 0)])
            .await?
            .unwrap();
        let transfer = Call::Transfer {
            user: user.clone(),
            to: neighbour.clone(),
            amount: 50,
            key: "t".into(),
        };
        let moves = vec![(user.clone(), -50, 0), (neighbour.clone(), 50, 0)];
        let adjust = |amount: i64, key: &str| {
            let call = Call::Adjust {
                user: user.clone(),
                amount,
                key: key.to_owned(),
            };
            self.insist(call, vec![(user.clone(), amount, 0)])
        };
        tokio::join!(
            self.buy(user),
            self.buy_in_doubt(user),
            self.hold(user),
            self.let_a_hold_expire(user),
            self.withdraw(user),
            self.insist(transfer, moves),
            adjust(5, "up"),
            adjust(-3, "down"),
        );
        Some(())
    }

    fn pay(&self, user: &ObjectId, order: &ObjectId) -> (Call, Moves) {
        let call = Call::Pay {
            user: user.clone(),
            order: order.clone(),
            key: format!("p{order}"),
        };
        (
            call,
            vec![(user.clone(), -100, 0), (self.merchant.clone(), 30, 0)],
        )
    }

    /// Buys, and gets the money back in two parts.
    async fn buy(&self, user: &ObjectId) -> Option<()> {
        let order = self.order(user, &self.cheap, "bought").await?;
        let (pay, moves) = self.pay(user, &order);
        self.insist(pay, moves).await?.unwrap();
        for (amount, back, share, key) in [(Some(40), 40, 12, "part"), (None, 60, 18, "rest")] {
            let refund = Call::Refund {
                order: order.clone(),
                amount,
                key: key.to_owned(),
            };
            let moves = vec![(user.clone(), back, 0), (self.merchant.clone(), -share, 0)];
            // Others may have taken what the merchant got; then the refund is declined, and so is the rest of it.
            self.insist(refund, moves).await?.ok()?;
        }
        Some(())
    }

    /// Pays and cancels at the same time; and tries to buy something too expensive.
    async fn buy_in_doubt(&self, user: &ObjectId) -> Option<()> {
        let order = self.order(user, &self.cheap, "in doubt").await?;
        let cancel = Call::Cancel {
            user: user.clone(),
            order: order.clone(),
        };
        self.one_of(self.pay(user, &order), (cancel, Moves::new())).await;
        let order = self.order(user, &self.dear, "too dear").await?;
        let (pay, _) = self.pay(user, &order);
        let declined = self.insist(pay, vec![(user.clone(), -5000, 0)]).await?;
        assert_eq!(declined.unwrap_err(), 9002);
        Some(())
    }

    async fn held(&self, user: &ObjectId, key: &str) -> Option<ObjectId> {
        let hold = Call::Hold {
            user: user.clone(),
            amount: 80,
            key: key.to_owned(),
        };
        let held = self.insist(hold, vec![(user.clone(), -80, 80)]).await?;
        Some(held.unwrap().log)
    }

    /// A hold that is captured in part and released at the same time.
    async fn hold(&self, user: &ObjectId) -> Option<()> {
        let hold = self.held(user, "h").await?;
        let release = Call::Release {
            hold: hold.clone(),
            key: "release".into(),
        };
        let capture = Call::Capture {
            hold,
            amount: Some(30),
            payee: self.merchant.clone(),
            key: "capture".into(),
        };
        let captured = vec![(user.clone(), 50, -80), (self.merchant.clone(), 30, 0)];
        self.one_of((capture, captured), (release, vec![(user.clone(), 80, -80)]))
            .await;
        Some(())
    }

    /// A hold that is captured while it expires.
    async fn let_a_hold_expire(&self, user: &ObjectId) -> Option<()> {
        let hold = self.held(user, "expiring").await?;
        let past = json!({"__type": "Date", "iso": "2020-01-01T00:00:00.000Z"});
        let due = Update::new().set("expiresAt", past);
        let action = Action::Update {
            id: hold.clone(),
            precondition: Filter::all(),
            update: due,
            fetch: false,
        };
        let class = self.log_class.clone();
        let fallen_due = self.documents.write(Write { class, action }).await;
        assert!(matches!(fallen_due, WriteOutcome::Applied(_)), "{fallen_due:?}");
        let capture = Call::Capture {
            hold,
            amount: None,
            payee: self.merchant.clone(),
            key: "too late?".into(),
        };
        let captured = vec![(user.clone(), 0, -80), (self.merchant.clone(), 80, 0)];
        self.insist_or(capture, captured, vec![(user.clone(), 80, -80)])
            .await;
        Some(())
    }

    /// A withdrawal that is settled as paid out and as not paid out at the same time.
    async fn withdraw(&self, user: &ObjectId) -> Option<()> {
        let withdraw = Call::Withdraw {
            user: user.clone(),
            amount: 60,
            key: "w".into(),
        };
        let withdrawn = self.insist(withdraw, vec![(user.clone(), -60, 60)]).await?;
        let withdrawal = withdrawn.unwrap().log;
        let settle = |succeeded| Call::SettleWithdraw {
            withdrawal: withdrawal.clone(),
            succeeded,
        };
        let paid_out = (settle(true), vec![(user.clone(), 0, -60)]);
        self.one_of(paid_out, (settle(false), vec![(user.clone(), 60, -60)]))
            .await;
        Some(())
    }
}

/// Frequency of each fault, in thousandths of all requests.
const RATE: u16 = 10;

/// The fate of each request of one worker.
fn weather(seed: u64) -> impl Fn(&Asked) -> Fate + Send + Sync + 'static {
    let chance = Mutex::new(StdRng::seed_from_u64(seed));
    move |_: &Asked| {
        let mut chance = chance.lock().unwrap();
        let delay = Duration::from_millis(chance.random_range(1..700));
        let mut fates = faults();
        fates.retain(|fate| !matches!(fate, Fate::Slow(_) | Fate::Late(_) | Fate::LateBadGateway(_)));
        fates.extend([
            Fate::Slow(delay),
            Fate::Late(delay),
            Fate::LateBadGateway(delay),
            Fate::Again(delay),
            Fate::Twice,
            Fate::TwiceSecondAnswer,
            Fate::FineAndClosed,
        ]);
        let drawn = chance.random_range(0..1000);
        *fates.get(usize::from(drawn / RATE)).unwrap_or(&Fate::Fine)
    }
}

/// Two workers behind faulty networks, and customers who call both. Whatever is lost, recovery closes every log, the audit
/// is clean, results stay true, and every account holds the sum of the results. Returns the number of requests per
/// fate.
async fn bad_weather(seed: u64, customers: usize) -> BTreeMap<String, usize> {
    let site = Site::start(PaymentConfig {
        // Marks are forgotten as soon as can be, so that late requests meet documents that know nothing of them.
        prune_threshold: Some(1),
        store_timeout: PATIENCE * 2,
        deadline: Duration::from_secs(4),
        lease: Duration::from_millis(300),
        sweep_every: Duration::from_millis(100),
        ..fixture::config()
    })
    .await;
    let direct = site.seen_by(Arc::new(site.store.clone()));
    let merchant = direct.user().await;
    let product = json!({"name": "x", "price": 100, "payees": [{"user": merchant, "amount": 30}]});
    let mut proxies = Vec::new();
    let mut workers = Vec::new();
    for n in 0..2 {
        let proxy = Proxy::start(&site.url, weather(seed.wrapping_mul(2).wrapping_add(n))).await;
        workers.push(site.seen_by(Arc::new(client(&proxy.url))).payments);
        proxies.push(proxy);
    }
    let stop = CancellationToken::new();
    let mut background = JoinSet::new();
    for worker in &workers {
        let (worker, stop) = (worker.clone(), stop.clone());
        background.spawn(async move { worker.run_sweeper(stop).await });
    }
    let market = Market {
        workers,
        documents: site.store.clone(),
        log_class: site.config.log_class.clone(),
        said: Mutex::default(),
        cheap: direct.create(&direct.config.product_class, product).await,
        dear: direct.product(5000).await,
        merchant,
    };
    let mut users = Vec::new();
    for _ in 0..customers {
        users.push(direct.user().await);
    }
    let neighbours = users.iter().cycle().skip(1);
    join_all(
        users
            .iter()
            .zip(neighbours)
            .map(|(user, neighbour)| market.customer(user, neighbour)),
    )
    .await;
    stop.cancel();
    while let Some(ended) = background.join_next().await {
        ended.unwrap();
    }

    // Everything is closed and forgotten before the last late requests arrive.
    direct.recover().await;
    direct.audit().await;
    direct.payments.prune_queued().await;
    let mut met = BTreeMap::new();
    for proxy in &proxies {
        proxy.heal().await;
        for (_, fate) in proxy.asked() {
            *met.entry(fate.name()).or_default() += 1;
        }
    }
    direct.recover().await;
    direct.audit().await;
    // A worker that remembers nothing, in fair weather.
    let fair = site.seen_by(Arc::new(client(&proxies[0].url)));
    settle(&fair, &market, &users).await;
    met
}

/// Repeats every call, and compares the balances with the sum of the results.
async fn settle(fair: &Bank, market: &Market, users: &[ObjectId]) {
    let mut sums: BTreeMap<ObjectId, (i64, i64)> = BTreeMap::new();
    let said = std::mem::take(&mut *market.said.lock().unwrap());
    for Said {
        call,
        told,
        moves,
        otherwise,
    } in said
    {
        let holds = verdict(call.make(&fair.payments).await);
        let holds = holds.unwrap_or_else(|| panic!("nobody knows what became of {call:?}"));
        for told in told {
            match (&told, &holds) {
                // It waited for its gateway then.
                (Ok(waiting), Ok(paid)) if waiting.outcome.is_none() => {
                    assert_eq!((&waiting.log, &waiting.number), (&paid.log, &paid.number));
                }
                (told, holds) => assert_eq!(told, holds, "{call:?}"),
            }
        }
        for (user, account, frozen) in if holds.is_ok() { moves } else { otherwise } {
            let sum = sums.entry(user).or_default();
            *sum = (sum.0 + account, sum.1 + frozen);
        }
    }
    fair.recover().await;
    fair.audit().await;
    for user in users.iter().chain([&market.merchant]) {
        let holds = fair.payments.balance(user).await.unwrap();
        let expected = sums.get(user).copied().unwrap_or_default();
        assert_eq!((holds.account.units(), holds.frozen.units()), expected, "{user}");
    }
}

/// `PAYLOG_SEEDS` sets the number of seeds, `PAYLOG_SEED` one certain seed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faulty_http_loses_no_money() {
    let number = |name| std::env::var_os(name).map(|text| text.to_str().unwrap().parse::<u64>().unwrap());
    let seeds = match number("PAYLOG_SEED") {
        Some(seed) => vec![seed],
        None => {
            let first = u64::from_be_bytes(Environment::system().random()) >> 16;
            (first..first + number("PAYLOG_SEEDS").unwrap_or(2)).collect()
        }
    };
    let environment = Environment::system();
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    let is_sample = seeds.len() > 1;
    for seed in seeds {
        println!("PAYLOG_SEED={seed}");
        for (fate, count) in bad_weather(seed, 6).await {
            *met.entry(fate).or_default() += count;
        }
    }
    println!("{met:?} in {:?}", environment.elapsed());
    if is_sample {
        assert_eq!(met.len(), 16, "some of what can go wrong has not: {met:?}");
    }
}
