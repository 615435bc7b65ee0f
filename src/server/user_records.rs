//! Reads and writes of single users, past permissions and hooks.

use super::context::Context;
use super::error::{no_such_user, outcome_unknown, read_failed};
use crate::model::{ClassName, CloudError, Document, Filter, ObjectId, Query, Update, Value};
use crate::store::{Action, Write, WriteOutcome, Written};

/// Reads a user with all columns.
///
/// # Errors
/// 211 if there is none.
pub(super) async fn by_id(context: &Context, id: &ObjectId) -> Result<Document, CloudError> {
    let user = context
        .database()
        .get(&ClassName::user(), id)
        .await
        .map_err(read_failed)?;
    user.ok_or_else(no_such_user)
}

/// Finds the user with this value, with all columns.
///
/// # Errors
/// Those of a read.
pub(super) async fn by_key(
    context: &Context,
    key: &str,
    value: Value,
) -> Result<Option<Document>, CloudError> {
    let query = Query::new(Filter::all().eq(key, value)).limit(1);
    let found = context.database().find(&ClassName::user(), &query).await;
    Ok(found.map_err(read_failed)?.pop())
}

/// Changes a user past permissions and hooks; `None` if the condition does not hold.
///
/// **Atomicity**: the user's. **Idempotency**: only by the condition.
///
/// # Errors
/// Those of a write.
pub(super) async fn write(
    context: &Context,
    id: &ObjectId,
    condition: Filter,
    update: Update,
) -> Result<Option<Written>, CloudError> {
    let write = Write {
        class: ClassName::user(),
        action: Action::Update {
            id: id.clone(),
            precondition: condition,
            update,
            fetch: false,
        },
    };
    match context.database().write(write).await {
        WriteOutcome::Applied(written) => Ok(Some(written)),
        WriteOutcome::NotMatched => Ok(None),
        WriteOutcome::Rejected(error) => Err(error),
        WriteOutcome::Unknown(reason) => Err(outcome_unknown(&reason)),
    }
}
