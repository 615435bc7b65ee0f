//! The catalogue: the tables of the classes.
//!
//! Names of classes and keys are case-sensitive, SQLite's are not. So tables and columns have numbers, and the
//! catalogue, itself a table, maps names to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use crate::model::{Class, ClassName, ColumnType, Document, Index, Schema, limits};
use crate::storage::change;
use crate::storage::index_value::{IndexValue, derived, is_private, readers};
use crate::storage::sql::ColumnMap;
use crate::storage::sqlite::row;
use crate::storage::sqlite::sql_error::SqlError;

/// All classes and their tables at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Catalogue {
    pub(super) schema: Arc<Schema>,
    pub(super) tables: BTreeMap<ClassName, Arc<Table>>,
}

/// The table of one class.
#[derive(Debug)]
pub(super) struct Table {
    /// Number in the table's name: `c<number>`.
    pub(super) number: i64,
    pub(super) class: Arc<Class>,
    /// The keys with a column of their own, `k1` first.
    pub(super) keys: Vec<String>,
    /// SQL: all rows, as parsed by [`row`].
    pub(super) select: String,
    /// SQL: the row of an id.
    pub(super) select_one: String,
    pub(super) insert: String,
    /// SQL: an update that changes no key with a column.
    pub(super) update: String,
    /// SQL: an update that does.
    pub(super) update_keys: String,
    /// SQL: sets the time of creation of a loaded object.
    pub(super) update_created: String,
    pub(super) delete: String,
}

/// A row of the catalogue.
#[derive(Serialize, Deserialize)]
struct Entry {
    class: Class,
    keys: Vec<String>,
    /// True if `keys` includes the keys derived from documents. Format 1 has none.
    #[serde(default)]
    derived: bool,
}

/// Needs of a class beyond its definition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    /// It has documents that are not publicly readable.
    pub(super) private: bool,
}

impl Catalogue {
    /// Reads the catalogue of a database.
    ///
    /// Adds the classes with an entry of format 1 to `outdated`.
    fn read(connection: &Connection, outdated: &mut Vec<ClassName>) -> Result<Self, SqlError> {
        let mut catalogue = Self::default();
        let mut classes = BTreeMap::new();
        let mut statement = connection.prepare("SELECT number, entry FROM class")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            let entry: Entry = serde_json::from_str(row.get_ref(1)?.as_str()?)
                .map_err(|error| SqlError::Unreadable(format!("the entry of table {number}: {error}")))?;
            let name = entry.class.name.clone();
            if !entry.derived {
                outdated.push(name.clone());
            }
            let class = Arc::new(entry.class);
            classes.insert(name.clone(), Arc::clone(&class));
            let table = Table::new(number, class, entry.keys);
            catalogue.tables.insert(name, Arc::new(table));
        }
        catalogue.schema = Arc::new(Schema { classes });
        Ok(catalogue)
    }

    /// Reads the catalogue of a database.
    pub(super) fn load(connection: &Connection) -> Result<Self, SqlError> {
        Self::read(connection, &mut Vec::new())
    }

    /// As [`Catalogue::load`], for the writer: also completes the tables of classes from format 1.
    pub(super) fn load_and_complete(connection: &Connection) -> Result<Self, SqlError> {
        let mut outdated = Vec::new();
        let mut catalogue = Self::read(connection, &mut outdated)?;
        if outdated.is_empty() {
            return Ok(catalogue);
        }
        let transaction = connection.unchecked_transaction()?;
        for name in outdated {
            if let Some(table) = catalogue.tables.get(&name).map(Arc::clone) {
                let private = table.has_private_documents(&transaction)?;
                let class = Class::clone(&table.class);
                let table = catalogue.put(&transaction, class, Needs { private })?;
                table.fill(&transaction)?;
                if private {
                    table.fill_readers(&transaction)?;
                }
            }
        }
        transaction.commit()?;
        Ok(catalogue)
    }

    /// Stores a class and creates the table, columns and indexes that it needs. The caller owns the transaction, and
    /// restores `self` after a failure.
    ///
    /// Columns derived from documents stay empty: the caller is about to write what they hold.
    pub(super) fn put(
        &mut self,
        connection: &Connection,
        class: Class,
        needs: Needs,
    ) -> Result<Arc<Table>, SqlError> {
        let before = self.tables.get(&class.name).map(Arc::clone);
        let mut keys = before.as_ref().map_or_else(Vec::new, |table| table.keys.clone());
        let known = keys.len();
        let indexed = class.indexes.iter().flat_map(|index| &index.keys);
        for key in indexed.filter(|key| common_column(key).is_none()) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        let given = keys.len();
        keys.extend(derived_keys(&class, needs, &keys));
        let number = match &before {
            Some(table) => table.number,
            None => create_table(connection)?,
        };
        let class = Arc::new(class);
        let table = Arc::new(Table::new(number, Arc::clone(&class), keys));
        for column in known..table.keys.len() {
            connection.execute_batch(&format!("ALTER TABLE c{number} ADD COLUMN k{}", column + 1))?;
        }
        if known < given && before.is_some() {
            table.fill(connection)?;
        }
        for number in given..table.keys.len() {
            let column = number + 1;
            connection.execute_batch(&format!(
                "CREATE INDEX c{number}_k{column} ON c{number} (k{column})",
                number = table.number
            ))?;
        }
        let indexes = before.map_or(0, |table| table.class.indexes.len());
        for (place, index) in class.indexes.iter().enumerate().skip(indexes) {
            table.build(connection, place, index)?;
        }
        let entry = Entry {
            class: Class::clone(&class),
            keys: table.keys.clone(),
            derived: true,
        };
        let entry = serde_json::to_string(&entry).map_err(|error| SqlError::Unreadable(error.to_string()))?;
        connection
            .prepare_cached("UPDATE class SET entry = ?2 WHERE number = ?1")?
            .execute(params![number, entry])?;
        self.schema = change::with_class(&self.schema, Class::clone(&class));
        self.tables.insert(class.name.clone(), Arc::clone(&table));
        Ok(table)
    }
}

