//! What is special about writing to `_User`: who may, what a user must have, and the secrets, which never pass
//! through hooks.

use secrecy::SecretString;

use super::auth_login;
use super::context::Context;
use super::error::read_failed;
use super::validation::read_only;
use super::{sessions, users};
use crate::model::auth_data::{ANONYMOUS, Unlink};
use crate::model::user_secrets::{PASSWORD_COLUMNS, SESSION_TOKEN, is_secret};
use crate::model::{
    AuthData, ClassName, CloudError, ErrorCode, Filter, Identity, KeyPath, ObjectId, Op, Query, Update, Value,
};

/// Columns that no two users share, with what is said when they would.
const UNIQUE: [(&str, ErrorCode, &str); 3] = [
    (
        "username",
        ErrorCode::USERNAME_TAKEN,
        "Username has already been taken.",
    ),
    (
        "email",
        ErrorCode::EMAIL_TAKEN,
        "The e-mail address has already been taken.",
    ),
    (
        "mobilePhoneNumber",
        ErrorCode::PHONE_TAKEN,
        "The mobile phone number has already been taken.",
    ),
];

/// What a write adds to a user once its before hook has let it pass.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// The new password, not hashed yet.
    password: Option<SecretString>,
    /// Whether there must be a new session token: for a new user, and after every change of the password, so that
    /// whoever knew the old one is logged out.
    new_token: bool,
}

/// Only the user and the master key change a user, whatever the ACL says.
///
/// # Errors
/// 206.
pub(super) async fn require_self(context: &Context, id: &ObjectId) -> Result<(), CloudError> {
    if context.is_master() || context.session_user().await?.as_ref() == Some(id) {
        return Ok(());
    }
    Err(CloudError::new(
        ErrorCode::USER_NOT_THEIRS,
        "The user cannot be altered by a client without the session.",
    ))
}

/// Whether this is a user whom nobody deletes.
///
/// # Errors
/// What the database answers.
pub(super) async fn is_protected(
    context: &Context,
    class: &ClassName,
    id: &ObjectId,
) -> Result<bool, CloudError> {
    let Some(kept) = &context.state().config.protected_users else {
        return Ok(false);
    };
    if *class != ClassName::user() {
        return Ok(false);
    }
    let user = context.database().get(class, id).await.map_err(read_failed)?;
    user.map_or(Ok(false), |user| kept.matches(&user))
}

/// 119: a user whom nobody deletes.
pub(super) fn protected_user() -> CloudError {
    CloudError::new(
        ErrorCode::OPERATION_FORBIDDEN,
        "This user is kept: others rely on what the object holds.",
    )
}

/// Checks a sign-up, and takes the password out of it. With `authData` it needs neither name nor password, and is given
/// a name where it has none.
///
/// # Errors
/// 117; 125; 127; 200; 201; 217; 218.
pub(super) fn check_new(
    context: &Context,
    update: &mut Update,
    data: Option<&AuthData>,
) -> Result<Secrets, CloudError> {
    check_fields(update)?;
    let is_named = update.ops.iter().any(|(path, _)| path.as_str() == "username");
    match data {
        Some(_) if !is_named => {
            let name = auth_login::random_name(context);
            update.ops.push((KeyPath::new("username"), Op::Set(name)));
        }
        None if !is_named => {
            return Err(CloudError::new(
                ErrorCode::USERNAME_MISSING,
                "Username is missing or empty.",
            ));
        }
        _ => {}
    }
    let password = take_password(update)?;
    match data {
        None if password.is_none() => {
            return Err(CloudError::new(
                ErrorCode::PASSWORD_MISSING,
                "Password is missing or empty.",
            ));
        }
        None => {}
        Some(data) => {
            let stored = Value::Object(data.stored());
            update.ops.push((KeyPath::new("authData"), Op::Set(stored)));
        }
    }
    Ok(Secrets {
        password,
        new_token: true,
    })
}

/// Checks a change of a user, takes a new password out of it, and marks a new address or number as not verified.
///
/// # Errors
/// As [`check_new`], but nothing is required.
pub(super) fn check_update(update: &mut Update) -> Result<Secrets, CloudError> {
    check_fields(update)?;
    let password = take_password(update)?;
    for (key, verified) in [
        ("email", "emailVerified"),
        ("mobilePhoneNumber", "mobilePhoneVerified"),
    ] {
        let writes = |key: &str| update.ops.iter().any(|(path, _)| path.column() == key);
        if writes(key) && !writes(verified) {
            update.ops.push((KeyPath::new(verified), Op::Set(false.into())));
        }
    }
    Ok(Secrets {
        new_token: password.is_some(),
        password,
    })
}

/// What a change of a user does to how they log in: links to platforms are put into `update`, and what they claim is
/// answered. A first password ends no session: nobody can have known another.
///
/// # Errors
/// 107, 111, 119, 250 for malformed `authData`; 141, 142 from the app's hook; 211 for an absent user.
pub(super) async fn change_logins(
    context: &Context,
    id: &ObjectId,
    update: &mut Update,
    secrets: &mut Secrets,
) -> Result<Vec<Identity>, CloudError> {
    let taken = AuthData::take(update)?;
    if taken.is_none() && secrets.password.is_none() {
        return Ok(Vec::new());
    }
    let user = users::stored(context, id).await?;
    let (links, mut unlinks) = taken.unwrap_or_default();
    let links = auth_login::verified(context, Some(&user), links).await?;
    let claims = links.claims();
    for identity in &claims {
        auth_login::ensure_index(context, identity).await;
    }
    if secrets.password.is_some() {
        secrets.new_token &= PASSWORD_COLUMNS
            .iter()
            .any(|column| user.get(*column).is_some_and(|value| !value.is_null()));
        // What an imported hash came with is of no use to another.
        let imported = PASSWORD_COLUMNS.iter().skip(1);
        let imported = imported.filter(|column| user.contains_key(**column));
        let deleted = imported.map(|column| (KeyPath::new(column), Op::Delete));
        update.ops.extend(deleted);
        if update.ops.iter().any(|(path, _)| path.as_str() == "username") {
            unlinks.push(Unlink::Platform(ANONYMOUS.to_owned()));
        }
    }
    auth_login::link(&user, &links, &unlinks, update);
    Ok(claims)
}

