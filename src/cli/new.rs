//! `paylog new`: a small app to start from.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::app::terminal;

/// `paylog new`.
#[derive(Args, Clone, Debug)]
pub(crate) struct NewArguments {
    /// The folder to create; its name becomes the name of the app
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// Location of paylog's library: a folder, or the URL of a git repository [default: the package registry]
    #[arg(long, value_name = "PATH OR GIT")]
    pub(crate) library: Option<String>,
}

/// Files of the new app, with their contents.
const FILES: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("new/Cargo.toml.txt")),
    ("functions/main.rs", include_str!("new/main.rs.txt")),
    ("functions/hello.rs", include_str!("new/hello.rs.txt")),
    ("functions/review.rs", include_str!("new/review.rs.txt")),
    ("leanengine.yaml", include_str!("new/leanengine.yaml.txt")),
    ("README.md", include_str!("new/README.md.txt")),
    (".gitignore", "/target\n/paylog-data\n/package\n"),
];

/// Writes the app into a new or empty folder; returns true.
pub(crate) fn run(arguments: &NewArguments) -> Result<bool> {
    let folder = &normalized(&arguments.folder);
    let name = package_name(folder)?;
    let library = library(arguments.library.as_deref())?;
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", folder.display())),
    };
    if !is_empty {
        bail!(
            "{} is not empty: name a folder that does not exist yet",
            folder.display()
        );
    }
    for (path, text) in FILES {
        let path = folder.join(path);
        let text = text
            .replace("{name}", &name)
            .replace("{library}", &library)
            .replace("{rust-version}", env!("CARGO_PKG_RUST_VERSION"));
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, text));
        written.with_context(|| format!("{} cannot be written", path.display()))?;
    }
    terminal::print_line(format!(
        "{name} is in {folder}. To run it:\ncd {folder}\ncargo run",
        folder = folder.display()
    ));
    Ok(true)
}

/// Removes `.` and `..`: `a/../x` is `x`, even if there is no `a`, so that the checked folder is the written one.
fn normalized(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// Returns the name of the package, which is that of the folder.
fn package_name(folder: &Path) -> Result<String> {
    let name = folder
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(legal) {
        bail!(
            "\"{name}\" cannot be the name of an app: give a folder whose name has letters, digits, '-' and '_' and \
             begins with a letter"
        );
    }
    if name == "paylog" {
        bail!("an app that is named like the library cannot use it: choose another name than \"paylog\"");
    }
    Ok(name.to_owned())
}

/// Returns the library as a dependency in Cargo.toml.
fn library(given: Option<&str>) -> Result<String> {
    let Some(given) = given else {
        return Ok(format!("\"{}\"", env!("CARGO_PKG_VERSION")));
    };
    let quoted = |key: &str, value: &str| {
        // A literal string of TOML cannot hold its own quotation mark.
        if value.contains(['\'', '\n']) {
            bail!("--library: \"{value}\" cannot be written into Cargo.toml");
        }
        Ok(format!("{{ {key} = '{value}' }}"))
    };
    if given.contains("://") || given.starts_with("git@") {
        return quoted("git", given);
    }
    let path = fs::canonicalize(given)
        .with_context(|| format!("--library {given}: neither a folder nor an address of a git repository"))?;
    if !path.join("Cargo.toml").is_file() {
        bail!("--library {given}: there is no Cargo.toml in that folder");
    }
    quoted("path", &path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_is_a_dependency_of_cargo() {
        assert_eq!(
            library(None).unwrap(),
            format!("\"{}\"", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(
            library(Some("https://git.example.com/paylog")).unwrap(),
            "{ git = 'https://git.example.com/paylog' }"
        );
        let here = library(Some(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(here.starts_with("{ path = '/"), "{here}");
        assert!(library(Some("/nowhere")).is_err());
        assert!(library(Some("https://it's")).is_err());
    }

    #[test]
    fn folder_is_normalized() {
        for (given, plain) in [
            ("a/../x", "x"),
            ("./x", "x"),
            ("../x", "../x"),
            ("a/../../x", "../x"),
            ("/a/b/../x", "/a/x"),
            ("a/./b/../../x/", "x"),
        ] {
            assert_eq!(normalized(Path::new(given)), Path::new(plain), "{given}");
        }
    }

    #[test]
    fn invalid_package_name_is_refused() {
        for name in ["1st", "a b", "", "/", "paylog", "ä"] {
            assert!(package_name(Path::new(name)).is_err(), "{name}");
        }
        assert_eq!(package_name(Path::new("/tmp/my-app")).unwrap(), "my-app");
    }
}
