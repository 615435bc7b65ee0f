//! The form in which clients see the objects of a class.

use serde_json::json;

use crate::model::{Class, ClassName, ColumnType, Document};

impl Class {
    /// The relation columns, each with its target class.
    pub fn relations(&self) -> impl Iterator<Item = (&str, &ClassName)> {
        self.columns
            .iter()
            .filter_map(|(key, column)| match &column.column_type {
                ColumnType::Relation { class_name } => Some((key.as_str(), class_name)),
                _ => None,
            })
    }

    /// The client's view of `document`: without hidden columns, with defaults and relation columns filled in.
    #[must_use]
    pub fn visible(&self, mut document: Document) -> Document {
        for (name, column) in &self.columns {
            if column.hidden {
                document.shift_remove(name);
                continue;
            }
            if let ColumnType::Relation { class_name } = &column.column_type {
                let relation = json!({"__type": "Relation", "className": class_name.as_str()});
                document.insert(name.clone(), relation);
            } else if let Some(default) = &column.default
                && !document.contains_key(name)
            {
                document.insert(name.clone(), default.clone());
            }
        }
        document
    }
}
