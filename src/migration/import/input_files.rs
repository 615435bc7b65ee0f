//! The input files of an import: a folder, one file, or an archive, read as a stream.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::migration::file_names::{FileContent, classify};
use crate::model::{ClassName, hex};

/// Deepest level of folders that is read.
const DEPTH_MAX: usize = 8;

/// One input file.
#[derive(Clone, Debug)]
pub(super) struct InputFile {
    /// Path inside the folder or archive.
    pub(super) name: String,
    pub(super) content: FileContent,
    pub(super) compressed: bool,
    /// Size in bytes inside the folder or archive.
    pub(super) size: u64,
}

/// The files of an import, in a fixed order.
#[derive(Debug)]
pub(super) struct InputFiles {
    path: PathBuf,
    is_archive: bool,
    /// Each with its path; the path is empty inside an archive.
    files: Vec<(PathBuf, InputFile)>,
    /// Digest of path, names, sizes and times. Equal identities mean the same files.
    pub(super) identity: String,
}

impl InputFiles {
    /// Lists the files. `class` is the class of files whose names give none.
    pub(super) fn open(path: &Path, class: Option<&ClassName>) -> io::Result<Self> {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let metadata = std::fs::metadata(path)?;
        let is_archive =
            metadata.is_file() && [".tar.gz", ".tgz", ".tar"].iter().any(|end| name.ends_with(end));
        let mut input = Self {
            path: path.to_owned(),
            is_archive,
            files: Vec::new(),
            identity: String::new(),
        };
        let mut identity = Sha256::new();
        let time = |metadata: &std::fs::Metadata| {
            let modified = metadata.modified().ok();
            modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        };
        identity.update(format!("{:?}\n", std::fs::canonicalize(path)?));
        if is_archive {
            identity.update(format!("{} {:?}\n", metadata.len(), time(&metadata)));
            let mut archive = input.archive()?;
            for entry in archive.entries()? {
                let entry = entry?;
                if entry.header().entry_type().is_file() {
                    let name = entry.path()?.to_string_lossy().into_owned();
                    input
                        .files
                        .push((PathBuf::new(), input_file(name, entry.size(), class)));
                }
            }
        } else {
            let mut files = Vec::new();
            if metadata.is_dir() {
                list(path, "", 0, &mut files)?;
                files.sort();
            } else {
                files.push((name, path.to_owned()));
            }
            for (name, path) in files {
                let metadata = std::fs::metadata(&path)?;
                identity.update(format!("{name} {} {:?}\n", metadata.len(), time(&metadata)));
                input.files.push((path, input_file(name, metadata.len(), class)));
            }
        }
        input.identity = hex(&identity.finalize());
        Ok(input)
    }

    /// The files, in order.
    pub(super) fn files(&self) -> impl Iterator<Item = &InputFile> {
        self.files.iter().map(|(_, file)| file)
    }

    fn archive(&self) -> io::Result<tar::Archive<Box<dyn Read>>> {
        let file = File::open(&self.path)?;
        let plain = self.path.extension().is_some_and(|extension| extension == "tar");
        let reader: Box<dyn Read> = if plain {
            Box::new(io::BufReader::with_capacity(1 << 20, file))
        } else {
            Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(1 << 18, file)))
        };
        Ok(tar::Archive::new(reader))
    }

    /// Passes each file that `wanted` selects to `read`, in order, from the file named `first` on. Ends early at
    /// [`ControlFlow::Break`].
    pub(super) fn for_each<E: From<io::Error>>(
        &self,
        wanted: impl Fn(&InputFile) -> bool,
        first: Option<&str>,
        mut read: impl FnMut(&InputFile, Box<dyn Read + '_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let mut waiting_for = first;
        let mut is_due = |file: &InputFile| {
            if waiting_for == Some(file.name.as_str()) {
                waiting_for = None;
            }
            waiting_for.is_none() && wanted(file)
        };
        if !self.is_archive {
            for (path, file) in &self.files {
                if is_due(file) && read(file, inflate(file, Box::new(File::open(path)?)))?.is_break() {
                    break;
                }
            }
            return Ok(());
        }
        let mut archive = self.archive()?;
        let mut files = self.files.iter();
        for entry in archive.entries()? {
            let entry = entry?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let Some((_, file)) = files.next() else {
                break;
            };
            if is_due(file) && read(file, inflate(file, Box::new(entry)))?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn inflate<'r>(file: &InputFile, reader: Box<dyn Read + 'r>) -> Box<dyn Read + 'r> {
    if file.compressed {
        Box::new(MultiGzDecoder::new(io::BufReader::new(reader)))
    } else {
        reader
    }
}

fn input_file(name: String, size: u64, class: Option<&ClassName>) -> InputFile {
    let (content, compressed) = classify(&name, class);
    InputFile {
        name,
        content,
        compressed,
        size,
    }
}

fn list(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_dir() {
            if depth < DEPTH_MAX {
                list(&path, &format!("{name}/"), depth + 1, files)?;
            }
        } else if path.is_file() {
            files.push((name, path));
        }
    }
    Ok(())
}
