//! The app that `pull` and `verify` read from, as the command line names it.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::cli::arguments::AccessArguments;
use crate::client::{Client, ClientBuilder};
use crate::config::ApiServer;
use crate::environment::Environment;
use crate::migration::pull::rate_limit::RateLimit;
use crate::migration::pull::{Cutover, FollowedSource, Source};
use crate::model::{ClassName, Query};

/// How long one request to the source may take: a page of large objects from a busy server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What the store is to remember about its source.
pub(crate) fn following(server: &str, access: &AccessArguments) -> Result<FollowedSource> {
    Ok(FollowedSource {
        server: ApiServer::parse("the source", server)?.url().to_owned(),
        app_id: app_id(access)?.to_owned(),
        moved: false,
        moved_at: None,
    })
}

/// The server to read from.
pub(crate) fn source(server: &str, access: &AccessArguments, environment: &Environment) -> Result<Source> {
    let client = builder(server, access, environment)?.retry_policy(Source::PATIENCE);
    Ok(Source::new(
        &client.build()?,
        RateLimit::new(environment.clone(), access.requests_per_second),
        usize::from(access.requests_at_once),
        Query::LIMIT_MAX,
    )?)
}

/// Everything is signed with the master key, so the app key is not needed.
pub(crate) fn builder(
    server: &str,
    access: &AccessArguments,
    environment: &Environment,
) -> Result<ClientBuilder> {
    let server = ApiServer::parse("the source", server)?;
    let master_key = access
        .master_key
        .as_deref()
        .context("the master key of the source is missing: --master-key, or LEANCLOUD_APP_MASTER_KEY")?;
    Ok(Client::builder(server.url(), app_id(access)?, master_key)
        .master_key(master_key)
        .environment(environment.clone())
        .timeout(REQUEST_TIMEOUT))
}

fn app_id(access: &AccessArguments) -> Result<&str> {
    let app_id = access.app_id.as_deref();
    app_id.context("the app id of the source is missing: --app-id, or LEANCLOUD_APP_ID")
}

/// The classes that stay where they are; the document that decides about the move among them.
pub(crate) fn left_out(access: &AccessArguments) -> Result<Vec<ClassName>> {
    let names = access.without.iter().map(|name| ClassName::parse(name));
    let mut classes: Vec<ClassName> = names.collect::<Result<_, _>>()?;
    classes.push(Cutover::decision_class()?);
    Ok(classes)
}
