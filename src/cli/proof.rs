//! The printed proof of a move.

use anyhow::Result;

use crate::app::terminal;
use crate::migration::verification::VerificationReport;

/// Prints a proof.
///
/// # Errors
/// None in practice.
pub(crate) fn print(proof: &VerificationReport, json: bool) -> Result<()> {
    if json {
        terminal::print_json(proof)
    } else {
        terminal::print_line(proof.describe());
        Ok(())
    }
}
