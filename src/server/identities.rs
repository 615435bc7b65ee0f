//! Identities of users on other platforms (`authData`): verifying, linking, finding.

use super::context::Context;
use super::{hook_caller, user_records};
use crate::model::auth_data::{ANONYMOUS, Unlink};
use crate::model::{
    AuthData, Class, ClassName, CloudError, Document, ErrorCode, Filter, Identity, Index, KeyPath, ObjectId,
    Op, Query, SchemaChange, Update, UserHook, Value,
};

/// Users up to which the first identity of a new platform adds an index: building it takes the writer a tenth of a second
/// then. In a larger class the master key must add it; until then a login by that platform reads every user.
const USERS_INDEXED_MAX: u64 = 5_000;

/// Indexes of identities that are added by themselves; each costs a column.
const INDEXES_MAX: usize = 32;

/// Returns the data as the app's hook `onAuthData` wants it; unchanged without such a hook. Every platform must name the
/// user only after the hook, which may exchange a code for the name.
///
/// # Errors
/// 141, 142; 107 for a malformed result of the hook; 250 if a platform does not name the user.
pub(super) async fn verified(
    context: &Context,
    user: Option<&Document>,
    data: AuthData,
) -> Result<AuthData, CloudError> {
    if data.is_empty() {
        return Ok(data);
    }
    let given = match data.to_value() {
        Value::Object(given) => Some(Document(given)),
        _ => None,
    };
    let returned = hook_caller::ask_user_hook(context, UserHook::AuthData, user, given).await?;
    let data = match returned {
        Some(returned) if !returned.is_empty() => AuthData::parse(&returned.into_value())?,
        _ => data,
    };
    data.require_identities()?;
    Ok(data)
}

/// Adds a change of a user's `authData` to `update`, as operations that fit the stored user.
///
/// A user who links a platform is no longer anonymous.
pub(super) fn link(user: &Document, links: &AuthData, unlinks: &[Unlink], update: &mut Update) {
    let before = user.get("authData");
    let mut more = Vec::new();
    if let (Some(Value::Null), false) = (before, links.is_empty()) {
        // Older users may hold `null`, which takes no nested key.
        more.push((KeyPath::new("authData"), Op::Set(Value::Object(links.stored()))));
    } else {
        for (platform, data) in links.stored() {
            let path = KeyPath::new(&format!("authData.{platform}"));
            more.push((path, Op::Set(data)));
        }
    }
    let has = |platform: &str| before.and_then(|data| data.get(platform)).is_some();
    if links.is_named() && has(ANONYMOUS) {
        more.push(Unlink::Platform(ANONYMOUS.to_owned()).to_op());
    }
    for unlink in unlinks {
        match unlink {
            Unlink::Platform(platform) if !has(platform) => {}
            unlink => more.push(unlink.to_op()),
        }
    }
    // An operation on the whole column comes first.
    more.sort_by_key(|(path, op)| path.is_nested() || matches!(op, Op::Set(_)));
    update.ops.extend(more);
}

/// Requires that no other user has one of the identities. The caller holds the lock
/// [`links`](super::state::ServerState::links) until the write is done.
///
/// # Errors
/// 137.
pub(super) async fn require_free(
    context: &Context,
    identities: &[Identity],
    own: Option<&ObjectId>,
) -> Result<(), CloudError> {
    for identity in identities {
        let holder = user_records::by_key(context, &identity.path, identity.value.clone()).await?;
        if holder.is_some_and(|holder| holder.object_id().as_ref() != own) {
            return Err(CloudError::new(
                ErrorCode::DUPLICATE_VALUE,
                "A unique field was given a value that is already taken.",
            ));
        }
    }
    Ok(())
}

/// Returns the user of the first identity that is known.
///
/// # Errors
/// Those of a read.
pub(super) async fn find(context: &Context, identities: &[Identity]) -> Result<Option<Document>, CloudError> {
    for identity in identities {
        let found = user_records::by_key(context, &identity.path, identity.value.clone()).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Adds a unique index for a new kind of identity, if that is cheap. Without an index a login works, but reads every user.
pub(super) async fn ensure_index(context: &Context, identity: &Identity) {
    let Some(class) = context.class(&ClassName::user()) else {
        return;
    };
    if is_indexed(&class, &identity.path) {
        return;
    }
    let indexes = class
        .indexes
        .iter()
        .filter(|index| index.keys.first().is_some_and(|key| key.starts_with("authData.")));
    let full = indexes.count() >= INDEXES_MAX;
    // One user beyond the bound is enough to know.
    let query = Query {
        skip: u32::try_from(USERS_INDEXED_MAX).unwrap_or(u32::MAX),
        ..Query::new(Filter::all()).limit(1)
    };
    let large = match context.database().find(&ClassName::user(), &query).await {
        Ok(found) => !found.is_empty(),
        Err(_) => true,
    };
    if full || large {
        tracing::warn!(
            key = %identity.path,
            "logging in by this platform reads every user: add a unique, sparse index on the key to _User"
        );
        return;
    }
    let index = Index {
        keys: vec![identity.path.clone()],
        unique: true,
        sparse: true,
    };
    let change = SchemaChange::AddIndex(ClassName::user(), index);
    if let Err(error) = context.database().define(change).await {
        tracing::warn!(key = %identity.path, %error, "adding an index for this platform failed");
    }
}

fn is_indexed(class: &Class, key: &str) -> bool {
    class
        .indexes
        .iter()
        .any(|index| index.keys.first().is_some_and(|first| first == key))
}
