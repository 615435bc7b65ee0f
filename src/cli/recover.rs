//! `paylog recover`: finishes what was left open, by way of the running server where there is one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::cli::arguments::RecoverArguments;
use crate::cli::serve::sessions::{EmbeddedSessions, RemoteSessions};
use crate::cli::serve::{connect_after_payment, leancloud};
use crate::cli::{credentials_file, server_file, terminal};
use crate::config::{ApiServer, Home, Keys, Variables};
use crate::credentials::Credentials;
use crate::engine::{App, EngineConfig, Sessions};
use crate::environment::Environment;
use crate::payment::service::Recovered;
use crate::payment::{PaymentConfig, Payments};
use crate::storage::SqliteStore;
use crate::storage::sqlite::OpenError;
use crate::store::Store;

/// Payments that one call takes up at most, so that it ends in time.
const AT_ONCE: u64 = 500;

/// How long to wait before asking again, where a worker holds what is open.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs the command, and answers whether nothing is left open.
pub(crate) async fn run(
    app: App<Payments>,
    arguments: &RecoverArguments,
    home: &Home,
    config: PaymentConfig,
    variables: &Variables,
    environment: &Environment,
) -> Result<bool> {
    let keys = Keys::read(variables)?;
    let recovery = Recovery {
        limit: arguments.limit.map_or(u64::MAX, u64::from),
        // As long as a worker that has died may still hold what it had claimed.
        patience: config.lease.saturating_add(PAUSE),
        environment,
    };
    let recovered = match home {
        Home::Embedded(data) => {
            // A command that finishes payments makes no store.
            drop(SqliteStore::open_read_only(data, environment.clone())?);
            match SqliteStore::open(data, environment.clone()) {
                Ok(store) => {
                    let sessions = Arc::new(EmbeddedSessions(Arc::new(store.clone())));
                    let credentials = embedded_credentials(data, keys, environment)?;
                    let payments = Payments::new(Arc::new(store.clone()), environment.clone(), config);
                    let recovered = recovery.here(app, &payments, credentials, sessions).await;
                    store.close().await;
                    recovered?
                }
                Err(OpenError::Locked { .. }) => recovery.through_server(data, keys).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Home::LeanCloud(server) => {
            let credentials = keys.complete()?;
            let client = leancloud::client(server, &credentials, environment).build()?;
            let sessions = Arc::new(RemoteSessions(client.clone()));
            let store: Arc<dyn Store> = Arc::new(client);
            let payments = Payments::new(store, environment.clone(), config);
            recovery.here(app, &payments, credentials, sessions).await?
        }
    };
    if arguments.json {
        terminal::say_json(&json!(recovered))?;
    } else {
        terminal::say(describe(&recovered));
    }
    Ok(recovered.open == 0 && recovered.stuck == 0)
}

/// How much to recover, and how long to try.
struct Recovery<'a> {
    limit: u64,
    patience: Duration,
    environment: &'a Environment,
}

impl Recovery<'_> {
    /// In this process, which then has to tell the app of what has succeeded.
    async fn here(
        &self,
        app: App<Payments>,
        payments: &Payments,
        credentials: Credentials,
        sessions: Arc<dyn Sessions>,
    ) -> Result<Recovered> {
        let engine = app.build(
            payments.clone(),
            EngineConfig {
                environment: self.environment.clone(),
                ..EngineConfig::new(credentials, sessions)
            },
        )?;
        connect_after_payment(&engine, payments);
        let recovered = self
            .repeat(|limit| async move { Ok(payments.recover_payments(limit).await?) })
            .await;
        payments.prune_crowded().await;
        engine.close().await;
        recovered
    }

    /// Asks the server that has the folder.
    async fn through_server(&self, data: &Path, keys: Keys) -> Result<Recovered> {
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
        let master = leancloud::client(&address, &credentials, self.environment)
            .build()?
            .as_master()?;
        let (master, address) = (&master, &address);
        self.repeat(|limit| async move {
            master
                .run_idempotent::<_, Recovered>("recoverPayments", &json!({"limit": limit}))
                .await
                .with_context(|| format!("{}, and its server at {address} did not do it", busy()))
        })
        .await
    }

    /// Asks again and again: while payments are closed, and then for as long as a dead worker's claims may last.
    async fn repeat<F>(&self, ask: impl Fn(u32) -> F) -> Result<Recovered>
    where
        F: Future<Output = Result<Recovered>>,
    {
        let mut sum = Recovered::default();
        let mut give_up = self.environment.elapsed().saturating_add(self.patience);
        loop {
            let limit = self.limit.saturating_sub(sum.taken).min(AT_ONCE);
            let round = ask(u32::try_from(limit).unwrap_or(u32::MAX)).await?;
            sum = Recovered {
                taken: sum.taken.saturating_add(round.taken),
                succeeded: sum.succeeded.saturating_add(round.succeeded),
                failed: sum.failed.saturating_add(round.failed),
                undecided: sum.undecided.saturating_add(round.undecided),
                ..round
            };
            if round.open == 0 || sum.taken >= self.limit {
                return Ok(sum);
            }
            let now = self.environment.elapsed();
            if round.succeeded.saturating_add(round.failed) > 0 {
                give_up = now.saturating_add(self.patience);
            } else if now >= give_up {
                return Ok(sum);
            } else {
                self.environment.sleep(PAUSE).await;
            }
        }
    }
}

/// The keys of the folder. Nobody is asked for them here: a folder without keys can be recovered too.
fn embedded_credentials(data: &Path, keys: Keys, environment: &Environment) -> Result<Credentials> {
    let stored = credentials_file::read(data)?;
    let mut credentials = stored.unwrap_or_else(|| credentials_file::make(environment));
    keys.replace_in(&mut credentials)?;
    Ok(credentials)
}

fn describe(recovered: &Recovered) -> String {
    let Recovered {
        taken,
        succeeded,
        failed,
        undecided,
        stuck,
        open,
    } = recovered;
    let mut text = format!(
        "{taken} open payments taken up: {succeeded} succeeded, {failed} failed, {undecided} not finished yet"
    );
    if *open > 0 {
        text += &format!(
            "\n{open} are still open: run the command again, and see the log for what stands in the way"
        );
    }
    if *stuck > 0 {
        text += &format!("\n{stuck} are stuck: they wait for an operator");
    }
    text
}
