//! Audits of real stores: differences that are found, payments in progress that are none, and the opening of earlier
//! balances.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use paylog::model::{ClassName, Document, Filter, ObjectId, Query, Update, Value};
use paylog::payment::PaymentService;
use paylog::payment::audit::{Audit, AuditReport, Opened, Unopened};
use paylog::store::{Action, ReadError, Store, StoreWrapper, Write, WriteOutcome};
use serde_json::json;

use super::fixture::{ALL, Bank, Batches, key};

/// A store with payments of several kinds, all closed.
struct Books {
    bank: Bank,
    user: ObjectId,
    other: ObjectId,
    order: ObjectId,
    purchase: ObjectId,
}

impl Books {
    async fn new(batches: Batches) -> Self {
        let bank = Bank::new(batches).await;
        let (user, other) = (bank.user().await, bank.user().await);
        bank.recharge(&user, 1000, "r").await;
        let product = bank.product(100).await;
        let order = bank.order(&user, &product, "o").await.order;
        let purchase = bank.payments.pay_order(&user, &order, None).await.unwrap().log;
        bank.payments
            .transfer(&user, &other, &json!(50), None, &key("t"))
            .await
            .unwrap();
        bank.payments
            .adjust_account(&other, &json!(-20), "a correction", &key("a"))
            .await
            .unwrap();
        bank.recover().await;
        let books = Self {
            bank,
            user,
            other,
            order,
            purchase,
        };
        assert_eq!(books.found().await, Vec::<String>::new());
        books
    }

    fn class(&self, name: &str) -> ClassName {
        match name {
            "user" => self.bank.config.user_class.clone(),
            "order" => self.bank.config.order_class.clone(),
            _ => self.bank.config.log_class.clone(),
        }
    }

    async fn write(&self, class: &str, id: &ObjectId, update: Update) {
        let write = Write::update(&self.class(class), id, Filter::all(), update);
        let outcome = self.bank.store.write(write).await;
        assert!(matches!(outcome, WriteOutcome::Applied(_)), "{outcome:?}");
    }

    async fn delete(&self, class: &str, id: &ObjectId) {
        let write = Write {
            class: self.class(class),
            action: Action::Delete {
                id: id.clone(),
                precondition: Filter::all(),
            },
        };
        let outcome = self.bank.store.write(write).await;
        assert!(matches!(outcome, WriteOutcome::Applied(_)), "{outcome:?}");
    }

    async fn report(&self) -> AuditReport {
        let audit = Audit::of(&*self.bank.store, &self.bank.config);
        let (moving, _) = audit.run().await.unwrap();
        let audit = Audit::of(&*self.bank.store, &self.bank.config).of_one_moment();
        let (report, _) = audit.run().await.unwrap();
        assert_eq!(moving, report, "nothing moves here");
        report
    }

    /// The differences, as `class field: found, not expected`.
    async fn found(&self) -> Vec<String> {
        let report = self.report().await;
        let short = report.differences.iter().map(|difference| {
            let named = if difference.logs.contains(&self.purchase) {
                "; purchase"
            } else {
                ""
            };
            assert!(difference.logs_total >= difference.logs.len() as u64);
            let id = match &difference.id {
                id if *id == self.user => "user",
                id if *id == self.other => "other",
                id if *id == self.order => "order",
                id if *id == self.purchase => "purchase",
                _ => "?",
            };
            format!(
                "{id} {}: {}, not {}{named}",
                difference.field, difference.found, difference.expected
            )
        });
        short.collect()
    }
}

#[tokio::test]
async fn edited_balance_is_found() {
    for batches in ALL {
        let books = Books::new(batches).await;
        books
            .write("user", &books.user, Update::new().set("account", 851))
            .await;
        assert_eq!(books.found().await, ["user account: 851, not 850; purchase"]);
        books
            .write("user", &books.user, Update::new().set("account", 850.5))
            .await;
        assert_eq!(books.found().await, ["user account: 850.5, not 850; purchase"]);
        let report = books.report().await;
        assert_eq!((report.accounts, report.orders, report.logs), (2, 1, 4));
        assert_eq!((report.differing, report.unopened, report.in_flight), (1, 0, 0));
        assert_eq!(report.differences[0].logs_total, 3);
    }
}

