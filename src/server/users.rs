//! The endpoints of users beside those of every class: logging in, who am I, changing password and token.

use secrecy::SecretString;

use super::context::Context;
use super::error::{no_such_class, no_such_user, not_built_yet, outcome_unknown, read_failed};
use super::password::{StoredPassword, Verdict};
use super::response::ApiResponse;
use super::visibility::Reader;
use super::{files, hook_caller, query, sessions, user_rules};
use crate::model::user_secrets::SESSION_TOKEN;
use crate::model::{
    Class, ClassName, CloudError, Document, ErrorCode, Filter, ObjectId, Principal, Query, Test, Update,
    UserHook, Value,
};
use crate::store::{Action, Write, WriteOutcome, Written};

/// `POST /login`: by user name, e-mail address or phone number, in this order of preference, and password. Other keys
/// are ignored: one SDK sends all that it knows of the user.
///
/// # Errors
/// 200, 201 for missing keys; 210; 211; 219; 429; 141, 142 from the app's hook.
pub(super) async fn log_in(context: &Context, body: &Document) -> Result<ApiResponse, CloudError> {
    let name = ["username", "email", "mobilePhoneNumber"]
        .into_iter()
        .find_map(|key| body.text(key).map(|text| (key, text)));
    let Some((key, name)) = name else {
        return Err(CloudError::new(
            ErrorCode::USERNAME_MISSING,
            "Username, e-mail or phone number is missing.",
        ));
    };
    let Some(password) = body.text("password") else {
        if body.contains_key("smsCode") {
            return Err(not_built_yet("Logging in with an SMS code"));
        }
        return Err(CloudError::new(
            ErrorCode::PASSWORD_MISSING,
            "Password is missing or empty.",
        ));
    };
    let user = user_rules::by_key(context, key, name.into()).await?;
    let user = user.ok_or_else(no_such_user)?;
    require_password(context, &user, password.into()).await?;
    ask_login_hook(context, &user).await?;
    let user = with_token(context, user).await?;
    whole_user(context, user).await
}

/// The app's own hook may keep a user out.
///
/// # Errors
/// 142, and 141 where the hook takes too long, both with HTTP 401.
pub(super) async fn ask_login_hook(context: &Context, user: &Document) -> Result<(), CloudError> {
    let answer = hook_caller::ask_user_hook(context, UserHook::Login, Some(user), None).await;
    answer.map(drop).map_err(|refusal| refusal.with_status(401))
}

/// `GET /users/<id>`: as any object. The master key is shown the session token, which one SDK demands there and then acts
/// for the user with; `/classes/_User/<id>` and lists show it to nobody.
///
/// # Errors
/// Those of a read.
pub(super) async fn get(
    context: &Context,
    id: &str,
    parameters: &Document,
) -> Result<ApiResponse, CloudError> {
    let mut response = query::get(context, &ClassName::user(), id, parameters).await?;
    if let (true, Ok(id)) = (context.is_master(), ObjectId::parse(id)) {
        let user = stored(context, &id).await?;
        if let (Some(shown), Some(token)) = (response.fields_mut(), user.get(SESSION_TOKEN)) {
            shown.insert(SESSION_TOKEN.to_owned(), token.clone());
        }
    }
    Ok(response)
}

/// `GET /users/me`: the user whose session token this is.
///
/// # Errors
/// 211 for a token that is missing or not valid.
pub(super) async fn me(context: &Context, token: Option<&str>) -> Result<ApiResponse, CloudError> {
    let user = match token {
        // The header's token may have been looked up already.
        Some(token) if Some(token) == context.session_token() => context.session().await?.cloned(),
        Some(token) => sessions::stored_user_by_token(context.database(), token)
            .await
            .map_err(read_failed)?,
        None => None,
    };
    whole_user(context, user.ok_or_else(no_such_user)?).await
}

