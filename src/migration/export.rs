//! Export of all data in the form of LeanCloud's own export.
//!
//! Each class is a file of JSON Lines with a marker line; each relation is a file of `owningId` and `relatedId`. A file of
//! its own contains what these cannot express: types of columns, permissions, indexes. Objects are ordered by id, so that
//! the same data give the same bytes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::migration::file_names::SCHEMA_FILE;
use crate::migration::link_pages::LinkPages;
use crate::model::{Class, ClassName, Document, Filter, Schema, Timestamp};
use crate::store::ReadError;
use crate::store::load::Loader;
use crate::store::paging::IdPages;

/// Size of the write buffer in bytes.
const BUFFER_BYTES: usize = 1 << 18;

/// Options of an export.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// The folder to create, or the archive if the name ends in `.tar.gz` or `.tgz`. It must not exist.
    pub target: PathBuf,
    /// The classes to export; all if empty.
    pub classes: Vec<ClassName>,
    /// The earliest `updatedAt` of the objects to export.
    pub since: Option<Timestamp>,
}

/// Summary of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExportSummary {
    /// Number of objects by class.
    pub classes: std::collections::BTreeMap<ClassName, u64>,
    /// Number of links in all relations.
    pub links: u64,
}

/// Reason why nothing was exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The target exists.
    #[error("{} exists already; choose another name for the export", .0.display())]
    Occupied(PathBuf),
    /// A class in the options does not exist.
    #[error("there is no class '{0}'")]
    NoClass(ClassName),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The store cannot read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The definitions of classes, in a file beside the objects.
#[derive(Serialize, Deserialize)]
pub(super) struct SchemaFile {
    /// All classes, by name.
    pub(super) classes: Vec<Class>,
}

/// Exports the data of `store`, and passes the number of objects written to `on_progress`. The files contain password
/// hashes and session tokens, and are readable by their owner alone.
///
/// # Errors
/// [`ExportError`]; no file remains then.
pub async fn export(
    store: &dyn Loader,
    options: &ExportOptions,
    on_progress: impl FnMut(u64),
) -> Result<ExportSummary, ExportError> {
    let target = &options.target;
    if target.exists() {
        return Err(ExportError::Occupied(target.clone()));
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let is_archive = name.ends_with(".tar.gz") || name.ends_with(".tgz");
    // Written beside the target, and moved there when it is complete.
    let parent = target
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let folder = tempfile::Builder::new()
        .prefix(".paylog-export-")
        .tempdir_in(parent)?;
    let mut exporter = Exporter {
        store,
        options,
        folder: folder.path(),
        files: Vec::new(),
        exported: ExportSummary::default(),
        objects: 0,
        on_progress,
    };
    exporter.write_all().await?;
    let (files, exported) = (exporter.files, exporter.exported);
    if is_archive {
        let packed = tempfile::Builder::new()
            .prefix(".paylog-export-")
            .tempfile_in(parent)?;
        pack(folder.path(), &files, packed.as_file())?;
        packed.persist_noclobber(target).map_err(|error| error.error)?;
    } else {
        std::fs::rename(folder.keep(), target)?;
    }
    File::open(parent)?.sync_all()?;
    Ok(exported)
}

struct Exporter<'e, O> {
    store: &'e dyn Loader,
    options: &'e ExportOptions,
    folder: &'e Path,
    /// Names of the files, in the order of writing.
    files: Vec<String>,
    exported: ExportSummary,
    objects: u64,
    on_progress: O,
}

