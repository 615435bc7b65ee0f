//! Class permissions, and the columns that a reader may neither see nor search.

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

/// Whether the class lets `principal` do this.
pub(super) fn allows(class: &Class, right: Right, principal: &Principal) -> bool {
    right.of(&class.permissions).1.allows(principal)
}

/// # Errors
/// 403 where the class does not let `principal` do this.
pub(super) fn require(class: &Class, right: Right, principal: &Principal) -> Result<(), CloudError> {
    let (name, permission) = right.of(&class.permissions);
    if permission.allows(principal) {
        return Ok(());
    }
    let text = format!("Forbidden to {name} by class permissions.");
    Err(CloudError::new(ErrorCode::FORBIDDEN, text))
}

/// New columns need a permission of their own, where not everybody has it.
///
/// # Errors
/// 403; 105 and 111 as [`Class::admit`].
pub(super) fn require_columns(
    class: &Class,
    update: &Update,
    principal: &Principal,
) -> Result<(), CloudError> {
    // The engine adds columns and checks their types; only who is restricted needs the list of them here.
    if allows(class, Right::AddFields, principal) || class.validate(update)?.is_empty() {
        return Ok(());
    }
    require(class, Right::AddFields, principal)
}

/// A query must not find out what it cannot show.
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

/// As [`check_query`], for the condition of a write. What subqueries ask is checked where they are run.
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

/// # Errors
/// 119 where the reader may not see the column.
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
