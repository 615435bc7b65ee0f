//! Many payments from one account: their speed over time, the most marks on its document, and the time of an audit.
//!
//!     cargo bench --bench one_account                  # 100 000 payments, in both commit modes
//!     cargo bench --bench one_account -- 1000000 single-documents
//!
//! The payments are transfers to a thousand other accounts, 64 under way at a time, on the embedded store. With
//! `single-documents` the store offers no all-or-nothing batches, as LeanCloud does not: every payment leaves a mark,
//! and marks are pruned. With `at-once` a payment is one commit and leaves none.

#![expect(
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking, and says what it has measured"
)]

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mimalloc::MiMalloc;
use paylog::environment::Environment;
use paylog::model::{ClassName, ObjectId, Update};
use paylog::payment::audit::Audit;
use paylog::payment::service::CallerKey;
use paylog::payment::{PaymentConfig, PaymentService, schema};
use paylog::storage::SqliteStore;
use paylog::store::{
    Action, AtomicStore, CommitOutcome, Database, Store, StoreWrapper, Write, WriteOutcome, Written,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

// As the program has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const PAYEES: usize = 1000;
const IN_FLIGHT: usize = 64;

/// A store that observes the written documents.
#[derive(Debug)]
struct Watched {
    inner: SqliteStore,
    single_documents: bool,
    payer: ObjectId,
    log_class: ClassName,
    /// Number of open logs.
    open: AtomicI64,
    open_max: AtomicI64,
    marks_max: AtomicI64,
    /// The most marks beyond the threshold and the open logs.
    excess_max: AtomicI64,
}

impl Watched {
    fn see(&self, write: &Write, written: &Written) {
        if write.class == self.log_class {
            let closed = written.fields.integer("state") == Some(5);
            let change = match &write.action {
                Action::Create { .. } => i64::from(!closed),
                Action::Update { update, .. } => {
                    let closes = closed && update.columns().iter().any(|column| column == "state");
                    -i64::from(closes)
                }
                Action::Delete { .. } => 0,
            };
            let open = self.open.fetch_add(change, Ordering::Relaxed) + change;
            self.open_max.fetch_max(open, Ordering::Relaxed);
        }
        let Action::Update { id, .. } = &write.action else {
            return;
        };
        if *id == self.payer {
            let marks = written
                .fields
                .get("paylogs")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            let marks = i64::try_from(marks).unwrap();
            self.marks_max.fetch_max(marks, Ordering::Relaxed);
            let threshold = i64::try_from(paylog::payment::protocol::pruning::THRESHOLD).unwrap();
            let excess = marks - threshold - self.open.load(Ordering::Relaxed);
            self.excess_max.fetch_max(excess, Ordering::Relaxed);
        }
    }
}

impl StoreWrapper for Watched {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        let outcome = self.inner.write(write.clone()).await;
        if let WriteOutcome::Applied(written) = &outcome {
            self.see(&write, written);
        }
        outcome
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        let outcomes = self.inner.batch(writes.clone()).await;
        for (write, outcome) in writes.iter().zip(&outcomes) {
            if let WriteOutcome::Applied(written) = outcome {
                self.see(write, written);
            }
        }
        outcomes
    }

    fn is_atomic(&self) -> bool {
        !self.single_documents
    }

    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome {
        let outcome = self.inner.commit(writes.clone()).await;
        if let CommitOutcome::Applied(written) = &outcome {
            for (write, written) in writes.iter().zip(written) {
                self.see(write, written);
            }
        }
        outcome
    }
}

