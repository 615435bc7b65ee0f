//! The check of stored balances, marks and epochs: each must be of the type that the preconditions of a payment match.

use anyhow::Result;

use super::finding::Finding;
use crate::app::paging;
use crate::model::value::as_integer;
use crate::model::{Document, Filter, Value};
use crate::payment::PaymentConfig;
use crate::payment::protocol::mark;
use crate::store::Store;

/// Maximum number of findings shown.
const FINDINGS_MAX: usize = 20;

/// Checks every user.
///
/// # Errors
/// A store that cannot be read.
pub(crate) async fn check(store: &dyn Store, config: &PaymentConfig) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut more = 0_usize;
    paging::for_each_document(store, &config.user_class, Filter::all(), |user| {
        for problem in problems(user, config) {
            if findings.len() < FINDINGS_MAX {
                findings.push(Finding::money_at_risk(
                    problem,
                    "set it with the master key to what `paylog audit` expects, an integer",
                ));
            } else {
                more += 1;
            }
        }
    })
    .await?;
    if more > 0 {
        findings.push(Finding::warning(
            format!("{more} more findings of this kind are not shown"),
            "repair those above first",
        ));
    }
    Ok(findings)
}

/// Problems of the money fields of one user.
fn problems(user: &Document, config: &PaymentConfig) -> Vec<String> {
    let id = user.object_id().map(|id| id.to_string()).unwrap_or_default();
    let numbers = [
        config.account_field.as_str(),
        config.frozen_field.as_str(),
        mark::PAY_EPOCH,
    ];
    let name = |field: &str| format!("{} {id}: \"{field}\"", config.user_class);
    let mut problems: Vec<_> = numbers
        .into_iter()
        .filter(|field| user.get(*field).is_some_and(|value| as_integer(value).is_none()))
        .map(|field| format!("{} is no integer", name(field)))
        .collect();
    if let Some(marks) = user.get(mark::PAYLOGS) {
        let texts = marks
            .as_array()
            .is_some_and(|marks| marks.iter().all(Value::is_string));
        if !texts {
            problems.push(format!("{} is no array of texts", name(mark::PAYLOGS)));
        }
    }
    problems
}
