//! Logging in and linking by `authData`: what another platform says about a user.
//!
//! Nothing here asks the platform whether it is true. That is what the hook `onAuthData` is for.

use std::sync::Arc;

use super::context::Context;
use super::error::no_such_user;
use super::parameters::flag;
use super::response::ApiResponse;
use super::write_path::{self, Change, WriteRequest};
use super::{hook_caller, sessions, user_rules, users};
use crate::model::auth_data::{ANONYMOUS, Unlink};
use crate::model::{
    AuthData, Class, ClassName, CloudError, Document, ErrorCode, Filter, Identity, Index, KeyPath, ObjectId,
    Op, Query, SchemaChange, Update, UserHook, Value,
};

/// Users up to which an identity of a platform that was never seen before gets an index by itself: to build it takes
/// the writer a tenth of a second then. In a larger class it is for the master key to add, and until then logging in
/// by that platform reads every user.
const USERS_INDEXED_MAX: u64 = 5_000;

/// Identities that get an index by themselves, since each costs a column.
const INDEXES_MAX: usize = 32;

/// Whether this creation is a login by `authData`.
pub(super) fn is_login(request: &WriteRequest) -> bool {
    request.class.as_str() == "_User"
        && matches!(request.change, Change::Create)
        && request.body.get("authData").is_some_and(|data| !data.is_null())
}

/// `POST /users` with `authData`: the user who is known by it (200), or else a new one (201). A session that the
/// request shows has no say. Two who come first at the same time are one user.
///
/// # Errors
/// 107, 250; 211 with `failOnNotExist` where nobody is known; 141, 142 from the hooks; those of a sign-up.
pub(super) async fn log_in(
    context: &Arc<Context>,
    mut request: WriteRequest,
) -> Result<ApiResponse, CloudError> {
    let given = request.body.shift_remove("authData").unwrap_or_default();
    let given = AuthData::parse(&given)?;
    let data = verified(context, None, given).await?;
    if data.is_empty() {
        return Err(CloudError::new(
            ErrorCode::AUTH_DATA_INCOMPLETE,
            "'authData' names no platform.",
        ));
    }
    let identities = data.identities();
    for identity in &identities {
        ensure_index(context, identity).await;
    }
    if let Some(user) = find(context, &identities).await? {
        return welcome(context, user, &data).await;
    }
    if flag(&request.parameters, "failOnNotExist") {
        return Err(no_such_user());
    }
    request.change = Change::SignUp(data.clone());
    match Box::pin(write_path::perform(context, request)).await {
        Err(error) if error.code == ErrorCode::DUPLICATE_VALUE => {
            // Somebody with the same identity was faster.
            match find(context, &identities).await? {
                Some(user) => welcome(context, user, &data).await,
                None => Err(error),
            }
        }
        answer => answer,
    }
}

/// Logs a known user in, and keeps what the platform now says.
async fn welcome(context: &Context, user: Document, data: &AuthData) -> Result<ApiResponse, CloudError> {
    let id = user.object_id().ok_or_else(no_such_user)?;
    users::ask_login_hook(context, &user).await?;
    let mut update = Update::new();
    link(&user, data, &[], &mut update);
    let _turn = context.state().links.lock().await;
    require_free(context, &data.claims(), Some(&id)).await?;
    users::write(context, &id, Filter::all(), update).await?;
    let user = users::stored(context, &id).await?;
    let user = users::with_token(context, user).await?;
    users::whole_user(context, user).await
}

/// What the app's own hook makes of it; the data as given where there is none. Only then every platform must say who
/// the user is: the hook may be what exchanges a code for that.
///
/// # Errors
/// 141, 142; 107 for a hook's answer that is none; 250 where a platform does not say who the user is.
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
    let answer = hook_caller::ask_user_hook(context, UserHook::AuthData, user, given).await?;
    let data = match answer {
        Some(answer) if !answer.is_empty() => AuthData::parse(&answer.into_value())?,
        _ => data,
    };
    data.require_identities()?;
    Ok(data)
}

/// A change of a user's `authData`, as operations that fit what is stored, at the end of `update`.
///
/// A user who links a platform is no longer anonymous.
pub(super) fn link(user: &Document, links: &AuthData, unlinks: &[Unlink], update: &mut Update) {
    let before = user.get("authData");
    let mut more = Vec::new();
    if let (Some(Value::Null), false) = (before, links.is_empty()) {
        // Users of old may hold `null`, into which nothing can be put.
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
    // What takes everything away comes first.
    more.sort_by_key(|(path, op)| path.is_nested() || matches!(op, Op::Set(_)));
    update.ops.extend(more);
}

/// Whether none of the identities is somebody else's. To be asked with [`Links`] held, until the write is done.
///
/// # Errors
/// 137.
pub(super) async fn require_free(
    context: &Context,
    identities: &[Identity],
    own: Option<&ObjectId>,
) -> Result<(), CloudError> {
    for identity in identities {
        let holder = user_rules::by_key(context, &identity.path, identity.value.clone()).await?;
        if holder.is_some_and(|holder| holder.object_id().as_ref() != own) {
            return Err(CloudError::new(
                ErrorCode::DUPLICATE_VALUE,
                "A unique field was given a value that is already taken.",
            ));
        }
    }
    Ok(())
}

/// The user whom the first known identity leads to.
async fn find(context: &Context, identities: &[Identity]) -> Result<Option<Document>, CloudError> {
    for identity in identities {
        let found = user_rules::by_key(context, &identity.path, identity.value.clone()).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Gives a new kind of identity a unique index, where that is cheap. Without one logging in works, but reads every user.
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
    // One more than the bound is enough to know, and no more than that is read.
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
        tracing::warn!(key = %identity.path, %error, "users of this platform get no index");
    }
}

fn is_indexed(class: &Class, key: &str) -> bool {
    class
        .indexes
        .iter()
        .any(|index| index.keys.first().is_some_and(|first| first == key))
}

/// Fits a user's name to a sign-up that brings none.
pub(super) fn random_name(context: &Context) -> Value {
    Value::String(sessions::new_token(context.environment()))
}
