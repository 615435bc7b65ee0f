//! The fixture: a store with the classes set up, and shorthands for the operations of users.

use std::sync::Arc;
use std::time::Duration;

use paylog::environment::{Clock, Entropy, Environment};
use paylog::model::{ClassName, CloudError, Document, Filter, ObjectId, Query, Timestamp, Update, Value};
use paylog::payment::service::{CallerKey, Channel, Notice, OrderReceipt, Receipt};
use paylog::payment::{Amount, PaymentConfig, PaymentService, audit, schema};
use paylog::storage::{MemoryStore, SqliteStore};
use paylog::store::{Action, Database, Store, StoreWrapper, Write, WriteOutcome};
use serde_json::json;
use tempfile::TempDir;

pub(super) struct Bank {
    pub(super) payments: PaymentService,
    /// The documents themselves, below every wrapper.
    pub(super) store: Arc<dyn Store>,
    pub(super) config: PaymentConfig,
    pub(super) environment: Environment,
}

/// Support of the store for all-or-nothing commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batches {
    AllOrNothing,
    Separate,
    /// The embedded database: all-or-nothing, and durable.
    Sqlite,
}

pub(super) const ALL: [Batches; 3] = [Batches::AllOrNothing, Batches::Separate, Batches::Sqlite];

pub(super) const BOTH: [Batches; 2] = [Batches::AllOrNothing, Batches::Separate];

pub(super) fn config() -> PaymentConfig {
    PaymentConfig {
        sandbox: true,
        ..PaymentConfig::new()
    }
}

/// An empty store with the classes set up.
pub(super) async fn store(
    batches: Batches,
    config: &PaymentConfig,
    environment: &Environment,
) -> Arc<dyn Store> {
    let memory = MemoryStore::new(environment.clone());
    match batches {
        Batches::AllOrNothing => defined(memory, config).await,
        Batches::Separate => defined(memory.single_documents(), config).await,
        Batches::Sqlite => {
            let folder = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(folder.path(), environment.clone()).unwrap();
            define(&store, config).await;
            Arc::new(Embedded {
                store,
                _folder: folder,
            })
        }
    }
}

/// A database, and its folder, which is deleted with it.
#[derive(Debug)]
struct Embedded {
    store: SqliteStore,
    _folder: TempDir,
}

impl StoreWrapper for Embedded {
    fn inner(&self) -> &dyn Store {
        &self.store
    }
}

async fn defined<D: Database + 'static>(store: D, config: &PaymentConfig) -> Arc<dyn Store> {
    define(&store, config).await;
    Arc::new(store)
}

async fn define(store: &dyn Database, config: &PaymentConfig) {
    for change in schema::changes(&store.schema(), config).unwrap() {
        store.define(change).await.unwrap();
    }
}

impl Bank {
    pub(super) async fn new(batches: Batches) -> Self {
        let environment = Environment::system();
        let config = config();
        let store = store(batches, &config, &environment).await;
        Self::on(Arc::clone(&store), store, config, environment)
    }

    /// `seen` is the store that the payment flow uses; `store` has the documents themselves.
    pub(super) fn on(
        seen: Arc<dyn Store>,
        store: Arc<dyn Store>,
        config: PaymentConfig,
        environment: Environment,
    ) -> Self {
        Self {
            payments: PaymentService::new(seen, environment.clone(), config.clone()),
            store,
            config,
            environment,
        }
    }

