//! Roles: which ones hold a user, and what a `_Role` must look like.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{
    ClassName, CloudError, ColumnType, ErrorCode, Filter, KeyPath, ObjectId, Op, Pointer, Query, Schema,
    Update,
};
use crate::store::{Database, ReadError};

/// The roles that one user may be in, inherited ones included: bounds the reads of a request.
const ROLES_MAX: usize = 1000;

/// The longest role name, in bytes: it must fit into an index and into ACL keys.
const NAME_BYTES_MAX: usize = 128;

/// Users whose roles are remembered. Beyond it all are forgotten: there is no order in which they are asked for.
const USERS_REMEMBERED_MAX: usize = 50_000;

/// The roles of users, as of one state of `_Role`.
///
/// Whatever changes who is in which role is a write of `_Role`, and the store counts these. What is remembered holds
/// for the count at which it was read.
#[derive(Debug, Default)]
pub(super) struct RoleCache(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    writes: u64,
    names: HashMap<ObjectId, Arc<[String]>>,
}

impl RoleCache {
    /// The names of all roles that hold the user, directly or through a role that they hold. The one place that knows.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(super) async fn names_of(
        &self,
        database: &dyn Database,
        user: &ObjectId,
    ) -> Result<Vec<String>, ReadError> {
        // Asked before anything is read: what is written meanwhile raises the count.
        let Some(modified) = database.last_modified(&ClassName::role()) else {
            return read_names(database, user).await;
        };
        if let Some(names) = self.at(modified.writes).names.get(user) {
            return Ok(names.to_vec());
        }
        let names = read_names(database, user).await?;
        let mut remembered = self.at(modified.writes);
        if remembered.writes == modified.writes {
            if remembered.names.len() >= USERS_REMEMBERED_MAX {
                remembered.names.clear();
            }
            remembered.names.insert(user.clone(), names.as_slice().into());
        }
        Ok(names)
    }

    /// What is remembered, emptied where it is older than `writes`.
    fn at(&self, writes: u64) -> MutexGuard<'_, Remembered> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.writes < writes {
            remembered.names.clear();
            remembered.writes = writes;
        }
        remembered
    }
}

/// A role's `roles` relation lists its child roles, whose members have the parent's rights too.
async fn read_names(database: &dyn Database, user: &ObjectId) -> Result<Vec<String>, ReadError> {
    let schema = database.schema();
    let class = ClassName::role();
    if !has_relation(&schema, &class, "users") {
        return Ok(Vec::new());
    }
    let inherited = has_relation(&schema, &class, "roles");
    let mut open = database
        .owners(&class, "users", &[pointer(ClassName::user(), user)])
        .await?;
    let mut held = BTreeSet::new();
    while let Some(role) = open.pop() {
        if held.len() >= ROLES_MAX || !held.insert(role.clone()) || !inherited {
            continue;
        }
        open.extend(
            database
                .owners(&class, "roles", &[pointer(class.clone(), &role)])
                .await?,
        );
    }
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let ids = held.iter().map(|id| id.as_str().into()).collect();
    let query = Query::new(Filter::all().one_of("objectId", ids)).limit(Query::LIMIT_MAX);
    let roles = database.find(&class, &query).await?;
    Ok(roles
        .iter()
        .filter_map(|role| role.text("name").map(ToOwned::to_owned))
        .collect())
}

fn pointer(class_name: ClassName, id: &ObjectId) -> Pointer {
    Pointer {
        class_name,
        object_id: id.clone(),
    }
}

fn has_relation(schema: &Schema, class: &ClassName, key: &str) -> bool {
    let column = schema.classes.get(class).and_then(|class| class.columns.get(key));
    column.is_some_and(|column| matches!(column.column_type, ColumnType::Relation { .. }))
}

/// What a new role must have: an ACL, and a name of letters, digits, `_`, `-` and blanks.
///
/// # Errors
/// 1, 139.
pub(super) fn check_new(update: &Update) -> Result<(), CloudError> {
    let given = |key: &str| update.ops.iter().find(|(path, _)| path.as_str() == key);
    if !matches!(given("ACL"), Some((_, Op::Set(_)))) {
        return Err(no_acl());
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b' ');
    match given("name") {
        Some((_, Op::Set(crate::model::Value::String(name))))
            if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal) =>
        {
            Ok(())
        }
        _ => Err(CloudError::new(
            ErrorCode::INVALID_ROLE_NAME,
            "Invalid role name: letters, digits, '_', '-' and blanks only.",
        )),
    }
}

fn no_acl() -> CloudError {
    CloudError::other("Role ACL is required.")
}

/// A role keeps its name, as ACLs refer to it, and an ACL, as everybody could join it otherwise.
///
/// # Errors
/// 1, 139.
pub(super) fn check_update(update: &Update) -> Result<(), CloudError> {
    let drops_acl = |(path, op): &(KeyPath, Op)| path.column() == "ACL" && !matches!(op, Op::Set(_));
    if update.ops.iter().any(drops_acl) {
        return Err(no_acl());
    }
    if update.ops.iter().any(|(path, _)| path.column() == "name") {
        return Err(CloudError::new(
            ErrorCode::INVALID_ROLE_NAME,
            "A role's name can't be changed.",
        ));
    }
    Ok(())
}
