//! `GET /health`: 200 if the store can be read and written, 503 otherwise. With the master key, the response also holds
//! counters and the number of unfinished payments.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use tokio::sync::Mutex;

use crate::app::durable_file;
use crate::credentials::{Credentials, RequestCredentials};
use crate::environment::Environment;
use crate::http::json_response;
use crate::model::{ClassName, Filter, ObjectId, Query, Update};
use crate::payment::PaymentService;
use crate::storage::SqliteStore;
use crate::store::{Store, Write, WriteOutcome};
use crate::telemetry::Counters;

/// Minimum time between two probes of the store; requests in between get the last result.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// State of the health check.
pub(crate) struct Health {
    pub(crate) environment: Environment,
    pub(crate) credentials: Credentials,
    pub(crate) counters: Arc<Counters>,
    pub(crate) payments: PaymentService,
    pub(crate) store: HealthStore,
    /// Time and problem of the last probe.
    pub(crate) last: Mutex<Option<(Duration, Option<String>)>>,
}

/// The store that is probed.
pub(crate) enum HealthStore {
    /// The database, and its folder.
    Embedded(SqliteStore, PathBuf),
    /// LeanCloud, probed by a read alone.
    Remote(Arc<dyn Store>, ClassName),
}

impl Health {
    /// Probes the store; returns the problem, if there is one.
    async fn probe(&self) -> Option<String> {
        let mut last = self.last.lock().await;
        let now = self.environment.elapsed();
        if let Some((at, problem)) = &*last
            && now.saturating_sub(*at) < PROBE_INTERVAL
        {
            return problem.clone();
        }
        let problem = match &self.store {
            HealthStore::Embedded(store, data) => probe_embedded(store, data.clone()).await,
            HealthStore::Remote(store, class) => {
                let one = Query::new(Filter::all()).limit(1);
                store.find(class, &one).await.err().map(|error| error.to_string())
            }
        };
        if let Some(problem) = &problem {
            tracing::error!(problem, "store health check failed");
        }
        *last = Some((now, problem.clone()));
        problem
    }

    fn is_master(&self, headers: &HeaderMap) -> bool {
        let shown = RequestCredentials::from_headers(headers);
        self.credentials
            .authenticate(&shown)
            .is_ok_and(|caller| caller.master)
    }
}

/// Probes the embedded store: a read, a write whose condition matches nothing, and a small file on the same disk.
async fn probe_embedded(store: &SqliteStore, data: PathBuf) -> Option<String> {
    let nobody = ObjectId::parse("000000000000000000000000").ok()?;
    let class = ClassName::user();
    if let Err(error) = store.get(&class, &nobody).await {
        return Some(error.to_string());
    }
    let write = Write::update(&class, &nobody, Filter::all(), Update::new());
    match store.write(write).await {
        WriteOutcome::NotMatched => {}
        WriteOutcome::Applied(_) => return Some("an object that cannot exist was changed".to_owned()),
        WriteOutcome::Rejected(error) => return Some(error.to_string()),
        WriteOutcome::Unknown(reason) => return Some(reason),
    }
    let file = data.join("health.check");
    let wrote = tokio::task::spawn_blocking(move || {
        durable_file::write_private(&file, &[0; 4096])?;
        std::fs::remove_file(&file)
    })
    .await;
    match wrote {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("the disk cannot be written: {error}")),
        Err(error) => Some(error.to_string()),
    }
}

/// Handler of `GET /health`.
pub(crate) async fn get(State(health): State<Arc<Health>>, headers: HeaderMap) -> Response {
    let problem = health.probe().await;
    let status = match &problem {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut body = json!({
        "status": if problem.is_none() { "ok" } else { "unavailable" },
        "version": env!("CARGO_PKG_VERSION"),
    });
    // The problem and the counters are for the operator alone.
    if health.is_master(&headers)
        && let Some(body) = body.as_object_mut()
    {
        let commits = match &health.store {
            HealthStore::Embedded(store, _) => store.metrics().commits,
            HealthStore::Remote(..) => 0,
        };
        body.insert("counters".to_owned(), json!(health.counters.read(commits)));
        if let Ok(unfinished) = health.payments.count_unfinished().await {
            body.insert("payments".to_owned(), json!(unfinished));
        }
        if let Some(problem) = problem {
            body.insert("problem".to_owned(), json!(problem));
        }
    }
    json_response(status, &body)
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Health")
    }
}
