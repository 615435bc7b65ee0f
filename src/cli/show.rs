//! `paylog show`: all records of one payment, read-only, also beside a running server.

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use crate::app::data_context::DataContext;
use crate::app::{read_access, terminal};
use crate::cli::arguments::DataArguments;
use crate::model::{Document, Value};

/// `paylog show`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ShowArguments {
    /// The id of a log or an order, the number of a recharge or an order, the gateway's number, or a whole key
    #[arg(value_name = "PAYMENT")]
    pub(crate) what: String,
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Print the records as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Names of the states 0 to 5.
const STATES: [&str; 6] = ["created", "ordered", "funded", "applied", "settled", "closed"];

/// Prints the records; returns true if there are any.
pub(crate) async fn run(arguments: &ShowArguments, context: &DataContext) -> Result<bool> {
    let payments = read_access::open_payments(context).await?;
    let records = payments
        .find_records(&arguments.what)
        .await
        .context("the records cannot be read")?;
    if arguments.json {
        terminal::print_json(&json!({"payments": records}))?;
    } else if records.is_empty() {
        terminal::print_line(format!(
            "no payment is known as {}: give the id of a log or order, a number, or a whole key",
            arguments.what
        ));
    } else {
        for record in &records {
            terminal::print_line(describe(record));
        }
    }
    Ok(!records.is_empty())
}

/// Formats one record.
fn describe(log: &Document) -> String {
    let text = |key: &str| log.text(key).unwrap_or("?").to_owned();
    let state = log.integer("state").unwrap_or(-1);
    let word = usize::try_from(state).ok().and_then(|state| STATES.get(state));
    let amount = log
        .integer("amount")
        .map_or_else(|| "?".to_owned(), |amount| amount.to_string());
    let outcome = log.text("outcome").unwrap_or("undecided");
    let mut lines = vec![
        format!(
            "{}  {} of {amount}  {outcome}  state {state} ({})",
            text("objectId"),
            text("kind"),
            word.unwrap_or(&"moved to another store")
        ),
        format!(
            "    key {}  made {}  changed {}",
            text("key"),
            text("createdAt"),
            text("updatedAt")
        ),
    ];
    for (name, field) in [
        ("user", "user"),
        ("order", "order"),
        ("number", "number"),
        ("gateway's number", "tradeNo"),
        ("caller's key", "requestKey"),
        ("why", "reason"),
        ("STUCK", "stuck"),
        ("to be cancelled", "cancel"),
        ("taken up", "claims"),
        ("by", "claimedBy"),
    ] {
        if let Some(value) = log.get(field).filter(|value| !value.is_null()) {
            lines.push(format!("    {name}: {}", shown(value)));
        }
    }
    for leg in log.get("legs").and_then(Value::as_array).into_iter().flatten() {
        let part = |key: &str| leg.get(key).map(shown).unwrap_or_default();
        lines.push(format!("    {}/{}: {}", part("class"), part("id"), part("add")));
    }
    lines.join("\n")
}

fn shown(value: &Value) -> String {
    match (value, value.get("objectId")) {
        (Value::String(text), _) | (_, Some(Value::String(text))) => text.clone(),
        _ => value.to_string(),
    }
}