    pub(super) async fn create(&self, class: &ClassName, fields: Value) -> ObjectId {
        let Value::Object(fields) = fields else { panic!() };
        let update = Update::parse(&Document(fields)).unwrap();
        match self.store.write(Write::create(class, update)).await {
            WriteOutcome::Applied(written) => written.object_id.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn user(&self) -> ObjectId {
        self.create(&ClassName::user(), json!({})).await
    }

    pub(super) async fn product(&self, price: i64) -> ObjectId {
        self.create(
            &self.config.product_class,
            json!({"name": "A course", "price": price, "onSale": true}),
        )
        .await
    }

    pub(super) async fn order(&self, user: &ObjectId, product: &ObjectId, key: &str) -> OrderReceipt {
        self.payments
            .create_order(user, product, None, &self::key(key))
            .await
            .unwrap()
    }

    pub(super) async fn ask(&self, user: &ObjectId, amount: i64, key: &str) -> Result<Receipt, CloudError> {
        self.payments
            .recharge(user, &json!(amount), Channel::Sandbox, &self::key(key))
            .await
    }

    pub(super) async fn confirm(
        &self,
        number: &str,
        amount: i64,
        trade_no: &str,
    ) -> Result<Receipt, CloudError> {
        self.payments
            .confirm_recharge(&notice(number, amount, trade_no))
            .await
    }

    pub(super) async fn recharge(&self, user: &ObjectId, amount: i64, key: &str) {
        let receipt = self.ask(user, amount, key).await.unwrap();
        let number = receipt.number.unwrap();
        let confirmed = self
            .confirm(&number, amount, &format!("T-{number}"))
            .await
            .unwrap();
        assert_eq!(confirmed.outcome.as_deref(), Some("succeeded"));
    }

    pub(super) async fn balance(&self, user: &ObjectId) -> i64 {
        self.payments.balance(user).await.unwrap().account.units()
    }

    /// Spendable and held.
    pub(super) async fn both(&self, user: &ObjectId) -> (i64, i64) {
        let account = self.payments.balance(user).await.unwrap();
        (account.account.units(), account.frozen.units())
    }

    /// A user with money.
    pub(super) async fn rich(&self, amount: i64) -> ObjectId {
        let user = self.user().await;
        self.recharge(&user, amount, "riches").await;
        user
    }

    pub(super) async fn transfer(
        &self,
        user: &ObjectId,
        to: &ObjectId,
        amount: i64,
        key: &str,
    ) -> Result<Receipt, CloudError> {
        self.payments
            .transfer(user, to, &json!(amount), None, &self::key(key))
            .await
    }

    pub(super) async fn hold(&self, user: &ObjectId, amount: i64, key: &str) -> Result<Receipt, CloudError> {
        self.payments
            .hold_funds(user, &json!(amount), None, &self::key(key))
            .await
    }

    pub(super) async fn capture(
        &self,
        hold: &ObjectId,
        amount: i64,
        payee: Option<&ObjectId>,
        key: &str,
    ) -> Result<Receipt, CloudError> {
        self.payments
            .capture_hold(hold, Some(&json!(amount)), payee, &self::key(key))
            .await
    }

    pub(super) async fn release(&self, hold: &ObjectId, key: &str) -> Result<Receipt, CloudError> {
        self.payments.release_hold(hold, &self::key(key)).await
    }

    pub(super) async fn withdraw(
        &self,
        user: &ObjectId,
        amount: i64,
        key: &str,
    ) -> Result<Receipt, CloudError> {
        self.payments
            .withdraw(
                user,
                &json!(amount),
                Channel::Sandbox,
                "a bank card",
                &self::key(key),
            )
            .await
    }

    pub(super) async fn refund(
        &self,
        order: &ObjectId,
        amount: Option<i64>,
        key: &str,
    ) -> Result<Receipt, CloudError> {
        let amount = amount.map(|amount| json!(amount));
        self.payments
            .refund_order(order, amount.as_ref(), None, &self::key(key))
            .await
    }

    pub(super) async fn adjust(
        &self,
        user: &ObjectId,
        amount: i64,
        key: &str,
    ) -> Result<Receipt, CloudError> {
        self.payments
            .adjust_account(user, &json!(amount), "counted again", &self::key(key))
            .await
    }

    /// A paid order, with its payees and their shares.
    pub(super) async fn sold(&self, price: i64, payees: &[(&ObjectId, i64)]) -> (ObjectId, ObjectId) {
        let user = self.rich(price).await;
        let payees: Vec<Value> = payees
            .iter()
            .map(|(user, amount)| json!({"user": user, "amount": amount}))
            .collect();
        let product = json!({"name": "A course", "price": price, "payees": payees});
        let product = self.create(&self.config.product_class, product).await;
        let order = self.order(&user, &product, "sold").await.order;
        self.payments.pay_order(&user, &order, None).await.unwrap();
        (user, order)
    }

    /// Another process on the same documents: the two share no memory.
    pub(super) fn again(&self) -> Self {
        self.with(self.environment.clone())
    }

    /// Another process whose clock is ahead by `seconds`.
    pub(super) fn ahead(&self, seconds: i64) -> Self {
        let clock = Arc::new(Ahead {
            environment: self.environment.clone(),
            millis: seconds * 1000,
        });
        let entropy = Arc::clone(&clock) as Arc<dyn Entropy>;
        self.with(Environment::new(clock, entropy))
    }

    fn with(&self, environment: Environment) -> Self {
        let store = Arc::clone(&self.store);
        Self::on(Arc::clone(&store), store, self.config.clone(), environment)
    }

    pub(super) async fn get(&self, class: &ClassName, id: &ObjectId) -> Document {
        self.store.get(class, id).await.unwrap().unwrap()
    }

    pub(super) async fn status(&self, order: &ObjectId) -> String {
        let order = self.get(&self.config.order_class, order).await;
        order.text("status").unwrap().to_owned()
    }

    pub(super) async fn logs(&self, filter: Filter) -> Vec<Document> {
        let query = Query::new(filter).limit(1000);
        self.store.find(&self.config.log_class, &query).await.unwrap()
    }

    /// Recovers every open log until none is left; fails if recovery makes no progress.
    pub(super) async fn recover(&self) {
        for _ in 0..50 {
            self.payments.sweep(Duration::ZERO, 500).await.unwrap();
            self.unclaim().await;
            let open = Filter::all().lt("state", 5).and_any(vec![
                Filter::all().ne("kind", "recharge"),
                Filter::all().ne("state", 1),
            ]);
            if self.logs(open).await.is_empty() {
                return;
            }
        }
        panic!(
            "recovery leaves open: {:?}",
            self.logs(Filter::all().lt("state", 5)).await
        );
    }

    /// Removes all leases. They only save work: without them the next worker comes sooner.
    async fn unclaim(&self) {
        for log in self
            .logs(Filter::all().lt("state", 5).exists("claimedUntil", true))
            .await
        {
            let action = Action::Update {
                id: log.object_id().unwrap(),
                precondition: Filter::all(),
                update: Update::new().delete("claimedUntil"),
                fetch: false,
            };
            let class = self.config.log_class.clone();
            let _ = self.store.write(Write { class, action }).await;
        }
    }

    /// Recomputes every account and order from the logs.
    pub(super) async fn audit(&self) {
        let report = audit::audit(&*self.store, &self.config).await.unwrap();
        assert_eq!(report.differences, [], "{report:?}");
    }
}

/// A clock that is ahead of another one.
struct Ahead {
    environment: Environment,
    millis: i64,
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        self.environment.now().plus_millis(self.millis)
    }

    fn elapsed(&self) -> Duration {
        self.environment.elapsed()
    }
}

impl Entropy for Ahead {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            [*byte] = self.environment.random();
        }
    }
}

/// The receipt that every repetition must return.
pub(super) fn plain(answer: &Receipt) -> Receipt {
    Receipt {
        replayed: false,
        ..answer.clone()
    }
}

pub(super) fn key(text: &str) -> CallerKey {
    CallerKey::from_value(&json!(text)).unwrap()
}

pub(super) fn notice(number: &str, amount: i64, trade_no: &str) -> Notice {
    Notice {
        number: number.to_owned(),
        amount: Amount::new(amount).unwrap(),
        channel: Channel::Sandbox,
        trade_no: trade_no.to_owned(),
    }
}

pub(super) fn code<T: std::fmt::Debug>(result: Result<T, CloudError>) -> i32 {
    result.unwrap_err().code.0
}