#[tokio::test]
async fn mark_without_log_is_found() {
    let books = Books::new(Batches::Separate).await;
    let marks = vec![json!("5f0000000000000000000000")];
    books
        .write("user", &books.user, Update::new().add_unique("paylogs", marks))
        .await;
    let strange = "user paylogs: a mark of 5f0000000000000000000000, which has no leg here, not marks of logs with a \
                   leg here; purchase";
    assert_eq!(books.found().await, [strange]);
}

#[tokio::test]
async fn missing_effect_and_missing_log_are_found() {
    for batches in ALL {
        let books = Books::new(batches).await;
        // The payer got the money back, and nobody wrote it down.
        books
            .write("user", &books.user, Update::new().increment("account", 100))
            .await;
        assert_eq!(books.found().await, ["user account: 950, not 850; purchase"]);
        // And now the log is gone, too: the order is paid by nothing.
        books.delete("log", &books.purchase).await;
        let found = books.found().await;
        let status = "order status: paid, not pending".to_owned();
        assert!(found.contains(&status), "{found:?}");
        // Where every payment leaves a mark, that one is left.
        let marked = found
            .iter()
            .any(|difference| difference.starts_with("user paylogs"));
        assert_eq!(marked, batches == Batches::Separate, "{found:?}");
    }
}

#[tokio::test]
async fn unbalanced_legs_are_found() {
    let books = Books::new(Batches::Separate).await;
    let log = books.bank.get(&books.class("log"), &books.purchase).await;
    let mut legs = log.get("legs").unwrap().clone();
    legs[0]["add"]["account"] = json!(-101);
    books
        .write("log", &books.purchase, Update::new().set("legs", legs))
        .await;
    let found = books.found().await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found
            .iter()
            .any(|difference| difference.starts_with("purchase legs: ")),
        "{found:?}"
    );
    assert!(
        found.contains(&"user account: 850, not 849; purchase".to_owned()),
        "{found:?}"
    );
}

#[tokio::test]
async fn invalid_amount_is_found() {
    for amount in [json!(-100), json!(99.5)] {
        let books = Books::new(Batches::Separate).await;
        books
            .write(
                "log",
                &books.purchase,
                Update::new().set("amount", amount.clone()),
            )
            .await;
        let found = books.found().await;
        let wrong = format!("purchase amount: {amount}, not an integer from 1 to 10^12; purchase");
        assert!(found.contains(&wrong), "{found:?}");
    }
}

#[tokio::test]
async fn missing_document_is_found() {
    for batches in ALL {
        let books = Books::new(batches).await;
        books.delete("user", &books.user).await;
        books.delete("order", &books.order).await;
        let missing = "objectId: no such document, not the document that these payments touch";
        let mut found = books.found().await;
        found.sort();
        assert_eq!(
            found,
            [
                format!("order {missing}; purchase"),
                format!("user {missing}; purchase")
            ]
        );
    }
}

/// A store on which a payment is made and closed before each read of users.
#[derive(Debug)]
struct Busy {
    inner: Arc<dyn Store>,
    payments: PaymentService,
    user: ObjectId,
    paid: AtomicU64,
}

impl Busy {
    async fn pay(&self, amount: i64, turn: u64) {
        let key = key(&format!("{amount}-{turn}"));
        self.payments
            .adjust_account(&self.user, &json!(amount), "busy", &key)
            .await
            .unwrap();
        let closed = self.payments.sweep(std::time::Duration::ZERO, 100).await;
        assert!(closed.is_some());
    }
}

