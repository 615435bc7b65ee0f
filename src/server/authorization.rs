//! Class permissions, and the columns that a caller may not search.

use crate::model::user_secrets::is_secret;
use crate::model::{
    Class, ClassPermissions, CloudError, ErrorCode, Filter, KeyPath, Permission, Principal, Query, Update,
};

/// One of the permissions of a class.
#[derive(Clone, Copy, Debug)]
pub(super) enum Right {
    AddFields,
    Create,
    Delete,
    Find,
    Get,
    Update,
}

impl Right {
    fn of(self, permissions: &ClassPermissions) -> (&'static str, &Permission) {
        match self {
            Self::AddFields => ("add_fields", &permissions.add_fields),
            Self::Create => ("create", &permissions.create),
            Self::Delete => ("delete", &permissions.delete),
            Self::Find => ("find", &permissions.find),
            Self::Get => ("get", &permissions.get),
            Self::Update => ("update", &permissions.update),
        }
    }
}

/// True if the class permits this to `principal`.
pub(super) fn allows(class: &Class, right: Right, principal: &Principal) -> bool {
    right.of(&class.permissions).1.allows(principal)
}

/// Requires a permission of the class.
///
/// # Errors
/// 403.
pub(super) fn require(class: &Class, right: Right, principal: &Principal) -> Result<(), CloudError> {
    let (name, permission) = right.of(&class.permissions);
    if permission.allows(principal) {
        return Ok(());
    }
    let text = format!("Forbidden to {name} by class permissions.");
    Err(CloudError::new(ErrorCode::FORBIDDEN, text))
}

/// Requires the permission for new columns, if the write adds some.
///
/// # Errors
/// 403; 105 and 111 as [`Class::validate`].
pub(super) fn require_columns(
    class: &Class,
    update: &Update,
    principal: &Principal,
) -> Result<(), CloudError> {
    // The engine adds columns and checks their types; only a restricted caller needs the list here.
    if allows(class, Right::AddFields, principal) || class.validate(update)?.is_empty() {
        return Ok(());
    }
    require(class, Right::AddFields, principal)
}

/// Checks that a query does not search or order by columns that its caller may not see.
///
/// # Errors
/// 119.
pub(super) fn check_query(class: &Class, query: &Query, principal: &Principal) -> Result<(), CloudError> {
    check_filter(class, &query.filter, principal)?;
    query
        .order
        .iter()
        .try_for_each(|order| check_key(class, &order.key, principal))
}

/// As [`check_query`], for the condition of a write. Subqueries are checked when they run.
///
/// # Errors
/// 119.
pub(super) fn check_filter(class: &Class, filter: &Filter, principal: &Principal) -> Result<(), CloudError> {
    match filter {
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => parts
            .iter()
            .try_for_each(|part| check_filter(class, part, principal)),
        Filter::Key(path, _) => check_key(class, path, principal),
        Filter::RelatedTo { .. } => Ok(()),
    }
}

/// Checks that the caller may see a column.
///
/// # Errors
/// 119.
pub(super) fn check_key(class: &Class, path: &KeyPath, principal: &Principal) -> Result<(), CloudError> {
    let key = path.column();
    let user = class.name.as_str() == "_User";
    let forbidden = (user && is_secret(key))
        || (!principal.is_master()
            && ((user && key == "authData") || class.columns.get(key).is_some_and(|column| column.hidden)));
    if forbidden {
        return Err(CloudError::new(
            ErrorCode::OPERATION_FORBIDDEN,
            "That operation isn't allowed for clients.",
        ));
    }
    Ok(())
}
