//! A standalone app: its functions and hooks over HTTP, its data in LeanCloud or in a paylog server.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use secrecy::ExposeSecret;

use crate::app::leancloud_functions::LeanCloudFunctions;
use crate::app::sessions::RemoteSessions;
use crate::app::{credentials_file, leancloud_client, listener, terminal};
use crate::client::Client;
use crate::config::{ApiServer, Instance, Keys, Variables};
use crate::credentials::Credentials;
use crate::engine::{App, EngineConfig, RemoteCaller, Sessions};
use crate::environment::Environment;
use crate::model::{CloudError, Document, ErrorCode};
use crate::telemetry::logs::{self, LogFormat};

impl App<()> {
    /// Runs the app alone, configured by LeanEngine's environment variables, until SIGTERM or SIGINT. It then accepts no
    /// more connections, and finishes the requests in progress within 10 s.
    ///
    /// If neither `LEANCLOUD_APP_ID` nor `LEANCLOUD_APP_KEY` is set, as on a developer's machine, it generates keys for
    /// this run and prints a request to try. If `LEANCLOUD_API_SERVER` is set, session tokens are resolved there.
    ///
    /// # Errors
    /// Invalid settings, names defined twice, a port in use.
    pub async fn serve(self) -> Result<()> {
        let config = StandaloneConfig::read()?;
        config.serve(self, ()).await
    }
}

impl<S: Clone + Send + Sync + 'static> App<S> {
    /// As [`App::serve`], with a state built from the client of the app's storage, which has the app's master key
    /// ([`Client::as_master`]). `LEANCLOUD_API_SERVER` must be set: to LeanCloud's address, as LeanEngine does it, or to
    /// that of a paylog server.
    ///
    /// # Errors
    /// As [`App::serve`].
    pub async fn serve_with(self, state: impl FnOnce(Client) -> S) -> Result<()> {
        let config = StandaloneConfig::read()?;
        let client = config.client.clone().context(
            "LEANCLOUD_API_SERVER is not set: set it to the address of the app's storage, such as \
             http://127.0.0.1:3000 for a paylog server on this machine",
        )?;
        config.serve(self, state(client)).await
    }
}

/// Configuration of a standalone app, from the environment.
struct StandaloneConfig {
    instance: Instance,
    credentials: Credentials,
    has_generated_keys: bool,
    client: Option<Client>,
    environment: Environment,
}

impl StandaloneConfig {
    fn read() -> Result<Self> {
        // An app that has initialized logging keeps its own.
        let _ = logs::start("info", LogFormat::Text);
        let variables = Variables::of_process();
        let instance = Instance::read(&variables)?;
        let environment = Environment::system();
        let keys = Keys::read(&variables)?;
        let has_generated_keys = keys.app_id.is_none() && keys.app_key.is_none();
        if has_generated_keys && instance.api_server.is_some() {
            bail!("LEANCLOUD_API_SERVER is set, so LEANCLOUD_APP_ID and LEANCLOUD_APP_KEY must be set too");
        }
        let mut credentials = credentials_file::generate(&environment);
        if !has_generated_keys {
            // Keys that are not set are absent: requests that need them are refused.
            (credentials.master_key, credentials.hook_key) = (None, None);
        }
        keys.replace_in(&mut credentials)?;
        let client = instance
            .api_server
            .as_ref()
            .map(|server| client(server, &credentials, &environment, instance.is_production))
            .transpose()?;
        Ok(Self {
            instance,
            credentials,
            has_generated_keys,
            client,
            environment,
        })
    }

    async fn serve<S: Clone + Send + Sync + 'static>(self, app: App<S>, state: S) -> Result<()> {
        let sessions: Arc<dyn Sessions> = match &self.client {
            Some(client) => Arc::new(RemoteSessions(client.clone())),
            None => Arc::new(NoSessions),
        };
        let remote = self
            .client
            .clone()
            .map(|client| Arc::new(LeanCloudFunctions(client)) as Arc<dyn RemoteCaller>);
        let config = EngineConfig {
            environment: self.environment.clone(),
            trust_proxy: self.instance.is_deployed,
            remote,
            ..EngineConfig::new(self.credentials.clone(), sessions)
        };
        let engine = app.build(state, config)?;
        let shutdown = listener::shutdown_signal()?;
        let host = if self.instance.is_deployed {
            Ipv4Addr::UNSPECIFIED
        } else {
            Ipv4Addr::LOCALHOST
        };
        let listener = listener::bind(IpAddr::V4(host), self.instance.port).await?;
        let url = format!("http://{}", listener.local_addr()?);
        terminal::print_line(format!(
            "serving {} definitions on {url}",
            engine.metadata().len()
        ));
        if self.has_generated_keys {
            self.print_request(&url, engine.metadata().first().map_or("hello", |name| name));
        }
        let served = listener::serve(listener, engine.router(), shutdown).await;
        if tokio::time::timeout(listener::BACKGROUND_TIMEOUT, engine.close())
            .await
            .is_err()
        {
            tracing::warn!("calls in progress were cut off");
        }
        served
    }

    fn print_request(&self, url: &str, function: &str) {
        let (id, key) = (&self.credentials.app_id, self.credentials.app_key.expose_secret());
        terminal::print_line(format!(
            "The keys are for this run alone; LEANCLOUD_APP_ID and LEANCLOUD_APP_KEY set others. To try it:\n\
             curl -H 'X-LC-Id: {id}' -H 'X-LC-Key: {key}' -H 'Content-Type: application/json' \
             {url}/1.1/functions/{function} -d '{{}}'"
        ));
    }
}

fn client(
    server: &ApiServer,
    credentials: &Credentials,
    environment: &Environment,
    is_production: bool,
) -> Result<Client> {
    Ok(leancloud_client::builder(server, credentials, environment)
        .production(is_production)
        .build()?)
}

/// Sessions of an app without a storage service: every token is refused.
#[derive(Debug)]
struct NoSessions;

#[async_trait]
impl Sessions for NoSessions {
    async fn user(&self, _: &str) -> Result<Document, CloudError> {
        let text = "Whose session it is cannot be found out: LEANCLOUD_API_SERVER is not set.";
        Err(CloudError::new(ErrorCode::UNAVAILABLE, text))
    }
}