/// The derived keys that the class needs and lacks.
fn derived_keys(class: &Class, needs: Needs, known: &[String]) -> Vec<String> {
    let points = class
        .columns
        .iter()
        .filter(|(_, column)| column.column_type == ColumnType::GeoPoint)
        .map(|(name, _)| format!("{name}.{}", derived::CELL));
    let private = needs.private.then(|| derived::PRIVATE.to_owned());
    points.chain(private).filter(|key| !known.contains(key)).collect()
}

/// The column of a key that every row has.
fn common_column(key: &str) -> Option<&'static str> {
    match key {
        "objectId" => Some("id"),
        "createdAt" => Some("created"),
        "updatedAt" => Some("updated"),
        _ => None,
    }
}

fn create_table(connection: &Connection) -> Result<i64, SqlError> {
    connection.execute("INSERT INTO class (entry) VALUES ('')", [])?;
    let number = connection.last_insert_rowid();
    connection.execute_batch(&format!(
        "CREATE TABLE c{number} (
            id TEXT NOT NULL PRIMARY KEY,
            created INTEGER NOT NULL,
            updated INTEGER NOT NULL,
            doc TEXT NOT NULL
        );
        CREATE INDEX c{number}_created ON c{number} (created);
        CREATE INDEX c{number}_updated ON c{number} (updated);"
    ))?;
    Ok(number)
}

impl Table {
    fn new(number: i64, class: Arc<Class>, keys: Vec<String>) -> Self {
        let columns: String = (1..=keys.len()).map(|key| format!(", k{key}")).collect();
        let values: String = (1..=keys.len()).map(|key| format!(", ?{}", key + 4)).collect();
        let sets: String = (1..=keys.len())
            .map(|key| format!(", k{key} = ?{}", key + 3))
            .collect();
        Self {
            number,
            class,
            select: format!("SELECT doc, id, created, updated FROM c{number}"),
            select_one: format!("SELECT doc, id, created, updated FROM c{number} WHERE id = ?1"),
            insert: format!(
                "INSERT INTO c{number} (id, created, updated, doc{columns}) VALUES (?1, ?2, ?3, ?4{values})"
            ),
            update: format!("UPDATE c{number} SET updated = ?2, doc = ?3 WHERE id = ?1"),
            update_keys: format!("UPDATE c{number} SET updated = ?2, doc = ?3{sets} WHERE id = ?1"),
            update_created: format!("UPDATE c{number} SET created = ?2 WHERE id = ?1"),
            delete: format!("DELETE FROM c{number} WHERE id = ?1"),
            keys,
        }
    }

