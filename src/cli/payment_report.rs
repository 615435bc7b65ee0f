//! The report of `paylog resume` and `paylog cancel` about one payment.

use anyhow::{Context, Result};

use crate::app::terminal;
use crate::model::ObjectId;
use crate::payment::service::AdminReport;

/// Parses the id of a log.
///
/// # Errors
/// A text that is no id.
pub(crate) fn log_id(text: &str) -> Result<ObjectId> {
    ObjectId::parse(text)
        .ok()
        .with_context(|| format!("'{text}' is not the id of a log: take one from `paylog stuck`"))
}

/// Prints the report; returns true if the payment is closed.
pub(crate) fn print(operated: &AdminReport, json: bool) -> Result<bool> {
    if json {
        terminal::print_json(operated)?;
    } else {
        terminal::print_line(describe(operated));
    }
    Ok(operated.is_closed())
}

fn describe(operated: &AdminReport) -> String {
    let AdminReport {
        log,
        kind,
        amount,
        user,
        state,
        outcome,
        reason,
        error,
    } = operated;
    let amount = amount.map(|units| format!(" of {units}")).unwrap_or_default();
    let mut text = format!("{log}, {kind}{amount} of the user {user}: ");
    match outcome.as_deref() {
        Some(outcome) if operated.is_closed() => text += outcome,
        Some(outcome) => text += &format!("{outcome}; its log is not closed yet (state {state})"),
        None => text += &format!("not finished (state {state})"),
    }
    if let Some(why) = reason.as_deref().or(error.as_deref()) {
        text += &format!(": {why}");
    }
    text
}
