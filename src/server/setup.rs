//! The set-up of a store: the classes that a server needs before its first request.

use crate::model::user_secrets::SESSION_TOKEN;
use crate::model::{Class, ClassName, CloudError, Column, Index, SchemaChange};
use crate::store::Database;

/// Creates `_User`, `_Role` and `_File` with their columns, indexes and permissions. Existing classes get missing columns and
/// indexes, and keep their permissions. **Idempotency**: safe to repeat.
///
/// # Errors
/// 137 if stored users share a name, an address or a number; 303 if the store fails.
pub async fn set_up(database: &dyn Database) -> Result<(), CloudError> {
    for wanted in [user_class(), Class::initial(ClassName::role()), file_class()] {
        let schema = database.schema();
        let Some(class) = schema.classes.get(&wanted.name) else {
            database.define(SchemaChange::CreateClass(wanted)).await?;
            continue;
        };
        for (name, column) in wanted.columns {
            let there = class.columns.get(&name);
            let column = there.map_or_else(|| column.clone(), |there| guarded(there, &column));
            if there != Some(&column) {
                let change = SchemaChange::SetColumn(wanted.name.clone(), name, column);
                database.define(change).await?;
            }
        }
        for index in wanted.indexes {
            if !class.indexes.contains(&index) {
                let change = SchemaChange::AddIndex(wanted.name.clone(), index);
                database.define(change).await?;
            }
        }
    }
    Ok(())
}

/// `_User`: clients may not set an address or a number verified; an index finds the user of a session token.
fn user_class() -> Class {
    let mut class = Class::initial(ClassName::user());
    for name in ["emailVerified", "mobilePhoneVerified"] {
        if let Some(column) = class.columns.get_mut(name) {
            column.read_only = true;
            column.default = Some(false.into());
        }
    }
    class.indexes.push(Index {
        keys: vec![SESSION_TOKEN.to_owned()],
        unique: true,
        sparse: true,
    });
    class
}

/// `_File`: an index finds the row of an address, and keeps two rows from sharing bytes.
fn file_class() -> Class {
    let mut class = Class::initial(ClassName::file());
    class.indexes.push(Index {
        keys: vec!["key".to_owned()],
        unique: true,
        sparse: true,
    });
    class
}

/// An existing column keeps its attributes, and gets those that protect it.
fn guarded(there: &Column, wanted: &Column) -> Column {
    Column {
        read_only: there.read_only || wanted.read_only,
        hidden: there.hidden || wanted.hidden,
        default: there.default.clone().or_else(|| wanted.default.clone()),
        ..there.clone()
    }
}
