//! The names of the roles that hold a user, remembered while no `_Role` changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{ClassName, ColumnType, Filter, ObjectId, Pointer, Query, Schema};
use crate::store::{Database, ReadError};

/// Roles of one user, inherited ones included; bounds the reads of a request.
const ROLES_MAX: usize = 1000;

/// Users whose roles are remembered. One more, and all are forgotten.
const USERS_REMEMBERED_MAX: usize = 50_000;

/// The roles of users, as of one state of `_Role`.
///
/// Every change of a role is a write of `_Role`, and the store counts these. A remembered list is valid for the count at
/// which it was read.
#[derive(Debug, Default)]
pub(super) struct RoleCache(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    writes: u64,
    names: HashMap<ObjectId, Arc<[String]>>,
}

impl RoleCache {
    /// Returns the names of all roles that hold the user, directly or through another role.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(super) async fn names_of(
        &self,
        database: &dyn Database,
        user: &ObjectId,
    ) -> Result<Vec<String>, ReadError> {
        // The count comes first: a write during the reads raises it.
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

    /// Returns the lists that are valid at `writes`.
    fn at(&self, writes: u64) -> MutexGuard<'_, Remembered> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.writes < writes {
            remembered.names.clear();
            remembered.writes = writes;
        }
        remembered
    }
}

/// Reads the roles of a user. A role's `roles` relation lists its child roles, whose members have the parent's rights too.
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
