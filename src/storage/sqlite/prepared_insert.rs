//! Inserts prepared by the caller before the writer's turn.
//!
//! A new document depends on no stored data but its class. So the caller builds the document, its JSON and its index
//! values on its own thread, and the writer only stores them, unless the class has changed meanwhile.

use std::sync::Arc;

use crate::environment::Environment;
use crate::model::{ObjectId, Timestamp};
use crate::storage::change::Change;
use crate::storage::index_value::IndexValue;
use crate::storage::sqlite::catalogue::{Catalogue, Table};
use crate::storage::sqlite::row;
use crate::store::{Action, Write};

/// A create, prepared before the writer's turn.
#[derive(Debug)]
pub(super) struct PreparedInsert {
    /// Id of the new document.
    pub(super) id: ObjectId,
    /// Time of creation.
    pub(super) now: Timestamp,
    encoded: Option<EncodedDocument>,
}

/// A document encoded for one state of its class.
#[derive(Debug)]
pub(super) struct EncodedDocument {
    table: Arc<Table>,
    pub(super) change: Box<Change>,
    /// The stored form of the document.
    pub(super) json: String,
    /// Its index values.
    pub(super) keys: Vec<IndexValue>,
}

impl PreparedInsert {
    /// Prepares each create; `None` for other writes.
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
        // Failures are left to the writer, which reports them.
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

    /// The encoded document, if the class is unchanged.
    pub(super) fn take_for(&mut self, table: Option<&Arc<Table>>) -> Option<EncodedDocument> {
        let encoded = self.encoded.take()?;
        table
            .is_some_and(|table| Arc::ptr_eq(table, &encoded.table))
            .then_some(encoded)
    }
}
