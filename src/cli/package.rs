//! `paylog package`. The packager itself comes with the feature `package`.

#[cfg(feature = "package")]
mod packager;

use anyhow::Result;

use crate::cli::arguments::PackageArguments;

/// Builds the app for LeanEngine and packs it; returns true.
///
/// # Errors
/// An app that does not build; a program that LeanEngine cannot start.
#[cfg(feature = "package")]
pub(crate) fn run(arguments: &PackageArguments) -> Result<bool> {
    packager::run(arguments)
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
