//! Where an import comes from: a folder, one file, or an archive, read as a stream.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::migration::file_names::{FileContent, classify};
use crate::model::{ClassName, hex};

/// Levels of folders that are looked through.
const DEPTH_MAX: usize = 8;

/// One file.
#[derive(Clone, Debug)]
pub(super) struct InputFile {
    /// Its path inside the folder or archive.
    pub(super) name: String,
    pub(super) holds: FileContent,
    pub(super) compressed: bool,
    /// Bytes, as they are in the folder or archive.
    pub(super) size: u64,
}

/// The files of an import, in a fixed order.
#[derive(Debug)]
pub(super) struct InputFiles {
    path: PathBuf,
    is_archive: bool,
    /// With the path of each, where it is a file of its own.
    pieces: Vec<(PathBuf, InputFile)>,
    /// Names, sizes and times: two sources with the same are the same.
    pub(super) identity: String,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    Stop,
}

impl InputFiles {
    /// Looks what is there. `class` is that of files whose names tell none.
    pub(super) fn open(path: &Path, class: Option<&ClassName>) -> io::Result<Self> {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let metadata = std::fs::metadata(path)?;
        let is_archive =
            metadata.is_file() && [".tar.gz", ".tgz", ".tar"].iter().any(|end| name.ends_with(end));
        let mut source = Self {
            path: path.to_owned(),
            is_archive,
            pieces: Vec::new(),
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
            let mut archive = source.archive()?;
            for entry in archive.entries()? {
                let entry = entry?;
                if entry.header().entry_type().is_file() {
                    let name = entry.path()?.to_string_lossy().into_owned();
                    source
                        .pieces
                        .push((PathBuf::new(), piece(name, entry.size(), class)));
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
                source.pieces.push((path, piece(name, metadata.len(), class)));
            }
        }
        source.identity = hex(&identity.finalize());
        Ok(source)
    }

    /// The files, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &InputFile> {
        self.pieces.iter().map(|(_, piece)| piece)
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

    /// Shows each of the files that `wanted` picks, from the one called `first` on, in order.
    pub(super) fn each<E: From<io::Error>>(
        &self,
        wanted: impl Fn(&InputFile) -> bool,
        first: Option<&str>,
        mut look: impl FnMut(&InputFile, Box<dyn Read + '_>) -> Result<Flow, E>,
    ) -> Result<(), E> {
        let mut waiting_for = first;
        let mut is_due = |piece: &InputFile| {
            if waiting_for == Some(piece.name.as_str()) {
                waiting_for = None;
            }
            waiting_for.is_none() && wanted(piece)
        };
        if !self.is_archive {
            for (path, piece) in &self.pieces {
                if is_due(piece) && look(piece, inflate(piece, Box::new(File::open(path)?)))? == Flow::Stop {
                    break;
                }
            }
            return Ok(());
        }
        let mut archive = self.archive()?;
        let mut pieces = self.pieces.iter();
        for entry in archive.entries()? {
            let entry = entry?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let Some((_, piece)) = pieces.next() else {
                break;
            };
            if is_due(piece) && look(piece, inflate(piece, Box::new(entry)))? == Flow::Stop {
                break;
            }
        }
        Ok(())
    }
}

fn inflate<'r>(piece: &InputFile, reader: Box<dyn Read + 'r>) -> Box<dyn Read + 'r> {
    if piece.compressed {
        Box::new(MultiGzDecoder::new(io::BufReader::new(reader)))
    } else {
        reader
    }
}

fn piece(name: String, size: u64, class: Option<&ClassName>) -> InputFile {
    let (holds, compressed) = classify(&name, class);
    InputFile {
        name,
        holds,
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
