//! Every write, as one list of steps: permissions, validation, before hook, write, response, after hook.
//!
//! [`plan`] takes the first three, [`conclusion`] the last two. Rules of single classes are
//! [`ClassRules`](super::class_rules::ClassRules).

mod conclusion;
mod plan;
pub(super) mod request;

use std::sync::Arc;

use self::plan::WritePlan;
pub(super) use self::request::{Change, WriteRequest};
use super::class_rules::ClassRules;
use super::context::Context;
use super::error::internal;
use super::identities;
use super::response::ApiResponse;
use crate::model::{CloudError, HookKind, Principal};
use crate::store::{Action, Write, WriteOutcome};

/// Performs one write.
///
/// # Errors
/// Those of every step. A 5xx, and codes that leave the outcome unknown, come from the database alone.
pub(super) async fn perform(
    context: &Arc<Context>,
    request: WriteRequest,
) -> Result<ApiResponse, CloudError> {
    let plan = plan::plan(context, request).await?;
    if !plan.has_after_hook(context) {
        return write(context, plan).await;
    }
    // In a task of its own, so that the after hook runs even if the client leaves.
    let task_context = Arc::clone(context);
    let task = async move { write(&task_context, plan).await };
    let task = context.state().tasks.spawn(task);
    task.await.map_err(|error| internal(&error))?
}

/// Performs several writes that call no before hook, in order, in one trip to the database. Each succeeds or fails on its
/// own.
pub(super) async fn perform_batch(
    context: &Arc<Context>,
    requests: Vec<WriteRequest>,
) -> Vec<Result<ApiResponse, CloudError>> {
    let mut plans = Vec::with_capacity(requests.len());
    for request in requests {
        plans.push(plan::plan(context, request).await);
    }
    let mut writes = Vec::with_capacity(plans.len());
    let mut counts = Vec::with_capacity(plans.len());
    for plan in plans.iter_mut().flatten() {
        counts.push(plan.writes.len());
        writes.append(&mut plan.writes);
    }
    let principal = match context.principal().await {
        Ok(principal) => principal,
        Err(error) => return plans.into_iter().map(|_| Err(error.clone())).collect(),
    };
    let mut outcomes = send(context, writes, principal).await.into_iter();
    let mut counts = counts.into_iter();
    let mut responses = Vec::with_capacity(plans.len());
    for plan in plans {
        responses.push(match plan {
            Ok(plan) => {
                let count = counts.next().unwrap_or(0);
                let own = outcomes.by_ref().take(count).collect();
                plan.conclude(context, own).await
            }
            Err(error) => Err(error),
        });
    }
    responses
}

/// True if a write of a batch cannot share a trip to the database: a before hook runs for it, its class has rules of its
/// own, or it has a condition, whose subqueries must see the writes before.
pub(super) fn needs_own_trip(context: &Context, request: &WriteRequest) -> bool {
    let kind = match request.change {
        Change::Create | Change::SignUp(_) | Change::NewFile(_) => HookKind::BeforeSave,
        Change::Update(_) => HookKind::BeforeUpdate,
        Change::Delete(_) => HookKind::BeforeDelete,
    };
    let rules = ClassRules::of(&request.class);
    request.class.is_built_in()
        || request.parameters.contains_key("where")
        || rules
            .hooks(context, request.class.clone(), &request.body)
            .runs(context, kind)
}

/// Writes what is planned, and concludes. Two users who want the same identity are written one after the other.
async fn write(context: &Context, mut plan: WritePlan) -> Result<ApiResponse, CloudError> {
    let writes = std::mem::take(&mut plan.writes);
    let rules = plan.rules;
    let update = match writes.first().map(|write| &write.action) {
        Some(Action::Create { fields: update } | Action::Update { update, .. })
            if rules == ClassRules::User =>
        {
            Some(update.clone())
        }
        _ => None,
    };
    let id = plan.updated_id().cloned();
    let claims = std::mem::take(&mut plan.claims);
    let turn = if claims.is_empty() {
        None
    } else {
        let turn = context.state().links.lock().await;
        identities::require_free(context, &claims, id.as_ref()).await?;
        Some(turn)
    };
    let outcomes = send(context, writes, &plan.principal).await;
    drop(turn);
    let response = plan.conclude(context, outcomes).await;
    match (response, update) {
        (Err(refusal), Some(update)) => {
            Err(rules.name_duplicate(context, &update, id.as_ref(), refusal).await)
        }
        (response, _) => response,
    }
}

async fn send(context: &Context, writes: Vec<Write>, principal: &Principal) -> Vec<WriteOutcome> {
    if writes.is_empty() {
        return Vec::new();
    }
    context.database().write_as(writes, principal).await
}
