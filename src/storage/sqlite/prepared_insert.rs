//! New documents, made by the caller before the writer's turn.
//!
//! What a create makes depends on nothing stored but its class. So the caller makes the document, its text and its
//! keys on its own time, and the writer only stores them, unless the class has changed meanwhile.

use std::sync::Arc;

use crate::environment::Environment;
use crate::model::{ObjectId, Timestamp};
use crate::storage::change::Change;
use crate::storage::index_value::IndexValue;
use crate::storage::sqlite::catalogue::{Catalogue, Table};
use crate::storage::sqlite::row;
use crate::store::{Action, Write};

/// What is known of a create before the writer's turn.
#[derive(Debug)]
pub(super) struct PreparedInsert {
    /// The new document's id, whoever makes the document.
    pub(super) id: ObjectId,
    /// When it is created.
    pub(super) now: Timestamp,
    encoded: Option<EncodedDocument>,
}

/// A document that fits a class as it was.
#[derive(Debug)]
pub(super) struct EncodedDocument {
    table: Arc<Table>,
    pub(super) change: Box<Change>,
    /// The document as it is stored.
    pub(super) json: String,
    /// Its keys of indexes.
    pub(super) keys: Vec<IndexValue>,
}

impl PreparedInsert {
    /// A prepared for each write that creates.
    pub(super) fn of_all(
        writes: &[Write],
        catalogue: &Catalogue,
        environment: &Environment,
    ) -> Vec<Option<Self>> {
        writes
            .iter()
            .map(|write| Self::of(write, catalogue, environment))
            .collect()
    }

    fn of(write: &Write, catalogue: &Catalogue, environment: &Environment) -> Option<Self> {
        let Action::Create { fields } = &write.action else {
            return None;
        };
        let (id, now) = (environment.object_id(), environment.now());
        // What cannot be made here is left to the writer, which says why.
        let encoded = catalogue.tables.get(&write.class).and_then(|table| {
            let change = Change::create(&table.class, fields, id.clone(), now).ok()?;
            Some(EncodedDocument {
                json: row::json(&change.document).ok()?,
                keys: table.index_values(&change.document),
                change: Box::new(change),
                table: Arc::clone(table),
            })
        });
        Some(Self { id, now, encoded })
    }

    /// The document, where the class is still what it was made for.
    pub(super) fn take_for(&mut self, table: Option<&Arc<Table>>) -> Option<EncodedDocument> {
        let encoded = self.encoded.take()?;
        table
            .is_some_and(|table| Arc::ptr_eq(table, &encoded.table))
            .then_some(encoded)
    }
}
