//! `paylog package`. The packager itself comes with the feature `package`.

#[cfg(feature = "package")]
mod packager;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

/// `paylog package`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PackageArguments {
    /// A program that has been built already
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Folder for the archive
    #[arg(long, value_name = "FOLDER", default_value = "package")]
    pub(crate) folder: PathBuf,
}

/// Builds the app for LeanEngine and packs it; returns true.
///
/// # Errors
/// An app that does not build; a program that LeanEngine cannot start.
#[cfg(feature = "package")]
pub(crate) fn run(arguments: &PackageArguments) -> Result<bool> {
    packager::run(arguments.program.as_deref(), &arguments.folder)
}

/// Refuses, and says how to get the packager.
///
/// # Errors
/// Always.
#[cfg(not(feature = "package"))]
pub(crate) fn run(_: &PackageArguments) -> Result<bool> {
    anyhow::bail!(
        "this program was built without the packager. In the app's folder, run: cargo run --release --features package \
         -- package. An app of your own needs this line under [features] in its Cargo.toml, as `paylog new` writes it: \
         package = [\"paylog/package\"]"
    )
}
