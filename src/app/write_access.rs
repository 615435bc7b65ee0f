//! Commands that change payments: done in this process where nobody else has the data, by the running server where it
//! has them.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::app::payments::connect_after_payment;
use crate::app::sessions::{EmbeddedSessions, RemoteSessions};
use crate::app::{class_names_lock, credentials_file, data_folder, leancloud_client, server_file};
use crate::client::Client;
use crate::config::{ApiServer, Backend, Keys};
use crate::credentials::Credentials;
use crate::engine::{App, Engine, EngineConfig, Sessions};
use crate::environment::Environment;
use crate::model::{CloudError, ErrorCode};
use crate::payment::{PaymentConfig, Payments};
use crate::storage::SqliteStore;
use crate::storage::sqlite::OpenError;
use crate::store::Store;

/// Whoever does the work.
pub(crate) enum WriteAccess {
    /// This process, which then has to tell the app of what has succeeded.
    Here {
        payments: Payments,
        engine: Engine,
        /// `None` where the data are in LeanCloud.
        folder: Option<SqliteStore>,
    },
    /// The server that has the folder, asked with its master key.
    Server {
        master: Client,
        address: ApiServer,
        /// For errors: whose folder it is.
        busy: String,
    },
}

impl WriteAccess {
    /// Whoever can write to the data of `home`. Makes no folder where there is none.
    ///
    /// # Errors
    /// A folder that cannot be opened; one in use by a process that cannot be asked.
    pub(crate) async fn open(
        app: App<Payments>,
        home: &Backend,
        config: PaymentConfig,
        keys: Keys,
        environment: &Environment,
    ) -> Result<Self> {
        match home {
            Backend::Embedded(data) => {
                let store = SqliteStore::open_read_only(data, environment.clone())?;
                class_names_lock::check(&store, &config).await?;
                drop(store);
                match SqliteStore::open(data, environment.clone()) {
                    Ok(store) => {
                        // As a server does: a folder that was only imported has no unique indexes yet.
                        data_folder::prepare(&store, &config).await?;
                        let sessions = Arc::new(EmbeddedSessions(Arc::new(store.clone())));
                        let credentials = embedded_credentials(data, keys, environment)?;
                        let payments = Payments::new(Arc::new(store.clone()), environment.clone(), config);
                        Self::here(app, payments, credentials, sessions, Some(store), environment)
                    }
                    Err(OpenError::Locked { .. }) => Self::server(data, keys, environment),
                    Err(error) => Err(error.into()),
                }
            }
            Backend::LeanCloud(server) => {
                let credentials = keys.complete()?;
                let client = leancloud_client::builder(server, &credentials, environment).build()?;
                let sessions = Arc::new(RemoteSessions(client.clone()));
                let payments = Payments::new(Arc::new(client), environment.clone(), config);
                Self::here(app, payments, credentials, sessions, None, environment)
            }
        }
    }

    fn here(
        app: App<Payments>,
        payments: Payments,
        credentials: Credentials,
        sessions: Arc<dyn Sessions>,
        folder: Option<SqliteStore>,
        environment: &Environment,
    ) -> Result<Self> {
        let engine = app.build(
            payments.clone(),
            EngineConfig {
                environment: environment.clone(),
                ..EngineConfig::new(credentials, sessions)
            },
        )?;
        connect_after_payment(&engine, &payments);
        Ok(Self::Here {
            payments,
            engine,
            folder,
        })
    }

    fn server(data: &Path, keys: Keys, environment: &Environment) -> Result<Self> {
        let busy = format!("the data folder {} is in use", data.display());
        let server = server_file::read(data)
            .with_context(|| format!("{busy}, and the process that uses it does not say where it listens"))?;
        let mut credentials = credentials_file::read(data)?
            .with_context(|| format!("{busy}, and there are no keys to ask its server with"))?;
        keys.replace_in(&mut credentials)?;
        let address = ApiServer::parse("server.json", &server.address)?;
        let master = leancloud_client::builder(&address, &credentials, environment)
            .build()?
            .as_master()?;
        Ok(Self::Server {
            master,
            address,
            busy,
        })
    }

    /// Has the work done: `here` does what the cloud function of that name does, which must be safe to repeat.
    ///
    /// # Errors
    /// What the work answers; a server that does not.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        function: &str,
        parameters: &Value,
        here: impl AsyncFnOnce(&Payments) -> Result<T, CloudError>,
    ) -> Result<T> {
        match self {
            Self::Here { payments, .. } => Ok(here(payments).await?),
            Self::Server {
                master,
                address,
                busy,
            } => match master.run_idempotent(function, parameters).await {
                Ok(answer) => Ok(answer),
                Err(error) => match error.cloud_error() {
                    // The function's own word, as if it had been said here.
                    Some(refused) if refused.code.0 >= ErrorCode::INVALID_AMOUNT.0 => {
                        Err(refused.clone().into())
                    }
                    refused => {
                        let keys = if refused.is_some_and(|refused| refused.status == 401) {
                            ". It was started with other keys than this command has: give both the same \
                             LEANCLOUD_APP_ID, LEANCLOUD_APP_KEY and LEANCLOUD_APP_MASTER_KEY, or neither any"
                        } else {
                            ""
                        };
                        Err(error).with_context(|| {
                            format!("{busy}, and its server at {address} did not do it{keys}")
                        })
                    }
                },
            },
        }
    }

    /// The data, to be written to.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Here { payments, .. } => Arc::clone(payments.store()),
            Self::Server { master, .. } => Arc::new(master.clone()),
        }
    }

    /// Ends what was begun, and gives the folder back.
    pub(crate) async fn close(self) {
        if let Self::Here {
            payments,
            engine,
            folder,
        } = self
        {
            payments.prune_crowded().await;
            engine.close().await;
            if let Some(store) = folder {
                store.close().await;
            }
        }
    }
}

/// The keys of the folder. Nobody is asked for them here: a folder without keys can be worked on too.
fn embedded_credentials(data: &Path, keys: Keys, environment: &Environment) -> Result<Credentials> {
    let stored = credentials_file::read(data)?;
    let mut credentials = stored.unwrap_or_else(|| credentials_file::make(environment));
    keys.replace_in(&mut credentials)?;
    Ok(credentials)
}
