//! `paylog verify`: the proof that an app has moved completely.

use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::arguments::{AccessArguments, DataArguments};
use crate::cli::progress_bar::PullProgress;
use crate::cli::{proof, source};
use crate::config::backend::DEFAULT_DATA;
use crate::environment::Environment;
use crate::migration::pull::FollowedSource;
use crate::migration::verification::Verifier;
use crate::payment::PaymentConfig;
use crate::storage::SqliteStore;
use crate::store::load::Loader;

/// `paylog verify`.
#[derive(Args, Clone, Debug)]
pub(crate) struct VerifyArguments {
    /// Compare with the app at this address, such as https://abc.api.lncldglobal.com
    #[arg(long, value_name = "URL")]
    pub(crate) against: Option<String>,
    /// Credentials and rates.
    #[command(flatten)]
    pub(crate) access: AccessArguments,
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Print the proof as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs the command, read-only, also beside a running server; returns true if nothing differs.
pub(crate) async fn run(
    given: &VerifyArguments,
    config: &PaymentConfig,
    environment: &Environment,
) -> Result<bool> {
    let data = given.data.data.clone().unwrap_or_else(|| DEFAULT_DATA.into());
    let store: Arc<dyn Loader> = Arc::new(SqliteStore::open_read_only(&data, environment.clone())?);
    let bars = Arc::new(PullProgress::new(environment.clone()));
    let mut prover = Verifier::new(Arc::clone(&store), config.names()).with_observer(bars);
    if let Some(server) = &given.against {
        let access = &given.access;
        let wanted = source::following(server, access)?;
        if let Some(following) = FollowedSource::read(&*store).await? {
            if following.app_id != wanted.app_id {
                bail!(
                    "this folder follows the app {} of {}, and not {}",
                    following.app_id,
                    following.server,
                    wanted.app_id
                );
            }
            if following.moved {
                prover = prover.after_move(following.moved_at());
            }
        }
        prover = prover.against(
            source::source(server, access, environment)?,
            source::excluded_classes(access)?,
        );
        if access.skip_relations {
            prover = prover.without_relations();
        }
    }
    let proved = prover.verify().await?;
    proof::print(&proved, given.json)?;
    Ok(proved.clean)
}