impl<O: FnMut(u64)> Exporter<'_, O> {
    async fn write_all(&mut self) -> Result<(), ExportError> {
        let schema = self.store.schema();
        if let Some(absent) = self
            .options
            .classes
            .iter()
            .find(|name| !schema.classes.contains_key(*name))
        {
            return Err(ExportError::NoClass(absent.clone()));
        }
        let wanted =
            |name: &ClassName| self.options.classes.is_empty() || self.options.classes.contains(name);
        let classes: Vec<&Class> = schema
            .classes
            .values()
            .map(AsRef::as_ref)
            .filter(|class| wanted(&class.name))
            .collect();
        self.write_schema(&schema, &classes)?;
        for class in &classes {
            self.write_objects(class).await?;
        }
        for class in &classes {
            for (key, target) in class.relations() {
                self.write_links(class, key, target).await?;
            }
        }
        Ok(())
    }

    fn create(&mut self, name: &str) -> io::Result<BufWriter<File>> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(self.folder.join(name))?;
        self.files.push(name.to_owned());
        Ok(BufWriter::with_capacity(BUFFER_BYTES, file))
    }

    fn write_schema(&mut self, schema: &Schema, classes: &[&Class]) -> Result<(), ExportError> {
        let document = SchemaFile {
            classes: classes
                .iter()
                .filter_map(|class| schema.classes.get(&class.name))
                .map(|class| Class::clone(class))
                .collect(),
        };
        let mut file = self.create(SCHEMA_FILE)?;
        serde_json::to_writer_pretty(&mut file, &document).map_err(io::Error::from)?;
        file.write_all(b"\n")?;
        finish(file)?;
        Ok(())
    }

    async fn write_objects(&mut self, class: &Class) -> Result<(), ExportError> {
        let mut file = self.create(&format!("{}.0.jsonl", class.name))?;
        write_marker(&mut file, &json!({"type": "Class", "class": class.name.as_str()}))?;
        let mut filter = Filter::all();
        if let Some(since) = self.options.since {
            filter = filter.gte("updatedAt", since.to_date());
        }
        let mut pages = IdPages::new(self.store, &class.name, filter);
        let mut written = 0;
        while let Some(documents) = pages.next().await? {
            let count = documents.len() as u64;
            for document in documents {
                serde_json::to_writer(&mut file, &with_relations(class, document))
                    .map_err(io::Error::from)?;
                file.write_all(b"\n")?;
            }
            written += count;
            self.objects += count;
            (self.on_progress)(self.objects);
        }
        self.exported.classes.insert(class.name.clone(), written);
        finish(file)?;
        Ok(())
    }

    async fn write_links(&mut self, class: &Class, key: &str, target: &ClassName) -> Result<(), ExportError> {
        let mut file = self.create(&format!("_Join:{key}:{}.0.jsonl", class.name))?;
        let marker =
            json!({"type": "Relation", "class": class.name.as_str(), "key": key, "target": target.as_str()});
        write_marker(&mut file, &marker)?;
        let mut pages = LinkPages::new(self.store, &class.name, key);
        while let Some(links) = pages.next().await? {
            for link in &links {
                let row = json!({"owningId": link.owner.object_id.as_str(), "relatedId": link.target.object_id.as_str()});
                serde_json::to_writer(&mut file, &row).map_err(io::Error::from)?;
                file.write_all(b"\n")?;
            }
            self.exported.links += links.len() as u64;
        }
        finish(file)?;
        Ok(())
    }
}

/// Adds the relation columns to an object, as in LeanCloud's export.
fn with_relations(class: &Class, mut document: Document) -> Document {
    for (name, target) in class.relations() {
        let relation = json!({"__type": "Relation", "className": target.as_str()});
        document.insert(name.to_owned(), relation);
    }
    document
}

fn write_marker(file: &mut impl Write, marker: &Value) -> io::Result<()> {
    writeln!(file, "#filetype:JSON-streaming {marker}")
}

fn finish(file: BufWriter<File>) -> io::Result<()> {
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

/// Packs the files into an archive; the same files give the same bytes.
fn pack(folder: &Path, files: &[String], target: &File) -> io::Result<()> {
    let gzip = GzEncoder::new(
        BufWriter::with_capacity(BUFFER_BYTES, target),
        Compression::default(),
    );
    let mut archive = tar::Builder::new(gzip);
    for name in files {
        let mut file = File::open(folder.join(name))?;
        let mut header = tar::Header::new_gnu();
        header.set_size(file.metadata()?.len());
        header.set_mode(0o600);
        archive.append_data(&mut header, name, &mut file)?;
    }
    archive.into_inner()?.finish()?.flush()?;
    target.sync_all()
}