impl StoreWrapper for Busy {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        // Back before the logs are read, and forth after it: every pass finds the very same balance.
        if *class == ClassName::user() {
            let turn = self.paid.fetch_add(1, Ordering::Relaxed);
            self.pay(7, turn).await;
        } else if *class != self.payments.config().order_class && self.paid.load(Ordering::Relaxed) > 0 {
            self.pay(-7, self.paid.load(Ordering::Relaxed)).await;
        }
        self.inner.find(class, query).await
    }

    fn is_atomic(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn concurrent_payments_are_no_difference_and_hide_none() {
    let books = Books::new(Batches::Separate).await;
    let busy = Busy {
        inner: Arc::clone(&books.bank.store),
        payments: books.bank.payments.clone(),
        user: books.user.clone(),
        paid: AtomicU64::new(0),
    };
    // One pass over a store that moves would believe what it sees.
    let (naive, _) = Audit::of(&busy, &books.bank.config)
        .of_one_moment()
        .run()
        .await
        .unwrap();
    assert_eq!(naive.differing, 1, "{naive:?}");
    books
        .write("user", &books.other, Update::new().set("account", 31))
        .await;
    let (report, _) = Audit::of(&busy, &books.bank.config).run().await.unwrap();
    let found: Vec<_> = report
        .differences
        .iter()
        .map(|difference| &difference.id)
        .collect();
    assert_eq!(found, [&books.other], "{report:?}");
    assert_eq!((report.differing, report.unjudged), (1, 1));
    assert_eq!(busy.paid.load(Ordering::Relaxed), 4, "three passes");
    books
        .write("user", &books.other, Update::new().set("account", 30))
        .await;
    assert_eq!(books.found().await, Vec::<String>::new());
}

#[tokio::test]
async fn open_log_defers_judgement_and_stuck_log_does_not() {
    let books = Books::new(Batches::Separate).await;
    let reopen = Update::new().set("state", 1).delete("outcome");
    books.write("log", &books.purchase, reopen).await;
    books
        .write("user", &books.user, Update::new().set("account", 849))
        .await;
    let moving = async || {
        Audit::of(&*books.bank.store, &books.bank.config)
            .run()
            .await
            .unwrap()
            .0
    };
    let report = moving().await;
    assert_eq!((report.open, report.stuck, report.in_flight), (1, 0, 100));
    assert_eq!((report.differing, report.unjudged), (0, 1), "{report:?}");
    books
        .write("log", &books.purchase, Update::new().set("stuck", "no answer"))
        .await;
    let report = moving().await;
    assert_eq!((report.open, report.stuck, report.in_flight), (1, 1, 100));
    assert_eq!((report.differing, report.unjudged), (1, 0), "{report:?}");
    // The same at one moment, where nothing has to be waited for.
    assert_eq!(books.found().await, ["user account: 849, not 850; purchase"]);
}

/// Users of an app that had balances before it took up paylog.
async fn before(bank: &Bank) -> Vec<ObjectId> {
    let mut users = Vec::new();
    for fields in [
        json!({"account": 500}),
        json!({"account": -30}),
        json!({"account": 5, "frozen": 20}),
        json!({"frozen": 7}),
        json!({"account": 0}),
        json!({}),
        json!({"account": 1_000_000_000_001_i64}),
    ] {
        users.push(bank.create(&bank.config.user_class, fields).await);
    }
    users
}

async fn unopened(bank: &Bank) -> (AuditReport, Unopened) {
    Audit::of(&*bank.store, &bank.config).run().await.unwrap()
}

async fn open(bank: &Bank, unopened: Unopened) -> Opened {
    unopened
        .open(&*bank.store, &bank.config.names(), &bank.environment)
        .await
        .unwrap()
}

#[tokio::test]
async fn opening_accounts_for_earlier_balances_once() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let users = before(&bank).await;
        let (report, first) = unopened(&bank).await;
        assert_eq!((report.differing, report.unopened, first.len()), (5, 5, 5));
        // Two operators at once.
        let (_, second) = unopened(&bank).await;
        let opened = open(&bank, first).await;
        assert_eq!((opened.accounts, opened.amount, opened.before), (4, 502, 0));
        assert_eq!(opened.beyond, [users[6].clone()]);
        let again = open(&bank, second).await;
        assert_eq!((again.accounts, again.amount, again.before), (0, 0, 4));
        let (report, third) = unopened(&bank).await;
        assert_eq!(
            (report.differing, report.unopened, report.logs, report.open),
            (1, 1, 4, 0)
        );
        assert_eq!(open(&bank, third).await.accounts, 0);
        // It moved nothing, and the money can be used.
        assert_eq!(bank.balance(&users[0]).await, 500);
        let product = bank.product(500).await;
        let order = bank.order(&users[0], &product, "o").await.order;
        bank.payments.pay_order(&users[0], &order, None).await.unwrap();
        bank.recover().await;
        assert_eq!(bank.balance(&users[0]).await, 0);
        let (report, _) = unopened(&bank).await;
        assert_eq!(report.differing, 1);
        // The user sees it.
        let page = bank.payments.list(&users[2], 10, None).await.unwrap();
        assert_eq!(
            (page.payments[0].kind.as_str(), page.payments[0].amount),
            ("adjust", Some(25))
        );
        assert_eq!(page.payments[0].outcome.as_deref(), Some("succeeded"));
    }
}