async fn user(store: &SqliteStore, account: u64) -> ObjectId {
    let user = Update::new().set("account", account);
    match store.write(Write::create(&ClassName::user(), user)).await {
        WriteOutcome::Applied(written) => written.object_id.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1e3
}

async fn run(payments: usize, single_documents: bool) {
    let environment = Environment::system();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), environment.clone()).unwrap();
    let config = PaymentConfig::new();
    for change in schema::changes(&store.schema(), &config).unwrap() {
        store.define(change).await.unwrap();
    }
    let payer = user(&store, payments as u64).await;
    let mut payees = Vec::new();
    for _ in 0..PAYEES {
        payees.push(user(&store, 0).await);
    }
    let (_, unopened) = Audit::of(&store, &config).run().await.unwrap();
    unopened
        .open(&store, &config.names(), &environment)
        .await
        .unwrap();
    let watched = Arc::new(Watched {
        inner: store.clone(),
        single_documents,
        payer: payer.clone(),
        log_class: config.log_class.clone(),
        open: AtomicI64::new(0),
        open_max: AtomicI64::new(0),
        marks_max: AtomicI64::new(0),
        excess_max: AtomicI64::new(i64::MIN),
    });
    let service = PaymentService::new(
        Arc::clone(&watched) as Arc<dyn Store>,
        environment.clone(),
        config.clone(),
    );
    let stop = CancellationToken::new();
    let sweeper = tokio::spawn({
        let (service, stop) = (service.clone(), stop.clone());
        async move { service.run_sweeper(stop).await }
    });

    let manner = if single_documents {
        "single documents"
    } else {
        "at once"
    };
    println!("\n{payments} payments from one account, {manner}, {IN_FLIGHT} in flight");
    println!(
        "{:>10} {:>10} {:>14} {:>12}",
        "payments", "seconds", "µs a payment", "memory MB"
    );
    let mut tenths = Vec::new();
    for tenth in 0..10 {
        let until = payments * (tenth + 1) / 10;
        let from = payments * tenth / 10;
        let next = Cell::new(from);
        let began = environment.elapsed();
        let workers = (0..IN_FLIGHT).map(|_| async {
            loop {
                let n = next.get();
                if n >= until {
                    return;
                }
                next.set(n + 1);
                let key = CallerKey::from_value(&json!(format!("k{n}"))).unwrap();
                let to = &payees[n * 617 % PAYEES];
                let paid = service.transfer(&payer, to, &json!(1), None, &key).await;
                paid.expect("every payment succeeds");
            }
        });
        join_all(workers).await;
        let took = environment.elapsed() - began;
        let each = took.as_secs_f64() * 1e6 / (until - from) as f64;
        println!(
            "{until:>10} {:>10.2} {each:>14.1} {:>12.1}",
            took.as_secs_f64(),
            memory("VmRSS:")
        );
        tenths.push(each);
    }
    // What is left to close and to prune behind the last answer.
    while watched.open.load(Ordering::Relaxed) > 0 {
        environment.sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    sweeper.await.unwrap();
    println!(
        "the last tenth took {:.2} times as long as the first; most marks {}, most open logs {}, most marks beyond \
         the threshold and the open logs {}",
        tenths[9] / tenths[0],
        watched.marks_max.load(Ordering::Relaxed),
        watched.open_max.load(Ordering::Relaxed),
        watched.excess_max.load(Ordering::Relaxed),
    );
    drop(service);
    drop(watched);
    store.close().await;
    drop(store);

    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = memory("VmRSS:");
    let began = environment.elapsed();
    let snapshot = SqliteStore::open_snapshot(folder.path(), environment.clone()).unwrap();
    let (report, _) = Audit::of(&snapshot, &config).of_one_moment().run().await.unwrap();
    println!(
        "audit of {} logs and {} accounts: {:.2} s, {} differ; memory {before:.0} MB before, {:.0} MB at most",
        report.logs,
        report.accounts,
        (environment.elapsed() - began).as_secs_f64(),
        report.differing,
        memory("VmHWM:"),
    );
    assert_eq!(report.differing, 0, "{:?}", report.differences);
}

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let payments = arguments
        .iter()
        .find_map(|argument| argument.replace('_', "").parse().ok())
        .unwrap_or(100_000);
    let asked = |manner: &str| {
        let named = ["at-once", "single-documents"];
        arguments.iter().any(|argument| argument == manner)
            || !arguments
                .iter()
                .any(|argument| named.contains(&argument.as_str()))
    };
    if asked("at-once") {
        run(payments, false).await;
    }
    if asked("single-documents") {
        run(payments, true).await;
    }
}