    /// The layout of rows.
    pub(super) fn columns(&self) -> ColumnMap<'_> {
        ColumnMap {
            class: &self.class,
            indexed: &self.keys,
            finds_points: true,
        }
    }

    /// The index values of a document.
    pub(super) fn index_values(&self, document: &Document) -> Vec<IndexValue> {
        IndexValue::all(&self.keys, document)
    }

    /// The number of the column that marks private documents, if it exists.
    pub(super) fn private_column(&self) -> Option<usize> {
        let place = self.keys.iter().position(|key| key == derived::PRIVATE)?;
        Some(place + 1)
    }

    /// True if the class has a unique index.
    pub(super) fn has_unique(&self) -> bool {
        self.class.indexes.iter().any(|index| index.unique)
    }

    fn has_private_documents(&self, connection: &Connection) -> Result<bool, SqlError> {
        let mut statement = connection.prepare(&format!("{} WHERE doc LIKE '%\"ACL\"%'", self.select))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if is_private(&row::document(row)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn fill_readers(&self, connection: &Connection) -> Result<(), SqlError> {
        let mut statement = connection.prepare(&format!("{} WHERE doc LIKE '%\"ACL\"%'", self.select))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let document = row::document(row)?;
            let id = document.text("objectId").unwrap_or_default();
            for reader in readers(&document) {
                self.add_reader(connection, id, &reader)?;
            }
        }
        Ok(())
    }

    /// Records that the holder of an ACL key may read the document.
    pub(super) fn add_reader(&self, connection: &Connection, id: &str, reader: &str) -> rusqlite::Result<()> {
        connection
            .prepare_cached("INSERT OR IGNORE INTO reader (class, reader, id) VALUES (?1, ?2, ?3)")?
            .execute((self.number, reader, id))
            .map(drop)
    }

    /// The opposite of [`Table::add_reader`].
    pub(super) fn remove_reader(
        &self,
        connection: &Connection,
        id: &str,
        reader: &str,
    ) -> rusqlite::Result<()> {
        connection
            .prepare_cached("DELETE FROM reader WHERE class = ?1 AND reader = ?2 AND id = ?3")?
            .execute((self.number, reader, id))
            .map(drop)
    }

    /// Fills the key columns from the documents, after a column was added.
    fn fill(&self, connection: &Connection) -> Result<(), SqlError> {
        let sets: Vec<String> = (1..=self.keys.len())
            .map(|key| format!("k{key} = ?{}", key + 1))
            .collect();
        let sql = format!("UPDATE c{} SET {} WHERE id = ?1", self.number, sets.join(", "));
        let mut update = connection.prepare(&sql)?;
        // Row by row, since a scan must not change the rows it reads.
        let next = format!("{} WHERE id > ?1 ORDER BY id LIMIT 1", self.select);
        let mut next = connection.prepare(&next)?;
        let mut last = String::new();
        loop {
            let mut rows = next.query([&last])?;
            let Some(found) = rows.next()? else {
                return Ok(());
            };
            let document = row::document(found)?;
            last = found.get(1)?;
            drop(rows);
            update.raw_bind_parameter(1, &last)?;
            for (place, key) in self.keys.iter().enumerate() {
                update.raw_bind_parameter(place + 2, IndexValue::at(&document, key))?;
            }
            update.raw_execute()?;
        }
    }

    /// Refuses an index if stored values are too long for it.
    fn check_lengths(&self, connection: &Connection, columns: &[String]) -> Result<(), SqlError> {
        let long: Vec<String> = columns
            .iter()
            .map(|column| format!("length(CAST({column} AS BLOB)) > {}", limits::INDEXED_BYTES_MAX))
            .collect();
        let sql = format!("{} WHERE {}", self.select, long.join(" OR "));
        let mut select = connection.prepare(&sql)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            // An array is longer than its elements; only they count.
            change::check_indexed_lengths(&self.class, &row::document(row)?, |_| true)
                .map_err(SqlError::Refused)?;
        }
        Ok(())
    }

    fn build(&self, connection: &Connection, place: usize, index: &Index) -> Result<(), SqlError> {
        let columns: Vec<String> = index
            .keys
            .iter()
            .filter_map(|key| match common_column(key) {
                Some(column) => Some(column.to_owned()),
                None => {
                    let place = self.keys.iter().position(|known| known == key)?;
                    Some(format!("k{}", place + 1))
                }
            })
            .collect();
        let number = self.number;
        self.check_lengths(connection, &columns)?;
        let name = format!("c{number}_i{place}");
        let listed = columns.join(", ");
        if !index.unique {
            // A comparison with a value never matches NULL, so a sparse index can omit such rows.
            let left_out = match columns.as_slice() {
                [only] if index.sparse => format!(" WHERE {only} IS NOT NULL"),
                _ => String::new(),
            };
            connection.execute_batch(&format!("CREATE INDEX {name} ON c{number} ({listed}){left_out}"))?;
            return Ok(());
        }
        let all_absent: Vec<String> = columns.iter().map(|column| format!("{column} IS NULL")).collect();
        let any_absent = all_absent.join(" OR ");
        let mut sql = format!("CREATE UNIQUE INDEX {name} ON c{number} ({listed});");
        // To SQLite no NULL equals another, to a unique index of MongoDB's a missing value equals a missing value;
        // a sparse one leaves out what has none of the keys. An empty blob stands for no value of ours.
        if !(index.sparse && columns.len() == 1) {
            let index_values: Vec<String> = columns
                .iter()
                .map(|column| format!("ifnull({column}, x'')"))
                .collect();
            let left_out = match index.sparse {
                true => format!(" AND NOT ({})", all_absent.join(" AND ")),
                false => String::new(),
            };
            let index_values = index_values.join(", ");
            sql.push_str(&format!(
                "CREATE UNIQUE INDEX {name}_absent ON c{number} ({index_values}) WHERE ({any_absent}){left_out};"
            ));
        }
        match connection.execute_batch(&sql) {
            Err(error) if SqlError::is_duplicate(&error) => Err(SqlError::Refused(change::duplicate())),
            other => Ok(other?),
        }
    }
}
