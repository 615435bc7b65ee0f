//! `paylog recover`: finishes what was left open, by way of the running server where there is one.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::cli::arguments::RecoverArguments;
use crate::cli::serve::leancloud;
use crate::cli::{credentials_file, server_file, terminal};
use crate::config::{ApiServer, Home, Keys, Variables};
use crate::environment::Environment;
use crate::payment::service::Recovered;
use crate::payment::{PaymentConfig, Payments};
use crate::storage::SqliteStore;
use crate::storage::sqlite::OpenError;
use crate::store::Store;

/// Payments that are taken up unless `--limit` says otherwise.
const LIMIT: u32 = 10_000;

/// Runs the command, and answers whether nothing is stuck or undecided.
pub(crate) async fn run(
    arguments: &RecoverArguments,
    home: &Home,
    config: PaymentConfig,
    variables: &Variables,
    environment: &Environment,
) -> Result<bool> {
    let limit = arguments.limit.unwrap_or(LIMIT);
    let keys = Keys::read(variables)?;
    let counts = match home {
        Home::Embedded(data) => {
            // A command that finishes payments makes no store.
            drop(SqliteStore::open_read_only(data, environment.clone())?);
            match SqliteStore::open(data, environment.clone()) {
                Ok(store) => {
                    let counts = on_store(Arc::new(store.clone()), config, limit, environment).await;
                    store.close().await;
                    counts?
                }
                Err(OpenError::Locked { .. }) => through_server(data, keys, limit, environment).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Home::LeanCloud(server) => {
            let client = leancloud::client(server, &keys.complete()?, environment).build()?;
            on_store(Arc::new(client), config, limit, environment).await?
        }
    };
    if arguments.json {
        terminal::say_json(&counts)?;
    } else {
        terminal::say(describe(&counts));
    }
    let left = ["undecided", "stuck"]
        .into_iter()
        .any(|name| count(&counts, name) > 0);
    Ok(!left)
}

async fn on_store(
    store: Arc<dyn Store>,
    config: PaymentConfig,
    limit: u32,
    environment: &Environment,
) -> Result<Map<String, Value>> {
    let payments = Payments::new(store, environment.clone(), config);
    let recovered: Recovered = payments.recover_payments(limit).await?;
    object(json!(recovered))
}

/// Asks the server that has the folder.
async fn through_server(
    data: &Path,
    keys: Keys,
    limit: u32,
    environment: &Environment,
) -> Result<Map<String, Value>> {
    let busy = || format!("the data folder {} is in use", data.display());
    let server = server_file::read(data).with_context(|| {
        format!(
            "{}, and the process that uses it does not say where it listens",
            busy()
        )
    })?;
    let mut credentials = credentials_file::read(data)?
        .with_context(|| format!("{}, and there are no keys to ask its server with", busy()))?;
    keys.replace_in(&mut credentials)?;
    let address = ApiServer::parse("server.json", &server.address)?;
    let client = leancloud::client(&address, &credentials, environment).build()?;
    let asked = client
        .as_master()?
        .run_idempotent::<_, Value>("recoverPayments", &json!({"limit": limit}))
        .await
        .with_context(|| format!("{}, and its server at {address} did not do it", busy()))?;
    object(asked)
}

fn object(value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(counts) => Ok(counts),
        other => bail!("recoverPayments answered {other} instead of counts"),
    }
}

fn count(counts: &Map<String, Value>, name: &str) -> u64 {
    counts.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn describe(counts: &Map<String, Value>) -> String {
    let of = |name| count(counts, name);
    format!(
        "{} open payments taken up: {} succeeded, {} failed, {} not decided yet, {} stuck",
        of("taken"),
        of("succeeded"),
        of("failed"),
        of("undecided"),
        of("stuck")
    )
}
