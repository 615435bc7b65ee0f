//! The last steps of a write, once the database has done it: response and after hook.

use std::sync::Arc;

use crate::model::{Class, CloudError, Document, Filter, HookKind, ObjectId, UserHook};
use crate::server::class_rules::ClassRules;
use crate::server::condition_reason;
use crate::server::context::Context;
use crate::server::error::no_effect;
use crate::server::files::remove_bytes;
use crate::server::hook_caller::{self, WriteHooks};
use crate::server::response::ApiResponse;
use crate::server::write_response::{applied, created, not_matched, updated};
use crate::store::files::FileKey;
use crate::store::{WriteOutcome, Written};

/// The data for the response to a write.
#[derive(Debug)]
pub(super) enum Conclusion {
    Create {
        class: Arc<Class>,
        fetch: bool,
        /// The token of a sign-up, whose response is the whole user.
        token: Option<String>,
    },
    Update {
        class: Arc<Class>,
        id: ObjectId,
        condition: Option<Filter>,
        fetch: bool,
        /// Columns set by the request, in request order; excludes columns the server adds.
        columns: Vec<String>,
        /// The new session token after a change of the password.
        token: Option<String>,
        /// Hooks of users to notify: of what the write has verified.
        verified: Vec<UserHook>,
    },
    Delete(Deletion),
}

/// The data for the response to a deletion.
#[derive(Debug)]
pub(super) struct Deletion {
    pub(super) ids: Vec<ObjectId>,
    pub(super) condition: Option<Filter>,
    /// The objects before the write, if an after hook needs them.
    pub(super) objects: Vec<Document>,
    /// The keys of the files whose rows are deleted.
    pub(super) files: Vec<(ObjectId, FileKey)>,
}

impl Conclusion {
    /// The kind of the after hook.
    pub(super) fn after_hook(&self) -> HookKind {
        match self {
            Self::Create { .. } => HookKind::AfterSave,
            Self::Update { .. } => HookKind::AfterUpdate,
            Self::Delete(_) => HookKind::AfterDelete,
        }
    }

    /// The id of the object that is changed.
    pub(super) fn updated_id(&self) -> Option<&ObjectId> {
        match self {
            Self::Update { id, .. } => Some(id),
            Self::Create { .. } | Self::Delete(_) => None,
        }
    }
}

/// Turns the database's outcomes into the response, and starts the after hook.
///
/// # Errors
/// Those of the write; 305 if its condition did not hold; 1 for an update of an absent object.
pub(super) async fn conclude(
    context: &Context,
    rules: ClassRules,
    hooks: &WriteHooks,
    conclusion: Conclusion,
    outcomes: Vec<WriteOutcome>,
) -> Result<ApiResponse, CloudError> {
    match conclusion {
        Conclusion::Create { class, fetch, token } => {
            let written = applied(outcomes.into_iter().next())?.ok_or_else(no_effect)?;
            start_after_hook(context, hooks, HookKind::AfterSave, &written, &[]).await;
            created(context, &class, fetch, token, written).await
        }
        Conclusion::Update {
            class,
            id,
            condition,
            fetch,
            columns,
            token,
            verified,
        } => {
            let Some(written) = applied(outcomes.into_iter().next())? else {
                condition_reason::note(context, &class.name, &id, condition.as_ref()).await;
                return Err(not_matched(&class.name, &id, condition.is_some()));
            };
            start_after_hook(context, hooks, HookKind::AfterUpdate, &written, &columns).await;
            for hook in verified {
                hook_caller::notify_user_hook(context, hook, &written.fields);
            }
            updated(context, &class, &id, fetch.then_some(&*columns), token, written).await
        }
        Conclusion::Delete(deletion) => conclude_deletion(context, rules, hooks, deletion, outcomes).await,
    }
}

/// Concludes a deletion: of several objects the first failure is the response.
async fn conclude_deletion(
    context: &Context,
    rules: ClassRules,
    hooks: &WriteHooks,
    deletion: Deletion,
    outcomes: Vec<WriteOutcome>,
) -> Result<ApiResponse, CloudError> {
    let mut failure = None;
    for (id, outcome) in deletion.ids.iter().zip(outcomes) {
        match applied(Some(outcome)) {
            Ok(Some(_)) => {
                for (_, key) in deletion.files.iter().filter(|(owner, _)| owner == id) {
                    remove_bytes(context, key).await;
                }
                let mut objects = deletion.objects.iter();
                let object = objects.find(|object| object.text("objectId") == Some(id.as_str()));
                if let Some(object) = object {
                    let hook = HookKind::AfterDelete;
                    hooks.after(context, hook, object.clone(), Vec::new()).await;
                }
            }
            Ok(None) => {
                if let Some(refusal) = rules.delete_refusal(context, id).await? {
                    failure = failure.or(Some(refusal));
                } else if let Some(condition) = &deletion.condition {
                    condition_reason::note(context, &hooks.class, id, Some(condition)).await;
                    failure = failure.or_else(|| Some(no_effect()));
                }
                // Without a condition: deleting an absent object is no failure.
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or_else(|| Ok(ApiResponse::ok(serde_json::Map::new())), Err)
}

async fn start_after_hook(
    context: &Context,
    hooks: &WriteHooks,
    kind: HookKind,
    written: &Written,
    columns: &[String],
) {
    if hooks.runs(context, kind) {
        let object = written.fields.clone();
        hooks.after(context, kind, object, columns.to_vec()).await;
    }
}
