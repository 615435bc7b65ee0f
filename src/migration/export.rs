//! Writing everything out, in the form of LeanCloud's own export: what was brought in can be taken away.
//!
//! Each class is a file of JSON Lines with its marker line, each relation one of `owningId` and `relatedId`. What these
//! cannot say (types of columns, permissions, indexes) is in a file of its own beside them. Objects come in the order of
//! their ids, so that the same data are the same bytes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::migration::file_names::SCHEMA_FILE;
use crate::model::{Class, ClassName, Document, Filter, ObjectId, Query, Schema, Timestamp};
use crate::store::ReadError;
use crate::store::load::{Link, Loader};

/// Objects that are read at once.
const PAGE: u32 = 1000;

/// Bytes that are written at once.
const BUFFER: usize = 1 << 18;

/// What is to be exported.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// The folder to make, or the archive where it ends in `.tar.gz`. It must not be there yet.
    pub target: PathBuf,
    /// These classes alone; none stands for all.
    pub classes: Vec<ClassName>,
    /// Only objects that were changed then or later.
    pub since: Option<Timestamp>,
}

/// What was exported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExportSummary {
    /// Objects by class.
    pub classes: std::collections::BTreeMap<ClassName, u64>,
    /// Links of relations, all together.
    pub links: u64,
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The folder or file is there.
    #[error("{} is there already; choose another name for the export", .0.display())]
    Occupied(PathBuf),
    /// A class that was named is not there.
    #[error("there is no class '{0}'")]
    NoClass(ClassName),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The store cannot read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The definitions of classes, as they are beside the objects.
#[derive(Serialize, Deserialize)]
pub(super) struct SchemaFile {
    /// Every class, by name.
    pub(super) classes: Vec<Class>,
}

/// Writes what `options` say, as `store` holds it, and shows to `observe` how many objects are written. Password hashes
/// and session tokens are among it: the files are readable by their owner alone.
///
/// # Errors
/// [`ExportError`]; nothing is left behind then.
pub async fn export(
    store: &dyn Loader,
    options: &ExportOptions,
    observe: impl FnMut(u64),
) -> Result<ExportSummary, ExportError> {
    let target = &options.target;
    if target.exists() {
        return Err(ExportError::Occupied(target.clone()));
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let is_archive = name.ends_with(".tar.gz") || name.ends_with(".tgz");
    // Made beside its place, and put there when it is whole.
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
        seen: 0,
        observe,
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
    /// Their names, in the order in which they were written.
    files: Vec<String>,
    exported: ExportSummary,
    seen: u64,
    observe: O,
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
        Ok(BufWriter::with_capacity(BUFFER, file))
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
        mark(&mut file, &json!({"type": "Class", "class": class.name.as_str()}))?;
        let mut last: Option<ObjectId> = None;
        loop {
            let mut filter = Filter::all().after_id(last.as_ref());
            if let Some(since) = self.options.since {
                filter = filter.gte("updatedAt", since.to_date());
            }
            let query = Query::new(filter).order_by("objectId").limit(PAGE);
            let documents = self.store.find(&class.name, &query).await?;
            let count = documents.len();
            last = documents.last().and_then(Document::object_id);
            for document in documents {
                serde_json::to_writer(&mut file, &shown(class, document)).map_err(io::Error::from)?;
                file.write_all(b"\n")?;
            }
            *self.exported.classes.entry(class.name.clone()).or_default() += count as u64;
            self.seen += count as u64;
            (self.observe)(self.seen);
            if count < PAGE as usize {
                break;
            }
        }
        finish(file)?;
        Ok(())
    }

    async fn write_links(&mut self, class: &Class, key: &str, target: &ClassName) -> Result<(), ExportError> {
        let mut file = self.create(&format!("_Join:{key}:{}.0.jsonl", class.name))?;
        let marker =
            json!({"type": "Relation", "class": class.name.as_str(), "key": key, "target": target.as_str()});
        mark(&mut file, &marker)?;
        let mut last: Option<Link> = None;
        loop {
            let links = self.store.links(&class.name, key, last.as_ref(), PAGE).await?;
            for link in &links {
                let row = json!({"owningId": link.owner.object_id.as_str(), "relatedId": link.target.object_id.as_str()});
                serde_json::to_writer(&mut file, &row).map_err(io::Error::from)?;
                file.write_all(b"\n")?;
            }
            self.exported.links += links.len() as u64;
            if links.len() < PAGE as usize {
                break;
            }
            last = links.into_iter().next_back();
        }
        finish(file)?;
        Ok(())
    }
}

/// The object as LeanCloud's export shows it: with its relation columns.
fn shown(class: &Class, mut document: Document) -> Document {
    for (name, target) in class.relations() {
        let relation = json!({"__type": "Relation", "className": target.as_str()});
        document.insert(name.to_owned(), relation);
    }
    document
}

fn mark(file: &mut impl Write, marker: &Value) -> io::Result<()> {
    writeln!(file, "#filetype:JSON-streaming {marker}")
}

fn finish(file: BufWriter<File>) -> io::Result<()> {
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

/// Packs the files, always to the same bytes.
fn pack(folder: &Path, files: &[String], target: &File) -> io::Result<()> {
    let gzip = GzEncoder::new(BufWriter::with_capacity(BUFFER, target), Compression::default());
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
