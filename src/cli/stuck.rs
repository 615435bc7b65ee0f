//! `paylog stuck`, `paylog resume` and `paylog cancel`: payments that wait for an operator.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;

use crate::cli::arguments::{CancelArguments, ResumeArguments, StuckArguments};
use crate::cli::books;
use crate::cli::operator::Operator;
use crate::cli::terminal;
use crate::config::{Backend, Keys, Variables};
use crate::engine::App;
use crate::environment::Environment;
use crate::model::{ObjectId, Timestamp};
use crate::payment::service::{Operated, StuckPayment};
use crate::payment::{PaymentConfig, Payments};

/// A payment that waits, and for how long it has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    #[serde(flatten)]
    payment: StuckPayment,
    age_seconds: Option<i64>,
}

/// Lists the payments that wait for an operator, and answers whether there are none. Reads only, also beside a running
/// server.
pub(crate) async fn list(
    arguments: &StuckArguments,
    home: &Backend,
    config: PaymentConfig,
    variables: &Variables,
    environment: &Environment,
) -> Result<bool> {
    let payments = books::open(home, config, variables, environment).await?;
    let stuck = payments
        .stuck_payments()
        .await
        .context("the logs cannot be read")?;
    let now = environment.now();
    let waiting: Vec<_> = stuck
        .into_iter()
        .map(|payment| Waiting {
            age_seconds: payment.created_at.map(|created| seconds_between(created, now)),
            payment,
        })
        .collect();
    if arguments.json {
        terminal::say_json(&json!({"stuck": waiting}))?;
    } else if waiting.is_empty() {
        terminal::say("no payment waits for an operator");
    } else {
        for one in &waiting {
            terminal::say(describe_waiting(one));
        }
        terminal::say(format!(
            "{} wait. Repair what stands in the way, then: paylog resume <log>. Or, before the money is secured: \
             paylog cancel <log>. Money that has arrived with another amount than was asked for: paylog resume <log> \
             --credit takes it as it is, paylog cancel <log> --returned says that it was given back at the provider",
            waiting.len()
        ));
    }
    Ok(waiting.is_empty())
}

/// Takes a payment up again, and answers whether it is at its end.
pub(crate) async fn resume(
    app: App<Payments>,
    arguments: &ResumeArguments,
    home: &Backend,
    config: PaymentConfig,
    variables: &Variables,
    environment: &Environment,
) -> Result<bool> {
    let log = log_id(&arguments.payment)?;
    let credit = arguments.credit;
    let operator = Operator::open(app, home, config, Keys::read(variables)?, environment).await?;
    let operated = operator
        .ask(
            "resumePayment",
            &json!({"log": log, "credit": credit}),
            async |payments| payments.resume_payment(&log, credit).await,
        )
        .await;
    operator.close().await;
    say(&operated?, arguments.json)
}

/// Cancels a payment, and answers whether it is at its end.
pub(crate) async fn cancel(
    app: App<Payments>,
    arguments: &CancelArguments,
    home: &Backend,
    config: PaymentConfig,
    variables: &Variables,
    environment: &Environment,
) -> Result<bool> {
    let log = log_id(&arguments.payment)?;
    let (reason, returned) = (arguments.reason.as_deref(), arguments.returned);
    let mut asked = json!({"log": log, "returned": returned});
    if let (Some(reason), Some(asked)) = (reason, asked.as_object_mut()) {
        asked.insert("reason".to_owned(), reason.into());
    }
    let operator = Operator::open(app, home, config, Keys::read(variables)?, environment).await?;
    let operated = operator
        .ask("cancelPayment", &asked, async |payments| {
            payments.cancel_payment(&log, reason, returned).await
        })
        .await;
    operator.close().await;
    say(&operated?, arguments.json)
}

fn log_id(text: &str) -> Result<ObjectId> {
    ObjectId::parse(text)
        .ok()
        .with_context(|| format!("'{text}' is no id of a log: take one from `paylog stuck`"))
}

fn say(operated: &Operated, json: bool) -> Result<bool> {
    if json {
        terminal::say_json(operated)?;
    } else {
        terminal::say(describe(operated));
    }
    Ok(operated.is_closed())
}

fn describe(operated: &Operated) -> String {
    let Operated {
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
        None => text += &format!("not at its end (state {state})"),
    }
    if let Some(why) = reason.as_deref().or(error.as_deref()) {
        text += &format!(": {why}");
    }
    text
}

fn describe_waiting(waiting: &Waiting) -> String {
    let StuckPayment {
        log,
        kind,
        amount,
        user,
        order,
        state,
        attempts,
        trade_no,
        error,
        created_at: _,
    } = &waiting.payment;
    let unknown = || "?".to_owned();
    let mut text = format!(
        "{log}  {age}  {kind} {amount}  user {user}  state {state}  {attempts} attempts",
        age = waiting.age_seconds.map_or_else(unknown, age),
        kind = kind.as_deref().unwrap_or("?"),
        amount = amount.map_or_else(unknown, |units| units.to_string()),
        user = user.as_ref().map_or_else(unknown, ToString::to_string),
        state = state.map_or_else(unknown, |state| state.to_string()),
    );
    if let Some(order) = order {
        text += &format!("  order {order}");
    }
    if let Some(trade_no) = trade_no {
        text += &format!("  tradeNo {trade_no}");
    }
    text + &format!("\n    {error}")
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millis().saturating_sub(from.as_millis()) / 1000
}

/// In the two largest units.
fn age(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {}s", seconds % 60),
        3600..86_400 => format!("{hours}h {}m", minutes % 60),
        86_400.. => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (3_725, "1h 2m"),
            (200_000, "2d 7h"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