#[tokio::test]
async fn payment_racing_the_opening_keeps_it_right() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let users = before(&bank).await;
        let (_, found) = unopened(&bank).await;
        // After the audit has looked, and before the log is written.
        bank.recharge(&users[0], 40, "r").await;
        bank.payments
            .transfer(&users[0], &users[4], &json!(540), None, &key("t"))
            .await
            .unwrap();
        bank.recover().await;
        assert_eq!(open(&bank, found).await.accounts, 4);
        let (report, _) = unopened(&bank).await;
        assert_eq!(report.differing, 1, "{report:?}");
        assert_eq!(bank.balance(&users[0]).await, 0);
    }
}

#[tokio::test]
async fn account_with_payments_is_never_opened() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let users = before(&bank).await;
        bank.payments
            .transfer(&users[0], &users[4], &json!(100), None, &key("t"))
            .await
            .unwrap();
        bank.recover().await;
        let (report, found) = unopened(&bank).await;
        assert_eq!((report.differing, report.unopened), (5, 4), "{report:?}");
        open(&bank, found).await;
        let (report, _) = unopened(&bank).await;
        assert_eq!(report.differing, 2, "{report:?}");
        let theirs = report
            .differences
            .iter()
            .find(|difference| difference.id == users[0])
            .unwrap();
        assert_eq!((theirs.expected.as_str(), theirs.found.as_str()), ("-100", "400"));
    }
}

/// A store that applies the first batches and loses their answers.
#[derive(Debug)]
struct Mute(Arc<dyn Store>, AtomicU64);

impl StoreWrapper for Mute {
    fn inner(&self) -> &dyn Store {
        &*self.0
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        let outcomes = self.0.batch(writes).await;
        if self.1.fetch_add(1, Ordering::Relaxed) < 2 {
            return outcomes
                .iter()
                .map(|_| WriteOutcome::Unknown("lost".into()))
                .collect();
        }
        outcomes
    }

    fn is_atomic(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn unanswered_opening_is_sent_again() {
    let bank = Bank::new(Batches::Separate).await;
    before(&bank).await;
    let (_, found) = unopened(&bank).await;
    let mute = Mute(Arc::clone(&bank.store), AtomicU64::new(0));
    let opened = found
        .open(&mute, &bank.config.names(), &bank.environment)
        .await
        .unwrap();
    assert_eq!((opened.accounts, opened.amount, opened.before), (4, 502, 0));
    let logs = bank.logs(Filter::all()).await;
    assert_eq!(logs.len(), 4);
    assert!(logs.iter().all(|log| log.get("state") == Some(&Value::from(5))));
}
