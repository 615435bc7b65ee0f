//! Which class is kept in which table.
//!
//! Names of classes and keys are case-sensitive and SQLite's are not, so that tables and columns carry numbers and the
//! catalogue, itself a table, says what they stand for.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use crate::model::{Class, ClassName, CloudError, Document, Index, Schema};
use crate::storage::change;
use crate::storage::index_key::IndexValue;
use crate::storage::sql::Keys;
use crate::storage::sqlite::failure::Failure;
use crate::storage::sqlite::row;

/// All classes and their tables, as of one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Catalogue {
    pub(super) schema: Arc<Schema>,
    pub(super) tables: BTreeMap<ClassName, Arc<Table>>,
}

/// The table of one class.
#[derive(Debug)]
pub(super) struct Table {
    /// What its name is made of.
    pub(super) number: i64,
    pub(super) class: Arc<Class>,
    /// The keys with columns of their own, `k1` first.
    pub(super) keys: Vec<String>,
    /// Every row, in the form that [`row`] reads.
    pub(super) select: String,
    /// The row of an id.
    pub(super) select_one: String,
    pub(super) insert: String,
    /// Where no key with a column changes.
    pub(super) update: String,
    /// Where one does.
    pub(super) update_keys: String,
    pub(super) delete: String,
}

/// A row of the catalogue.
#[derive(Serialize, Deserialize)]
struct Entry {
    class: Class,
    keys: Vec<String>,
}

impl Catalogue {
    /// Reads the catalogue of a database.
    pub(super) fn load(connection: &Connection) -> Result<Self, Failure> {
        let mut catalogue = Self::default();
        let mut classes = BTreeMap::new();
        let mut statement = connection.prepare("SELECT number, entry FROM class")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            let entry: Entry = serde_json::from_str(row.get_ref(1)?.as_str()?)
                .map_err(|error| Failure::Unreadable(format!("the entry of table {number}: {error}")))?;
            let name = entry.class.name.clone();
            let class = Arc::new(entry.class);
            classes.insert(name.clone(), Arc::clone(&class));
            let table = Table::new(number, class, entry.keys);
            catalogue.tables.insert(name, Arc::new(table));
        }
        catalogue.schema = Arc::new(Schema { classes });
        Ok(catalogue)
    }

    /// Stores the class as it is now and makes the table, columns and indexes that it needs. The transaction is the
    /// caller's, and so is what happens to `self` when it fails.
    pub(super) fn put(&mut self, connection: &Connection, class: Class) -> Result<Arc<Table>, Failure> {
        let before = self.tables.get(&class.name).map(Arc::clone);
        let mut keys = before.as_ref().map_or_else(Vec::new, |table| table.keys.clone());
        let known = keys.len();
        for key in class.indexes.iter().flat_map(|index| &index.keys) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        let number = match &before {
            Some(table) => table.number,
            None => create_table(connection)?,
        };
        let class = Arc::new(class);
        let table = Arc::new(Table::new(number, Arc::clone(&class), keys));
        for column in known..table.keys.len() {
            connection.execute_batch(&format!("ALTER TABLE c{number} ADD COLUMN k{}", column + 1))?;
        }
        if known < table.keys.len() && before.is_some() {
            table.fill(connection)?;
        }
        let indexes = before.map_or(0, |table| table.class.indexes.len());
        for (place, index) in class.indexes.iter().enumerate().skip(indexes) {
            table.build(connection, place, index)?;
        }
        let entry = Entry {
            class: Class::clone(&class),
            keys: table.keys.clone(),
        };
        let entry = serde_json::to_string(&entry).map_err(|error| Failure::Unreadable(error.to_string()))?;
        connection
            .prepare_cached("UPDATE class SET entry = ?2 WHERE number = ?1")?
            .execute(params![number, entry])?;
        self.schema = change::with_class(&self.schema, Class::clone(&class));
        self.tables.insert(class.name.clone(), Arc::clone(&table));
        Ok(table)
    }
}

fn create_table(connection: &Connection) -> Result<i64, Failure> {
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
            delete: format!("DELETE FROM c{number} WHERE id = ?1"),
            keys,
        }
    }

    /// How rows are laid out.
    pub(super) fn keys(&self) -> Keys<'_> {
        Keys {
            class: &self.class,
            indexed: &self.keys,
        }
    }

    /// The keys of a document, in the form of indexes.
    pub(super) fn forms(&self, document: &Document) -> Vec<IndexValue> {
        IndexValue::all(&self.keys, document)
    }

    /// Whether the class has a unique index.
    pub(super) fn has_unique(&self) -> bool {
        self.class.indexes.iter().any(|index| index.unique)
    }

    /// Fills the columns of the keys from the documents, after a column was added.
    fn fill(&self, connection: &Connection) -> Result<(), Failure> {
        let sets: Vec<String> = (1..=self.keys.len())
            .map(|key| format!("k{key} = ?{}", key + 1))
            .collect();
        let sql = format!("UPDATE c{} SET {} WHERE id = ?1", self.number, sets.join(", "));
        let mut update = connection.prepare(&sql)?;
        // By id and not in one pass, since what is being read must not be changed.
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

    fn build(&self, connection: &Connection, place: usize, index: &Index) -> Result<(), Failure> {
        let columns: Vec<String> = index
            .keys
            .iter()
            .filter_map(|key| self.keys.iter().position(|known| known == key))
            .map(|number| format!("k{}", number + 1))
            .collect();
        let number = self.number;
        let name = format!("c{number}_i{place}");
        let listed = columns.join(", ");
        if !index.unique {
            // Whoever compares a column with a value finds no NULL: such a row is nothing that an index must hold.
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
            let forms: Vec<String> = columns
                .iter()
                .map(|column| format!("ifnull({column}, x'')"))
                .collect();
            let left_out = match index.sparse {
                true => format!(" AND NOT ({})", all_absent.join(" AND ")),
                false => String::new(),
            };
            let forms = forms.join(", ");
            sql.push_str(&format!(
                "CREATE UNIQUE INDEX {name}_absent ON c{number} ({forms}) WHERE ({any_absent}){left_out};"
            ));
        }
        match connection.execute_batch(&sql) {
            Err(error) if Failure::is_duplicate(&error) => Err(Failure::Refused(duplicate())),
            other => Ok(other?),
        }
    }
}

fn duplicate() -> CloudError {
    change::duplicate()
}
