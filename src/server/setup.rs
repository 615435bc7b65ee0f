//! The classes that a server needs before its first request.

use crate::model::user_secrets::SESSION_TOKEN;
use crate::model::{Class, ClassName, CloudError, Column, Index, SchemaChange};
use crate::store::Database;

/// Makes `_User`, `_Role` and `_File` with their columns, indexes and permissions, where they are not there yet. Does nothing
/// the second time; classes that are already there keep their permissions.
///
/// # Errors
/// 137 where stored users share a name, an address or a number; 303 where the store fails.
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

/// `_User`: whether an address or a number is verified is not for clients to say, and a session token leads to its
/// user by an index.
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

/// `_File`: an address leads to its row by an index, and two rows do not share bytes.
fn file_class() -> Class {
    let mut class = Class::initial(ClassName::file());
    class.indexes.push(Index {
        keys: vec!["key".to_owned()],
        unique: true,
        sparse: true,
    });
    class
}

/// A column that is there keeps its attributes, and gets those that guard it.
fn guarded(there: &Column, wanted: &Column) -> Column {
    Column {
        read_only: there.read_only || wanted.read_only,
        hidden: there.hidden || wanted.hidden,
        default: there.default.clone().or_else(|| wanted.default.clone()),
        ..there.clone()
    }
}
