//! The packager: the app, built for LeanEngine and packed into an archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader, SectionHeader};
use serde::Deserialize;

use crate::app::terminal;

/// Version of glibc on Ubuntu 20.04, on which LeanEngine runs programs.
const GLIBC: (u32, u32) = (2, 31);

/// Packs `program`, or the app that it builds for LeanEngine, with its `leanengine.yaml`; returns true.
///
/// # Errors
/// An app that does not build; a program that does not start on Ubuntu 20.04.
pub(super) fn run(program: Option<&Path>, folder: &Path) -> Result<bool> {
    let app = App::read()?;
    let program = match program {
        Some(program) => program.to_owned(),
        None => build(&app)?,
    };
    let needs = check(&program)?;
    let archive = pack(&app, &program, folder)?;
    terminal::print_line(format!(
        "{} starts on Ubuntu 20.04 ({needs}) and is packed in {}.\n\
         To deploy it: unpack it into a folder of its own, and there run lean deploy.",
        program.display(),
        archive.display()
    ));
    Ok(true)
}

/// The app in the working folder, as Cargo describes it.
struct App {
    name: String,
    version: String,
    program: String,
    target: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    default_run: Option<String>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl App {
    fn read() -> Result<Self> {
        let output = Command::new("cargo")
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .context("cargo cannot be started: install Rust first")?;
        if !output.status.success() {
            bail!(
                "there is no app to package in this folder: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let metadata: Metadata =
            serde_json::from_slice(&output.stdout).context("the output of cargo metadata cannot be read")?;
        let mut packages = metadata.packages.into_iter();
        let (Some(package), None) = (packages.next(), packages.next()) else {
            bail!("there are several packages here: change to the folder of the app");
        };
        let mut programs = package
            .targets
            .iter()
            .filter(|target| target.kind.iter().any(|kind| kind == "bin"))
            .map(|target| target.name.clone());
        let program = package.default_run.or_else(|| programs.next());
        Ok(Self {
            program: program.context("the package here has no program")?,
            name: package.name,
            version: package.version,
            target: metadata.target_directory,
        })
    }
}

/// Methods of building for an older system, best first.
enum BuildMethod {
    /// With cargo-zigbuild, which links against the requested glibc.
    Zig,
    /// With Rust's musl target: statically linked.
    Musl,
    /// For the system of the build: sufficient if it is old enough.
    Plain,
}

fn build(app: &App) -> Result<PathBuf> {
    let method = if succeeds("cargo", &["zigbuild", "--help"]) {
        BuildMethod::Zig
    } else if has_musl() {
        BuildMethod::Musl
    } else {
        BuildMethod::Plain
    };
    let glibc = format!("x86_64-unknown-linux-gnu.{}.{}", GLIBC.0, GLIBC.1);
    let (command, target, folder) = match method {
        BuildMethod::Zig => ("zigbuild", Some(glibc.as_str()), Some("x86_64-unknown-linux-gnu")),
        BuildMethod::Musl => (
            "build",
            Some("x86_64-unknown-linux-musl"),
            Some("x86_64-unknown-linux-musl"),
        ),
        BuildMethod::Plain => ("build", None, None),
    };
    let mut cargo = Command::new("cargo");
    cargo.args([command, "--release", "--bin", &app.program]);
    if let Some(target) = target {
        cargo.args(["--target", target]);
    }
    let status = cargo.status().context("cargo cannot be started")?;
    if !status.success() {
        bail!("the app does not build ({status}): see above");
    }
    let mut path = app.target.clone();
    path.extend(folder);
    path.extend(["release", &app.program]);
    Ok(path)
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// True if Rust's musl target and its C compiler are installed.
fn has_musl() -> bool {
    let arguments = [
        "--print",
        "target-libdir",
        "--target",
        "x86_64-unknown-linux-musl",
    ];
    let libraries = Command::new("rustc").args(arguments).output().ok();
    let libraries = libraries.and_then(|output| String::from_utf8(output.stdout).ok());
    libraries.is_some_and(|path| Path::new(path.trim()).is_dir()) && succeeds("musl-gcc", &["--version"])
}

/// Describes the C library that the program needs.
///
/// # Errors
/// A program that Ubuntu 20.04 cannot start.
fn check(program: &Path) -> Result<String> {
    let bytes = fs::read(program).with_context(|| format!("{} cannot be read", program.display()))?;
    let needs = needs(&bytes).with_context(|| {
        format!(
            "{} is no program for Linux on x86_64, which LeanEngine runs",
            program.display()
        )
    })?;
    let newer: Vec<&str> = needs
        .iter()
        .filter(|need| glibc(need).is_some_and(|version| version > GLIBC))
        .map(String::as_str)
        .collect();
    if !newer.is_empty() {
        bail!(
            "{} does not start on Ubuntu 20.04, whose C library is {}.{}: it needs {}. Install \
             cargo-zigbuild and zig (pip install cargo-zigbuild ziglang), and run this again: it links against the \
             older one",
            program.display(),
            GLIBC.0,
            GLIBC.1,
            newer.join(", ")
        );
    }
    let newest = needs.iter().filter_map(|need| glibc(need)).max();
    Ok(newest.map_or_else(
        || "statically linked".to_owned(),
        |(major, minor)| format!("it needs glibc {major}.{minor}"),
    ))
}

/// Parses a symbol version: `GLIBC_2.31` is (2, 31).
fn glibc(need: &str) -> Option<(u32, u32)> {
    let mut numbers = need.strip_prefix("GLIBC_")?.split('.');
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next().map_or(Some(0), |minor| minor.parse().ok())?;
    Some((major, minor))
}

/// The symbol versions of shared libraries that a program requires.
fn needs(program: &[u8]) -> Result<Vec<String>> {
    let header = FileHeader64::<Endianness>::parse(program)?;
    let endian = header.endian()?;
    if header.e_machine(endian) != object::elf::EM_X86_64 {
        bail!("it is for another processor");
    }
    let sections = header.sections(endian, program)?;
    let mut needs = Vec::new();
    if let Some((mut libraries, strings)) = sections.gnu_verneed(endian, program)? {
        let strings = sections.section(strings)?.strings(endian, program)?;
        let strings = strings.unwrap_or_default();
        while let Some((_, mut versions)) = libraries.next()? {
            while let Some(version) = versions.next()? {
                let name = version.name(endian, strings)?;
                needs.push(String::from_utf8_lossy(name).into_owned());
            }
        }
    }
    Ok(needs)
}

/// Copies the program and its settings into a folder, and packs the folder.
fn pack(app: &App, program: &Path, folder: &Path) -> Result<PathBuf> {
    let inner = folder.join(&app.name);
    let settings = Path::new("leanengine.yaml");
    if !settings.is_file() {
        bail!("there is no leanengine.yaml in this folder: paylog new writes an example");
    }
    fs::create_dir_all(&inner).with_context(|| format!("{} cannot be made", inner.display()))?;
    let copy = |from: &Path, name: &str| {
        fs::copy(from, inner.join(name)).with_context(|| format!("{} cannot be copied", from.display()))
    };
    copy(program, &app.program)?;
    copy(settings, "leanengine.yaml")?;
    let archive = folder.join(format!("{}-{}.tar.gz", app.name, app.version));
    let status = Command::new("tar")
        .arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(&inner)
        .arg(".")
        .status()
        .context("tar cannot be started: install it, or copy the folder by hand")?;
    if !status.success() {
        bail!("the archive cannot be written ({status})");
    }
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_of_an_elf_file_are_read() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        if cfg!(all(
            target_arch = "x86_64",
            target_os = "linux",
            target_env = "gnu"
        )) {
            let needs = needs(&own).unwrap();
            assert!(
                needs
                    .iter()
                    .any(|need| glibc(need).is_some_and(|version| version >= (2, 2))),
                "{needs:?}"
            );
        }
        assert!(needs(b"#!/bin/sh\n").is_err());
        assert_eq!(glibc("GLIBC_2.31"), Some((2, 31)));
        assert_eq!(glibc("GLIBC_2.2.5"), Some((2, 2)));
        assert_eq!(glibc("GCC_3.0"), None);
    }
}
