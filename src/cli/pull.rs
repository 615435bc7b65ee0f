//! `paylog pull`: copies a live app, follows it, and moves it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::app::{data_folder, listener, terminal};
use crate::cli::arguments::{AccessArguments, DataArguments};
use crate::cli::progress_bar::PullProgress;
use crate::cli::{proof, source};
use crate::client::{FileDownloader, RetryPolicy};
use crate::config::backend::DEFAULT_DATA;
use crate::environment::Environment;
use crate::migration::pull::{
    Cutover, CutoverOutcome, FileDownload, FollowedSource, Observer, Puller, RoundSummary, Source,
    SourceClasses, SourceStore,
};
use crate::model::ClassName;
use crate::payment::PaymentConfig;
use crate::storage::sqlite::OpenError;
use crate::storage::{FolderFiles, SqliteStore};
use crate::store::load::Loader;

/// The source app.
#[derive(Args, Clone, Debug)]
pub(crate) struct SourceArguments {
    /// Address of the app's storage API, such as https://abc.api.lncldglobal.com
    #[arg(long, value_name = "URL")]
    pub(crate) server: String,
    /// Credentials and rates.
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

/// `paylog pull`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PullArguments {
    /// The source app.
    #[command(flatten)]
    pub(crate) source: SourceArguments,
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Download the files too, into the folder that this server serves
    #[arg(long)]
    pub(crate) files: bool,
    /// Keep following until stopped
    #[arg(long, conflicts_with = "last")]
    pub(crate) watch: bool,
    /// With --watch: seconds between two rounds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) every: u64,
    /// Run the last round and move: the source makes no more payments, and the proof is printed
    #[arg(long = "final")]
    pub(crate) last: bool,
    /// With --final: move even if objects differ or users have lost their login. Money must agree all the same
    #[arg(long, requires = "last")]
    pub(crate) accept_differences: bool,
    /// Give the money back to the source, after an unfinished --final
    #[arg(long, conflicts_with_all = ["last", "watch"])]
    pub(crate) roll_back: bool,
    /// With --final: print the proof as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs the command; returns true if everything was copied, or the app was moved.
pub(crate) async fn run(
    given: &PullArguments,
    config: PaymentConfig,
    environment: &Environment,
) -> Result<bool> {
    let data = given.data.data.clone().unwrap_or_else(|| DEFAULT_DATA.into());
    let (server, access) = (&given.source.server, &given.source.access);
    let following = source::following(server, access)?;
    let observer: Arc<dyn Observer> = Arc::new(PullProgress::new(environment.clone()));
    let source = source::source(server, access, environment)?;
    let store = open(&data, environment)?;
    data_folder::prepare(&store, &config).await?;
    let pulled = pull(
        given,
        config,
        (&store, &data),
        source,
        &following,
        observer,
        environment,
    )
    .await;
    store.close().await;
    pulled
}

async fn pull(
    given: &PullArguments,
    config: PaymentConfig,
    (store, data): (&SqliteStore, &Path),
    source: Source,
    following: &FollowedSource,
    observer: Arc<dyn Observer>,
    environment: &Environment,
) -> Result<bool> {
    let loader: Arc<dyn Loader> = Arc::new(store.clone());
    let mut puller =
        Puller::new(source, loader, observer).without(source::excluded_classes(&given.source.access)?);
    if given.files {
        let folder = data.join(data_folder::FILES);
        let files = FolderFiles::open(&folder, environment.clone())
            .with_context(|| format!("the folder for files, {}, cannot be used", folder.display()))?;
        // The app has accepted these files already: no limit of size.
        puller = puller.with_files(FileDownload::new(
            Arc::new(files),
            FileDownloader::new()?,
            u64::MAX,
        ));
    }
    if given.roll_back {
        let cut_over = cut_over(given, puller, config, environment).await?;
        let report = cut_over.roll_back().await?;
        terminal::print_line(format!(
            "{} documents were given back to the source, which pays again.",
            report.opened
        ));
        return Ok(true);
    }
    let classes = puller.prepare(following).await?;
    warn_of_permissions(&classes);
    if given.watch {
        watch(&puller, following, given.every, environment).await?;
        return Ok(true);
    }
    let round = puller.round(&classes, &|_, _| true).await?;
    // With --json, standard output holds the proof alone.
    if given.json {
        terminal::eprint_line(describe(&round));
    } else {
        terminal::print_line(describe(&round));
    }
    if !given.last {
        return Ok(round.refused.is_empty() && round.files_failed.is_empty());
    }
    let cut_over = cut_over(given, puller, config, environment).await?;
    let moved = cut_over.run(&classes, following).await?;
    report(&moved, given.json)
}

/// Builds the cut-over. LeanCloud documents conditions for single requests only, so there each fencing write is a request
/// of its own; a paylog server, recognized by its class definitions, honours conditions in batches too.
async fn cut_over(
    given: &PullArguments,
    puller: Puller,
    config: PaymentConfig,
    environment: &Environment,
) -> Result<Cutover> {
    let (server, access) = (&given.source.server, &given.source.access);
    let source = source::source(server, access, environment)?;
    let is_paylog = source.definition(&ClassName::user()).await?.is_some();
    // Requests that move money are not retried.
    let old = source::builder(server, access, environment)?
        .retry_policy(RetryPolicy::never())
        .guarded_batches(is_paylog)
        .build()?;
    let old = SourceStore::new(old, source);
    let mut cut_over = Cutover::new(puller, old, config, environment.clone())?;
    if given.accept_differences {
        cut_over = cut_over.accepting_differences();
    }
    if access.skip_relations {
        cut_over = cut_over.without_relations();
    }
    Ok(cut_over)
}

/// Prints the outcome; returns true if the app has moved.
fn report(moved: &CutoverOutcome, json: bool) -> Result<bool> {
    match moved {
        CutoverOutcome::Moved(proof) => {
            if let Some(proof) = proof {
                proof::print(proof, json)?;
            }
            terminal::eprint_line(
                "The app has moved: nothing pays at the source any more. Start this server (paylog serve), and send \
                 the clients to it.",
            );
            Ok(true)
        }
        CutoverOutcome::RolledBack(proof) => {
            proof::print(proof, json)?;
            terminal::eprint_line(
                "Rolled back: the source pays as before, since the two sides are not the same. Stop what still writes \
                 there, and try again; or move all the same with --accept-differences.",
            );
            Ok(false)
        }
    }
}

/// Follows until the process is told to stop. Transient errors end the round only.
async fn watch(
    puller: &Puller,
    following: &FollowedSource,
    every: u64,
    environment: &Environment,
) -> Result<()> {
    let mut shutdown = Box::pin(listener::shutdown_signal()?);
    loop {
        let round = async {
            let classes = puller.prepare(following).await?;
            puller.round(&classes, &|_, _| true).await
        };
        let round = tokio::select! {
            round = round => round,
            () = &mut shutdown => return Ok(()),
        };
        match round {
            Ok(round) => terminal::print_line(describe(&round)),
            Err(error) if error.is_transient() => {
                terminal::eprint_line(format!("this round was not finished: {error}"));
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = environment.sleep(Duration::from_secs(every)) => {}
            () = &mut shutdown => return Ok(()),
        }
    }
}

fn warn_of_permissions(classes: &SourceClasses) {
    if classes.permissions_unknown.is_empty() {
        return;
    }
    let names: Vec<&str> = classes
        .permissions_unknown
        .iter()
        .map(ClassName::as_str)
        .collect();
    terminal::eprint_line(format!(
        "LeanCloud's API shows neither class permissions nor indexes. New classes are open here as LeanCloud makes \
         them, and the ACLs of objects hold. Before you open the server, set what your console shows, by PUT \
         /1.1/schemas/<class> with the master key, for: {}",
        names.join(", ")
    ));
}

fn describe(round: &RoundSummary) -> String {
    let RoundSummary {
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
        text += &format!("; {relations} relations read: {linked} links made, {removed} removed");
    }
    if !refused.is_empty() {
        text += &format!("; {} objects could not be loaded (above)", refused.len());
    }
    if !files_failed.is_empty() {
        text += &format!("; {} files could not be fetched (above)", files_failed.len());
    }
    text
}

/// Opens the target store, which no other process may have open.
fn open(data: &Path, environment: &Environment) -> Result<SqliteStore> {
    match SqliteStore::open(data, environment.clone()) {
        Err(error @ OpenError::Locked { .. }) => {
            Err(error).context("pulling needs exclusive access to the folder: stop the server that uses it")
        }
        opened => Ok(opened?),
    }
}