/// The secrets as operations, to be added behind the before hook, and the new session token where there is one.
///
/// # Errors
/// 429 where too many passwords wait to be hashed.
pub(super) async fn seal(
    context: &Context,
    secrets: Secrets,
    update: &mut Update,
) -> Result<Option<String>, CloudError> {
    if let Some(password) = secrets.password {
        let hash = context
            .state()
            .passwords
            .hash(context.environment(), password)
            .await?;
        update.ops.push((KeyPath::new("password"), Op::Set(hash.into())));
    }
    if !secrets.new_token {
        return Ok(None);
    }
    let token = sessions::new_token(context.environment());
    update
        .ops
        .push((KeyPath::new(SESSION_TOKEN), Op::Set(token.as_str().into())));
    Ok(Some(token))
}

/// Turns a refusal by a unique index (137) into the one for the value that is taken.
pub(super) async fn explain_duplicate(
    context: &Context,
    update: &Update,
    id: Option<&ObjectId>,
    refusal: CloudError,
) -> CloudError {
    if refusal.code != ErrorCode::DUPLICATE_VALUE {
        return refusal;
    }
    for (key, code, text) in UNIQUE {
        let given = update.ops.iter().find(|(path, _)| path.as_str() == key);
        let Some((_, Op::Set(value))) = given else {
            continue;
        };
        match by_key(context, key, value.clone()).await {
            Ok(Some(other)) if other.object_id().as_ref() != id => return CloudError::new(code, text),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
    refusal
}

/// The user with this value, as stored.
pub(super) async fn by_key(
    context: &Context,
    key: &str,
    value: Value,
) -> Result<Option<crate::model::Document>, CloudError> {
    let query = Query::new(Filter::all().eq(key, value)).limit(1);
    let found = context.database().find(&ClassName::user(), &query).await;
    Ok(found.map_err(read_failed)?.pop())
}

/// A new password as text.
///
/// # Errors
/// 201 for anything but text; 218 for a blank one.
pub(super) fn password_of(value: &Value) -> Result<SecretString, CloudError> {
    let Value::String(text) = value else {
        return Err(CloudError::new(
            ErrorCode::PASSWORD_MISSING,
            "Password is missing or empty.",
        ));
    };
    if text.trim().is_empty() {
        return Err(CloudError::new(
            ErrorCode::PASSWORD_BLANK,
            "The password must not be blank.",
        ));
    }
    Ok(SecretString::from(text.as_str()))
}

fn take_password(update: &mut Update) -> Result<Option<SecretString>, CloudError> {
    let Some(index) = update
        .ops
        .iter()
        .position(|(path, _)| path.column() == "password")
    else {
        return Ok(None);
    };
    match update.ops.remove(index) {
        (path, Op::Set(value)) if !path.is_nested() => password_of(&value).map(Some),
        _ => password_of(&Value::Null).map(Some),
    }
}

fn check_fields(update: &Update) -> Result<(), CloudError> {
    for (path, op) in &update.ops {
        match (path.column(), op) {
            ("username", Op::Set(Value::String(name))) if !name.trim().is_empty() => {}
            ("username", _) => {
                return Err(CloudError::new(
                    ErrorCode::USERNAME_BLANK,
                    "The username must not be blank.",
                ));
            }
            ("email", Op::Set(value)) if !value.as_str().is_some_and(is_email) => {
                return Err(CloudError::new(
                    ErrorCode::INVALID_EMAIL,
                    "The e-mail address is invalid.",
                ));
            }
            ("mobilePhoneNumber", Op::Set(value)) if !value.as_str().is_some_and(is_phone) => {
                return Err(CloudError::new(
                    ErrorCode::INVALID_PHONE,
                    "The mobile phone number is invalid.",
                ));
            }
            ("password", _) => {}
            (key, _) if is_secret(key) => return Err(read_only()),
            _ => {}
        }
    }
    Ok(())
}

/// Something, an `@`, something with neither `@` nor blanks. More is for the mail that verifies it.
fn is_email(text: &str) -> bool {
    let blank = |text: &str| text.chars().any(|c| c.is_whitespace() || c.is_control());
    text.len() <= 254
        && !blank(text)
        && text
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

/// Digits, with an optional `+` and country code.
fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (5..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers() {
        for good in ["a@b", "tom@example.com", "first.last+tag@example.co.uk"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "tom", "@b", "a@", "a@b@c", "a b@c", "a@b\n"] {
            assert!(!is_email(bad), "{bad}");
        }
        assert!(is_phone("13800000000") && is_phone("+8613800000000"));
        assert!(!is_phone("1380000000a") && !is_phone("") && !is_phone("+1"));
    }
}
