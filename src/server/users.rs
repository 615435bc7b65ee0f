//! The endpoints of users beside those of every class: login, the own user, change of password and token.

use secrecy::SecretString;

use super::class_rules::user;
use super::context::Context;
use super::error::{no_such_class, no_such_user, not_built_yet, read_failed};
use super::password::{StoredPassword, Verdict};
use super::response::ApiResponse;
use super::visibility::Reader;
use super::{files, hook_caller, query, sessions, user_records};
use crate::model::user_secrets::SESSION_TOKEN;
use crate::model::{
    Class, ClassName, CloudError, Document, ErrorCode, Filter, ObjectId, Principal, Query, Test, Update,
    UserHook, Value,
};

/// `POST /login`: by password and user name, e-mail address or phone number, of which the first counts. Other keys are
/// ignored: one SDK sends all that it knows of the user.
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
    let user = user_records::by_key(context, key, name.into()).await?;
    let user = user.ok_or_else(no_such_user)?;
    require_password(context, &user, password.into()).await?;
    ask_login_hook(context, &user).await?;
    let user = with_token(context, user).await?;
    whole_user(context, user).await
}

/// Asks the app's hook `onLogin`, which may refuse a user.
///
/// # Errors
/// 142; 141 if the hook takes too long; both with HTTP 401.
pub(super) async fn ask_login_hook(context: &Context, user: &Document) -> Result<(), CloudError> {
    let result = hook_caller::ask_user_hook(context, UserHook::Login, Some(user), None).await;
    result.map(drop).map_err(|refusal| refusal.with_status(401))
}

/// `GET /users/<id>`: as any object, and with the session token for the master key: one SDK demands it there, and then
/// acts for the user. `/classes/_User/<id>` and lists never show it.
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
        let user = user_records::by_id(context, &id).await?;
        if let (Some(shown), Some(token)) = (response.fields_mut(), user.get(SESSION_TOKEN)) {
            shown.insert(SESSION_TOKEN.to_owned(), token.clone());
        }
    }
    Ok(response)
}

/// `GET /users/me`: the user whose session token this is.
///
/// # Errors
/// 211 for a missing or invalid token.
pub(super) async fn me(context: &Context, token: Option<&str>) -> Result<ApiResponse, CloudError> {
    let user = match token {
        // The user of the header's token may have been read already.
        Some(token) if Some(token) == context.session_token() => context.session().await?.cloned(),
        Some(token) => sessions::stored_user_by_token(context.database(), token)
            .await
            .map_err(read_failed)?,
        None => None,
    };
    whole_user(context, user.ok_or_else(no_such_user)?).await
}

/// `GET /users/strictlyQuery`: finds users by known values, whatever the class permissions say. The query names the value
/// of an indexed key (a name, an address, a number, an id, or a key that the app has indexed), or else every condition
/// names the value of a column; `skip` is not allowed. So clients that may not search users cannot list them either.
///
/// # Errors
/// 119 for a query that would list users, or that asks for a secret column; 107.
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

/// True if all matches have one value in an indexed key.
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

/// True if every condition asks for known values. Running the query refuses secret columns.
fn asks_for_known(filter: &Filter) -> bool {
    let tells = |value: &Value| match value {
        // A boolean matches half of all users, `null` all without the column.
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

/// `PUT /users/<id>/updatePassword`: changes the password of a user who knows the old one. Every session ends; the response
/// holds the new token.
///
/// # Errors
/// 201; 206; 211; 218; 219; 429; 210 if the old password is not, or no longer, right.
pub(super) async fn update_password(
    context: &Context,
    id: &ObjectId,
    body: &Document,
) -> Result<ApiResponse, CloudError> {
    user::require_self(context, id).await?;
    let user = user_records::by_id(context, id).await?;
    let new = user::password_of(body.get("new_password").unwrap_or(&Value::Null))?;
    let old = user::password_of(body.get("old_password").unwrap_or(&Value::Null))?;
    require_password(context, &user, old).await?;
    let hash = context.state().passwords.hash(context.environment(), new).await?;
    // Of two changes at the same time, one fails: its old password is no longer right.
    let old_hash = user.get("password").cloned().unwrap_or(Value::Null);
    let condition = Filter::all().eq("password", old_hash);
    let update = Update::new()
        .set("password", hash)
        .delete("salt")
        .delete("bcryptPassword");
    new_token(context, id, condition, update).await
}

/// `PUT /users/<id>/refreshSessionToken`: ends every session; the response holds the new token.
///
/// # Errors
/// 206; 211.
pub(super) async fn refresh_token(context: &Context, id: &ObjectId) -> Result<ApiResponse, CloudError> {
    user::require_self(context, id).await?;
    user_records::by_id(context, id).await?;
    new_token(context, id, Filter::all(), Update::new()).await
}

/// Requires the right password, and counts a wrong one.
///
/// # Errors
/// 210; 219 after too many wrong ones; 429.
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

/// Replaces an imported hash by one of Argon2id. A failure does not fail the login.
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
        user_records::write(context, id, Filter::all().eq("password", before), update).await
    };
    if let Err(error) = replaced.await {
        tracing::warn!(%error, "replacing an imported password hash failed");
    }
}

fn mismatch() -> CloudError {
    CloudError::new(
        ErrorCode::PASSWORD_MISMATCH,
        "The username and password mismatch.",
    )
}

/// Returns the user with a session token: the one that all sessions share, or a first one.
///
/// # Errors
/// 211; those of a write.
pub(super) async fn with_token(context: &Context, user: Document) -> Result<Document, CloudError> {
    if user.text(SESSION_TOKEN).is_some() {
        return Ok(user);
    }
    let id = user.object_id().ok_or_else(no_such_user)?;
    let token = sessions::new_token(context.environment());
    let condition = Filter::all().exists(SESSION_TOKEN, false);
    let update = Update::new().set(SESSION_TOKEN, token);
    user_records::write(context, &id, condition, update).await?;
    // Of two logins at the same time, both get the token of the faster one.
    user_records::by_id(context, &id).await
}

/// Changes a user and gives them a new session token.
async fn new_token(
    context: &Context,
    id: &ObjectId,
    condition: Filter,
    update: Update,
) -> Result<ApiResponse, CloudError> {
    let token = sessions::new_token(context.environment());
    let update = update.set(SESSION_TOKEN, token.as_str());
    let written = user_records::write(context, id, condition, update)
        .await?
        .ok_or_else(mismatch)?;
    let updated_at = written.updated_at.map(|time| time.to_string());
    Ok(ApiResponse::ok(serde_json::json!({
        "updatedAt": updated_at,
        "objectId": id.as_str(),
        "sessionToken": token,
    })))
}

/// The response with a whole user: as the user sees it, with the token.
///
/// # Errors
/// 101 if the class `_User` is absent.
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