/// `GET /users/strictlyQuery`: users by what is known of them, whatever the class permission says. An indexed key must be
/// asked for by its value (a name, an address, a number, an id, or what the app has made an index for), or else every
/// condition must ask for the value of a column. Nobody skips. So nobody pages through the users who cannot search them.
///
/// # Errors
/// 119 for a query that would list users, or asks for what is secret; 107.
pub(super) async fn strictly_query(
    context: &Context,
    parameters: &Document,
) -> Result<ApiResponse, CloudError> {
    let class_name = ClassName::user();
    let schema = context.schema();
    let class = schema.classes.get(&class_name).ok_or_else(no_such_class)?;
    let query = Query::parse(parameters)?;
    let is_known = asks_for_one(class, &query.filter) || asks_for_known(&query.filter);
    if !context.is_master() && (!is_known || query.skip > 0) {
        let text =
            "This query asks for the values of columns, none of them empty or a boolean, and does not skip.";
        return Err(CloudError::new(ErrorCode::OPERATION_FORBIDDEN, text));
    }
    query::find_permitted(context, &schema, class, query).await
}

/// Whether what matches has one value in an indexed key.
fn asks_for_one(class: &Class, filter: &Filter) -> bool {
    let is_indexed = |key: &str| {
        let mut first = class.indexes.iter().filter_map(|index| index.keys.first());
        key == "objectId" || first.any(|indexed| indexed == key)
    };
    match filter {
        Filter::And(parts) => parts.iter().any(|part| asks_for_one(class, part)),
        Filter::Key(path, Test::Eq(Value::String(text))) => !text.is_empty() && is_indexed(path.as_str()),
        _ => false,
    }
}

/// Whether every condition asks for values that are known. What is secret may not be asked for at all, which is checked
/// where the query is run.
fn asks_for_known(filter: &Filter) -> bool {
    let tells = |value: &Value| match value {
        // One of two would be half of all users, and `null` those without.
        Value::Null | Value::Bool(_) => false,
        Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    };
    match filter {
        Filter::And(parts) | Filter::Or(parts) => !parts.is_empty() && parts.iter().all(asks_for_known),
        Filter::Key(path, _) if path.column() == "ACL" => false,
        Filter::Key(_, Test::Eq(value)) => tells(value),
        Filter::Key(_, Test::In(values)) => !values.is_empty() && values.iter().all(tells),
        _ => false,
    }
}

/// `PUT /users/<id>/updatePassword`: a new password for who knows the old one; every session ends, the answer holds
/// the new token.
///
/// # Errors
/// 201; 206; 211; 218; 219; 429; 210 for a password that is not, or no longer, right.
pub(super) async fn update_password(
    context: &Context,
    id: &ObjectId,
    body: &Document,
) -> Result<ApiResponse, CloudError> {
    user_rules::require_self(context, id).await?;
    let user = stored(context, id).await?;
    let new = user_rules::password_of(body.get("new_password").unwrap_or(&Value::Null))?;
    let old = user_rules::password_of(body.get("old_password").unwrap_or(&Value::Null))?;
    require_password(context, &user, old).await?;
    let hash = context.state().passwords.hash(context.environment(), new).await?;
    // Of two who change the password at the same time, one is told that the old one is no longer right.
    let old_hash = user.get("password").cloned().unwrap_or(Value::Null);
    let guard = Filter::all().eq("password", old_hash);
    let update = Update::new()
        .set("password", hash)
        .delete("salt")
        .delete("bcryptPassword");
    new_token(context, id, guard, update).await
}

/// `PUT /users/<id>/refreshSessionToken`: ends every session; the answer holds the new token.
///
/// # Errors
/// 206; 211.
pub(super) async fn refresh_token(context: &Context, id: &ObjectId) -> Result<ApiResponse, CloudError> {
    user_rules::require_self(context, id).await?;
    stored(context, id).await?;
    new_token(context, id, Filter::all(), Update::new()).await
}

/// The user as stored.
///
/// # Errors
/// 211.
pub(super) async fn stored(context: &Context, id: &ObjectId) -> Result<Document, CloudError> {
    let user = context
        .database()
        .get(&ClassName::user(), id)
        .await
        .map_err(read_failed)?;
    user.ok_or_else(no_such_user)
}

