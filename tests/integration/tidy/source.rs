//! The source text of the code base.

use std::fs;
use std::path::{Path, PathBuf};

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below `folders`, by their path from the root.
pub(super) fn rust_files(folders: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut waiting: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

pub(super) fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The text up to the tests of the file, which come last.
pub(super) fn without_tests(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let tests = (0..lines.len())
        .find(|&index| {
            lines[index] == "#[cfg(test)]"
                && lines
                    .get(index + 1)
                    .is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'))
        })
        .unwrap_or(lines.len());
    lines[..tests].join("\n")
}

pub(super) fn without_comments(text: &str) -> String {
    let code = |line: &str| match line.find("//") {
        // An address in a text, not a comment.
        Some(start) if !line[..start].ends_with(':') => line[..start].to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// The first line of each doc comment, with the number of the line.
pub(super) fn doc_summaries(text: &str) -> Vec<(usize, &str)> {
    let mut summaries = Vec::new();
    let mut in_comment = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let comment = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        if let (Some(comment), false) = (comment, in_comment) {
            summaries.push((index + 1, comment.trim()));
        }
        in_comment = comment.is_some();
    }
    summaries
}
