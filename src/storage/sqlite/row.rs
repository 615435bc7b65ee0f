//! Rows of documents.
//!
//! A row's `doc` is the document as JSON, without `objectId`, `createdAt` and `updatedAt`, which are columns.

use rusqlite::Row;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::model::{Document, KeyPath, Timestamp};
use crate::storage::index_value::IndexValue;
use crate::storage::sqlite::sql_error::SqlError;

/// Parses a row of `doc, id, created, updated`.
pub(super) fn document(row: &Row<'_>) -> Result<Document, SqlError> {
    Ok(timed_document(row)?.0)
}

/// As [`document`], with the time of creation.
pub(super) fn timed_document(row: &Row<'_>) -> Result<(Document, Timestamp), SqlError> {
    let text = row.get_ref(0)?.as_bytes()?;
    let id = row.get_ref(1)?.as_str()?;
    let mut document: Document = serde_json::from_slice(text)
        .map_err(|error| SqlError::Unreadable(format!("object {id}: {error}")))?;
    let created = Timestamp::from_millis(row.get_ref(2)?.as_i64()?);
    let updated = Timestamp::from_millis(row.get_ref(3)?.as_i64()?);
    document.insert("objectId".to_owned(), id.into());
    document.insert("createdAt".to_owned(), created.to_string().into());
    document.insert("updatedAt".to_owned(), updated.to_string().into());
    Ok((document, created))
}

/// Encodes a document for `doc`.
pub(super) fn json(document: &Document) -> Result<String, SqlError> {
    // Most documents fit, which avoids reallocation.
    let mut bytes = Vec::with_capacity(1024);
    serde_json::to_writer(&mut bytes, &Stored(document))
        .map_err(|error| SqlError::Unreadable(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| SqlError::Unreadable(error.to_string()))
}

struct Stored<'a>(&'a Document);

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0.iter() {
            if !KeyPath::is_set_by_store(key) {
                map.serialize_entry(key, value)?;
            }
        }
        map.end()
    }
}

impl ToSql for IndexValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Absent => ValueRef::Null,
            Self::Integer(integer) => ValueRef::Integer(*integer),
            Self::Real(real) => ValueRef::Real(*real),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
