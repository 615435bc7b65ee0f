//! Write access to the payments of a backend: in this process if no server holds the folder, otherwise through that
//! server.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::app::data_context::DataContext;
use crate::app::payments::connect_after_payment;
use crate::app::sessions::{EmbeddedSessions, RemoteSessions};
use crate::app::{class_names_lock, credentials_file, data_folder, leancloud_client, server_file};
use crate::client::Client;
use crate::config::{ApiServer, Backend, Keys};
use crate::credentials::Credentials;
use crate::engine::{App, Engine, EngineConfig, Sessions};
use crate::environment::Environment;
use crate::model::{CloudError, ErrorCode};
use crate::payment::PaymentService;
use crate::storage::SqliteStore;
use crate::storage::sqlite::OpenError;
use crate::store::Store;

/// Write access to payments.
pub(crate) enum WriteAccess {
    /// In this process, which also runs the app's `afterPayment`.
    Direct {
        payments: PaymentService,
        engine: Engine,
        /// The embedded store; `None` if the data are in LeanCloud.
        folder: Option<SqliteStore>,
    },
    /// Through the server that holds the folder, with its master key.
    ThroughServer {
        master: Client,
        address: ApiServer,
        /// First words of errors: the folder that is in use.
        busy: String,
    },
}

impl WriteAccess {
    /// Opens write access to the data. Creates no folder.
    ///
    /// # Errors
    /// A folder that cannot be opened; a folder held by a process that cannot be reached.
    pub(crate) async fn open(app: App<PaymentService>, context: &DataContext) -> Result<Self> {
        let keys = Keys::read(&context.variables)?;
        let (config, environment) = (context.payments.clone(), &context.environment);
        match &context.backend {
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
                        let payments =
                            PaymentService::new(Arc::new(store.clone()), environment.clone(), config);
                        Self::direct(app, payments, credentials, sessions, Some(store), environment)
                    }
                    Err(OpenError::Locked { .. }) => Self::through_server(data, keys, environment),
                    Err(error) => Err(error.into()),
                }
            }
            Backend::LeanCloud(server) => {
                let credentials = keys.complete()?;
                let client = leancloud_client::builder(server, &credentials, environment).build()?;
                let sessions = Arc::new(RemoteSessions(client.clone()));
                let payments = PaymentService::new(Arc::new(client), environment.clone(), config);
                Self::direct(app, payments, credentials, sessions, None, environment)
            }
        }
    }

    fn direct(
        app: App<PaymentService>,
        payments: PaymentService,
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
        Ok(Self::Direct {
            payments,
            engine,
            folder,
        })
    }

    fn through_server(data: &Path, keys: Keys, environment: &Environment) -> Result<Self> {
        let busy = format!("the data folder {} is in use", data.display());
        let server = server_file::read(data)
            .with_context(|| format!("{busy}, and the process that uses it does not publish its address"))?;
        let mut credentials = credentials_file::read(data)?
            .with_context(|| format!("{busy}, and there are no keys for its server"))?;
        keys.replace_in(&mut credentials)?;
        let address = ApiServer::parse("server.json", &server.address)?;
        let master = leancloud_client::builder(&address, &credentials, environment)
            .build()?
            .as_master()?;
        Ok(Self::ThroughServer {
            master,
            address,
            busy,
        })
    }

    /// Does the work: `direct` in this process, or the cloud function of the same effect on the server.
    ///
    /// # Errors
    /// The error of the work; a server that does not respond.
    ///
    /// # Idempotency
    /// The function must be safe to repeat: an unanswered call is sent again.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        function: &str,
        parameters: &Value,
        direct: impl AsyncFnOnce(&PaymentService) -> Result<T, CloudError>,
    ) -> Result<T> {
        match self {
            Self::Direct { payments, .. } => Ok(direct(payments).await?),
            Self::ThroughServer {
                master,
                address,
                busy,
            } => match master.run_idempotent(function, parameters).await {
                Ok(answer) => Ok(answer),
                Err(error) => match error.cloud_error() {
                    // The error of the function itself, as if it had run here.
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

    /// Returns the store of the data, for writing.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Direct { payments, .. } => Arc::clone(payments.store()),
            Self::ThroughServer { master, .. } => Arc::new(master.clone()),
        }
    }

    /// Finishes the work in progress and closes the folder.
    pub(crate) async fn close(self) {
        if let Self::Direct {
            payments,
            engine,
            folder,
        } = self
        {
            payments.prune_queued().await;
            engine.close().await;
            if let Some(store) = folder {
                store.close().await;
            }
        }
    }
}

/// Returns the keys of the folder. A folder without keys gets keys for this run, which no client uses.
fn embedded_credentials(data: &Path, keys: Keys, environment: &Environment) -> Result<Credentials> {
    let stored = credentials_file::read(data)?;
    let mut credentials = stored.unwrap_or_else(|| credentials_file::generate(environment));
    keys.replace_in(&mut credentials)?;
    Ok(credentials)
}
