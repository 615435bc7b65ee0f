//! `paylog pull`: a live app, copied, followed, and at the end moved.

mod bars;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cli::arguments::{PullArguments, SourceArguments};
use crate::cli::serve::{embedded, listen};
use crate::cli::terminal;
use crate::client::{Authentication, Client, Downloads};
use crate::config::{ApiServer, DEFAULT_DATA};
use crate::environment::Environment;
use crate::migration::pull::classes::Classes;
use crate::migration::pull::pace::Pace;
use crate::migration::pull::{Following, KeptFiles, Observer, PullError, Puller, Round, Source};
use crate::model::{ClassName, Query};
use crate::payment::PaymentConfig;
use crate::storage::sqlite::OpenError;
use crate::storage::{FolderFiles, SqliteStore};
use crate::store::load::Loader;

pub(crate) use bars::Bars;

/// How long one request to the source may take: a page of large objects from a busy server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the command, and answers whether all is well.
pub(crate) async fn run(
    given: &PullArguments,
    config: PaymentConfig,
    environment: &Environment,
) -> Result<bool> {
    let data = given.home.data.clone().unwrap_or_else(|| DEFAULT_DATA.into());
    let following = following(&given.source)?;
    let observer: Arc<dyn Observer> = Arc::new(Bars::new(environment.clone()));
    let source = source(&given.source, environment)?;
    let store = open(&data, environment)?;
    embedded::prepare(&store, &config).await?;
    let pulled = pull(given, &config, (&store, &data), source, &following, observer, environment).await;
    store.close().await;
    pulled
}

async fn pull(
    given: &PullArguments,
    config: &PaymentConfig,
    (store, data): (&SqliteStore, &Path),
    source: Source,
    following: &Following,
    observer: Arc<dyn Observer>,
    environment: &Environment,
) -> Result<bool> {
    let loader: Arc<dyn Loader> = Arc::new(store.clone());
    let mut puller = Puller::new(source, loader, observer).without(left_out(&given.source)?);
    if given.files {
        let folder = data.join(embedded::FILES);
        let files = FolderFiles::open(&folder, environment.clone())
            .with_context(|| format!("the folder for files, {}, cannot be used", folder.display()))?;
        // Whatever the app has taken, it keeps: no bound.
        puller = puller.with_files(KeptFiles::new(Arc::new(files), Downloads::new()?, u64::MAX));
    }
    let classes = puller.prepare(following).await?;
    warn_of_permissions(&classes);
    if given.watch {
        watch(&puller, following, given.every, environment).await?;
        return Ok(true);
    }
    let round = puller.round(&classes, &|_, _| true).await?;
    terminal::say(describe(&round));
    Ok(round.refused.is_empty() && round.files_failed.is_empty())
}

/// Follows until the process is told to stop. What may pass is waited for.
async fn watch(
    puller: &Puller,
    following: &Following,
    every: u64,
    environment: &Environment,
) -> Result<()> {
    let mut told_to_stop = Box::pin(listen::told_to_stop()?);
    loop {
        let round = async {
            let classes = puller.prepare(following).await?;
            puller.round(&classes, &|_, _| true).await
        };
        let round = tokio::select! {
            round = round => round,
            () = &mut told_to_stop => return Ok(()),
        };
        match round {
            Ok(round) => terminal::say(describe(&round)),
            Err(error) if error.may_pass() => terminal::warn(format!("this round came to no end: {error}")),
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = environment.sleep(Duration::from_secs(every)) => {}
            () = &mut told_to_stop => return Ok(()),
        }
    }
}

fn warn_of_permissions(classes: &Classes) {
    if classes.permissions_unknown.is_empty() {
        return;
    }
    let names: Vec<&str> = classes.permissions_unknown.iter().map(ClassName::as_str).collect();
    terminal::warn(format!(
        "LeanCloud's API tells neither class permissions nor indexes. New classes are open here as LeanCloud makes \
         them, and the ACLs of objects hold. Before you open the server, set what your console shows, by PUT \
         /1.1/schemas/<class> with the master key, for: {}",
        names.join(", ")
    ));
}

fn describe(round: &Round) -> String {
    let Round {
        read,
        created,
        replaced,
        removed,
        relations,
        linked,
        refused,
        files_failed,
    } = round;
    let mut text = format!("{read} objects read: {created} new, {replaced} changed");
    if *relations > 0 {
        text += &format!("; {relations} relations read: {linked} links made, {removed} taken away");
    }
    if !refused.is_empty() {
        text += &format!("; {} objects could not be loaded (above)", refused.len());
    }
    if !files_failed.is_empty() {
        text += &format!("; {} files could not be fetched (above)", files_failed.len());
    }
    text
}

/// The store that is pulled into; nobody else may have it.
fn open(data: &PathBuf, environment: &Environment) -> Result<SqliteStore> {
    match SqliteStore::open(data, environment.clone()) {
        Err(error @ OpenError::Locked { .. }) => {
            Err(error).context("pulling needs the folder for itself: stop the server that has it")
        }
        opened => Ok(opened?),
    }
}

pub(crate) fn following(given: &SourceArguments) -> Result<Following> {
    Ok(Following {
        server: ApiServer::parse("--server", &given.server)?.url().to_owned(),
        app_id: given.app_id()?.to_owned(),
        moved: false,
        moved_at: None,
    })
}

/// The server to read from. Everything is signed with the master key, so the app key is not needed.
pub(crate) fn source(given: &SourceArguments, environment: &Environment) -> Result<Source> {
    Ok(Source::new(
        &client(given, environment)?,
        Pace::new(environment.clone(), given.requests_per_second),
        given.requests_at_once,
        Query::LIMIT_MAX,
    )?)
}

pub(crate) fn client(given: &SourceArguments, environment: &Environment) -> Result<Client> {
    let server = ApiServer::parse("--server", &given.server)?;
    let master_key = given.master_key()?;
    let client = Client::builder(server.url(), given.app_id()?, master_key)
        .master_key(master_key)
        .authentication(Authentication::Sign)
        .environment(environment.clone())
        .timeout(REQUEST_TIMEOUT)
        .retry_policy(Source::PATIENCE);
    Ok(client.build()?)
}

pub(crate) fn left_out(given: &SourceArguments) -> Result<Vec<ClassName>> {
    let names = given.without.iter().map(|name| ClassName::parse(name));
    Ok(names.collect::<Result<_, _>>()?)
}

/// Refuses to serve what is the copy of a live app: money would be spent in both.
///
/// # Errors
/// Where the app has not moved.
pub(crate) async fn refuse_copy(store: &SqliteStore, allow: bool) -> Result<()> {
    let following = match Following::read(store).await {
        Ok(following) => following,
        Err(PullError::Refused(reason)) => bail!(reason),
        Err(error) => return Err(error.into()),
    };
    let Some(following) = following.filter(|following| !following.moved) else {
        return Ok(());
    };
    let text = format!(
        "this folder is a copy of the app that still lives at {}: money would be spent in both. Move it here first \
         (paylog pull --final). To try the copy, serve a copy of the folder (paylog backup, paylog restore) with \
         --allow-unsafe",
        following.server
    );
    if !allow {
        bail!(text);
    }
    tracing::warn!("{text}");
    Ok(())
}
