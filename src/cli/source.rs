//! The source app of `pull` and `verify`, from the command line.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::cli::arguments::AccessArguments;
use crate::client::{Client, ClientBuilder};
use crate::config::ApiServer;
use crate::environment::Environment;
use crate::migration::pull::{Cutover, FollowedSource, RateLimit, Source};
use crate::model::{ClassName, Query};

/// Time-out of one request to the source: a page of large objects from a busy server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the record of the source that the store keeps.
///
/// # Errors
/// No URL; no app id.
pub(crate) fn following(server: &str, access: &AccessArguments) -> Result<FollowedSource> {
    Ok(FollowedSource {
        server: ApiServer::parse("the source", server)?.url().to_owned(),
        app_id: app_id(access)?.to_owned(),
        moved: false,
        moved_at: None,
    })
}

/// Returns the source to read from.
///
/// # Errors
/// No URL; no app id; no master key.
pub(crate) fn source(server: &str, access: &AccessArguments, environment: &Environment) -> Result<Source> {
    let client = builder(server, access, environment)?.retry_policy(Source::RETRY_POLICY);
    Ok(Source::new(
        &client.build()?,
        RateLimit::new(environment.clone(), access.requests_per_second),
        usize::from(access.requests_at_once),
        Query::LIMIT_MAX,
    )?)
}

/// Returns the builder of the client. Requests are signed with the master key, so the app key is not needed.
///
/// # Errors
/// As [`source`].
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

/// Returns the classes that are not copied: those of `--without`, and that of the decision about the move.
///
/// # Errors
/// A text that is no class name.
pub(crate) fn excluded_classes(access: &AccessArguments) -> Result<Vec<ClassName>> {
    let names = access.without.iter().map(|name| ClassName::parse(name));
    let mut classes: Vec<ClassName> = names.collect::<Result<_, _>>()?;
    classes.push(Cutover::decision_class()?);
    Ok(classes)
}
