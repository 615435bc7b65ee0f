//! `paylog new`: a small app to begin with.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::app::terminal;

/// `paylog new`.
#[derive(Args, Clone, Debug)]
pub(crate) struct NewArguments {
    /// The folder to make; its name becomes that of the app
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// Where paylog's library is: a folder, or the address of a git repository [default: the package registry]
    #[arg(long, value_name = "PATH OR GIT")]
    pub(crate) library: Option<String>,
}

/// Every file of the new app, with what stands in it.
const FILES: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("new/Cargo.toml.txt")),
    ("functions/main.rs", include_str!("new/main.rs.txt")),
    ("functions/hello.rs", include_str!("new/hello.rs.txt")),
    ("functions/review.rs", include_str!("new/review.rs.txt")),
    ("leanengine.yaml", include_str!("new/leanengine.yaml.txt")),
    ("README.md", include_str!("new/README.md.txt")),
    (".gitignore", "/target\n/paylog-data\n/package\n"),
];

/// Writes the app into a folder that is not there, or empty.
pub(crate) fn run(arguments: &NewArguments) -> Result<bool> {
    let folder = &without_detours(&arguments.folder);
    let name = name_of(folder)?;
    let library = library(arguments.library.as_deref())?;
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", folder.display())),
    };
    if !is_empty {
        bail!(
            "{} is not empty: name a folder that is not there yet",
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

/// `a/../x` is `x`, also where there is no `a`: what is looked at and what is written must be one folder.
fn without_detours(path: &Path) -> PathBuf {
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

/// The name of the package: that of the folder.
fn name_of(folder: &Path) -> Result<String> {
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

/// The library as Cargo.toml names it.
fn library(given: Option<&str>) -> Result<String> {
    let Some(given) = given else {
        return Ok(format!("\"{}\"", env!("CARGO_PKG_VERSION")));
    };
    let quoted = |key: &str, value: &str| {
        // TOML's literal strings hold everything but their own quotation mark.
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
    fn the_library_is_named_as_cargo_wants_it() {
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
    fn a_folder_is_what_it_comes_to() {
        for (given, plain) in [
            ("a/../x", "x"),
            ("./x", "x"),
            ("../x", "../x"),
            ("a/../../x", "../x"),
            ("/a/b/../x", "/a/x"),
            ("a/./b/../../x/", "x"),
        ] {
            assert_eq!(without_detours(Path::new(given)), Path::new(plain), "{given}");
        }
    }

    #[test]
    fn a_name_that_cargo_refuses_is_refused_here() {
        for name in ["1st", "a b", "", "/", "paylog", "ä"] {
            assert!(name_of(Path::new(name)).is_err(), "{name}");
        }
        assert_eq!(name_of(Path::new("/tmp/my-app")).unwrap(), "my-app");
    }
}
