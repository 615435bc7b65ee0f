//! Import and export: objects are imported unchanged, unreadable records are reported, and an import can be exported
//! again.

mod broken_files;
mod commands;
mod formats;
mod loader;
mod payment_schema;
mod round_trip;

use std::path::Path;
use std::sync::Arc;

use paylog::environment::Environment;
use paylog::migration::{ImportOptions, ImportSummary, ReadableExport, import};
use paylog::model::{ClassName, Document, ObjectId};
use paylog::storage::SqliteStore;
use paylog::store::Store;
use serde_json::Value;

/// A store in a folder of its own, with a folder for input files beside it.
pub(super) struct ImportFixture {
    pub(super) folder: tempfile::TempDir,
    pub(super) store: SqliteStore,
}

impl ImportFixture {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("files")).unwrap();
        let store = SqliteStore::open(&folder.path().join("data"), Environment::system()).unwrap();
        Self { folder, store }
    }

    /// Writes an input file.
    pub(super) fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join("files").join(name), content).unwrap();
    }

    /// Imports all input files.
    pub(super) async fn import(&self) -> ImportSummary {
        import_from(&self.store, &self.folder.path().join("files"), self.folder.path()).await
    }

    /// The lines of the report.
    pub(super) fn report(&self) -> Vec<Value> {
        match std::fs::read_to_string(self.folder.path().join("report.jsonl")) {
            Ok(text) => text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
            Err(_) => Vec::new(),
        }
    }

    pub(super) async fn get(&self, class: &str, id: &str) -> Option<Document> {
        let id = ObjectId::parse(id).unwrap();
        self.store.get(&class_name(class), &id).await.unwrap()
    }

    pub(super) async fn count(&self, class: &str) -> u64 {
        let all = paylog::model::Filter::all();
        self.store.count(&class_name(class), &all).await.unwrap()
    }
}

pub(super) async fn import_from(store: &SqliteStore, source: &Path, folder: &Path) -> ImportSummary {
    let options = ImportOptions {
        source: source.to_owned(),
        class: None,
        report: folder.join("report.jsonl"),
    };
    let store = Arc::new(store.clone());
    let readable = ReadableExport::open(options).unwrap();
    import(store, &Environment::system(), readable, |_| {})
        .await
        .unwrap()
}

pub(super) fn class_name(name: &str) -> ClassName {
    ClassName::parse(name).unwrap()
}