async fn require_password(
    context: &Context,
    user: &Document,
    password: SecretString,
) -> Result<(), CloudError> {
    let id = user.object_id().ok_or_else(no_such_user)?;
    let state = context.state();
    let attempt = state.login_limiter.attempt(id.clone(), context.environment());
    let stored = StoredPassword::of(user);
    match state.passwords.verify(attempt, stored, password.clone()).await? {
        Verdict::Right => {}
        Verdict::RightByImportedHash => replace_imported(context, user, &id, password).await,
        Verdict::Wrong => return Err(mismatch()),
    }
    Ok(())
}

/// Puts a hash of Argon2id in the place of one that was imported. The login does not depend on it.
async fn replace_imported(context: &Context, user: &Document, id: &ObjectId, password: SecretString) {
    let replaced = async {
        let hash = context
            .state()
            .passwords
            .hash(context.environment(), password)
            .await?;
        let update = Update::new()
            .set("password", hash)
            .delete("salt")
            .delete("bcryptPassword");
        let before = user.get("password").cloned().unwrap_or(Value::Null);
        write(context, id, Filter::all().eq("password", before), update).await
    };
    if let Err(error) = replaced.await {
        tracing::warn!(%error, "an imported password keeps its old hash until the next login");
    }
}

fn mismatch() -> CloudError {
    CloudError::new(
        ErrorCode::PASSWORD_MISMATCH,
        "The username and password mismatch.",
    )
}

/// The user with a session token: the one that all their sessions share, or a first one.
///
/// # Errors
/// 211; those of a write.
pub(super) async fn with_token(context: &Context, user: Document) -> Result<Document, CloudError> {
    if user.text(SESSION_TOKEN).is_some() {
        return Ok(user);
    }
    let id = user.object_id().ok_or_else(no_such_user)?;
    let token = sessions::new_token(context.environment());
    let guard = Filter::all().exists(SESSION_TOKEN, false);
    let update = Update::new().set(SESSION_TOKEN, token);
    write(context, &id, guard, update).await?;
    // Somebody else may have been faster: then theirs is the token of both.
    stored(context, &id).await
}

async fn new_token(
    context: &Context,
    id: &ObjectId,
    guard: Filter,
    update: Update,
) -> Result<ApiResponse, CloudError> {
    let token = sessions::new_token(context.environment());
    let update = update.set(SESSION_TOKEN, token.as_str());
    let written = write(context, id, guard, update).await?.ok_or_else(mismatch)?;
    let updated_at = written.updated_at.map(|time| time.to_string());
    Ok(ApiResponse::ok(serde_json::json!({
        "updatedAt": updated_at,
        "objectId": id.as_str(),
        "sessionToken": token,
    })))
}

/// A write of the server's own, past permissions and hooks; `None` where the condition does not hold.
///
/// # Errors
/// Those of a write.
pub(super) async fn write(
    context: &Context,
    id: &ObjectId,
    guard: Filter,
    update: Update,
) -> Result<Option<Written>, CloudError> {
    let write = Write {
        class: ClassName::user(),
        action: Action::Update {
            id: id.clone(),
            guard,
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

/// The user as they see themselves, with the token.
///
/// # Errors
/// 101 where there are no users at all.
pub(super) async fn whole_user(context: &Context, user: Document) -> Result<ApiResponse, CloudError> {
    let class = context.class(&ClassName::user()).ok_or_else(no_such_class)?;
    let token = user.get(SESSION_TOKEN).cloned();
    let own = Principal::Client {
        user: user.object_id(),
        roles: Vec::new(),
    };
    let reader = Reader {
        principal: &own,
        acl: false,
    };
    let mut shown = [reader.visible(&class, user)];
    files::expand_files(context, &context.schema(), &class, None, &mut shown).await?;
    let [mut shown] = shown;
    if let Some(token) = token {
        shown.insert(SESSION_TOKEN.to_owned(), token);
    }
    Ok(ApiResponse::ok(shown.0))
}
