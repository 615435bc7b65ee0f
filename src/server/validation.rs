//! Checks of a write that are the same for all classes.

use crate::model::{
    Class, ClassName, CloudError, Document, ErrorCode, KeyPath, ObjectId, Op, Principal, Update, Value,
};

/// Keys of a body that are never written: options of the write, and keys that only the server sets.
const RESERVED: [&str; 10] = [
    "objectId",
    "createdAt",
    "updatedAt",
    "className",
    "__type",
    "__ignore_hooks",
    "__before",
    "__after",
    "__sign",
    "_updatedKeys",
];

/// Reads the class name of a request.
///
/// # Errors
/// 103.
pub(super) fn class_name(text: &str) -> Result<ClassName, CloudError> {
    // An old spelling of the REST guide and of the Go SDK.
    let text = if text == "files" { "_File" } else { text };
    let name = ClassName::parse(text)?;
    if !name.is_reachable() {
        return Err(CloudError::new(
            ErrorCode::INVALID_CLASS_NAME,
            format!("Invalid class name '{text}': only LeanCloud's own classes start with '_'."),
        ));
    }
    Ok(name)
}

/// The body without the reserved keys.
pub(super) fn without_reserved(mut body: Document) -> Document {
    if body.keys().any(|key| RESERVED.contains(&key.as_str())) {
        body.retain(|key, _| !RESERVED.contains(&key.as_str()));
    }
    body
}

/// Checks that a client does not write read-only columns.
///
/// # Errors
/// 117: a read-only column.
pub(super) fn check_writable(
    class: &Class,
    update: &Update,
    principal: &Principal,
) -> Result<(), CloudError> {
    if principal.is_master() {
        return Ok(());
    }
    for (path, _) in &update.ops {
        if class
            .columns
            .get(path.column())
            .is_some_and(|column| column.read_only)
        {
            return Err(read_only());
        }
    }
    Ok(())
}

/// Checks that no required column becomes `null` or is deleted. The database checks that it is there.
///
/// # Errors
/// 113.
pub(super) fn check_required(class: &Class, update: &Update) -> Result<(), CloudError> {
    let empties = |op: &Op| matches!(op, Op::Delete | Op::Set(Value::Null));
    let missing = update.ops.iter().find(|(path, op)| {
        let column = class.columns.get(path.as_str());
        empties(op) && column.is_some_and(|column| column.required)
    });
    match missing {
        None => Ok(()),
        Some((path, _)) => Err(CloudError::new(
            ErrorCode::KEY_REQUIRED,
            format!("Key is required. The column is: '{path}'."),
        )),
    }
}

/// 117: a read-only column.
pub(super) fn read_only() -> CloudError {
    CloudError::new(ErrorCode::KEY_READ_ONLY, "The key is read only.")
}

/// Gives a new object the default ACL of its class, unless it has an ACL.
pub(super) fn default_acl(class: &Class, update: &mut Update, user: Option<&ObjectId>) {
    if let Some(acl) = &class.default_acl
        && !update.ops.iter().any(|(path, _)| path.as_str() == "ACL")
    {
        update
            .ops
            .push((KeyPath::new("ACL"), Op::Set(acl_for(acl, user))));
    }
}

/// The default ACL of a class for this user, who takes the place of `_owner`.
fn acl_for(acl: &Value, user: Option<&ObjectId>) -> Value {
    let Some(entries) = acl.as_object() else {
        return acl.clone();
    };
    let entries = entries
        .iter()
        .filter_map(|(key, rights)| match (key.as_str(), user) {
            ("_owner", Some(user)) => Some((user.to_string(), rights.clone())),
            ("_owner", None) => None,
            _ => Some((key.clone(), rights.clone())),
        });
    Value::Object(entries.collect())
}
