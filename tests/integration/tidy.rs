//! What the compiler does not check about the code base: which module may know which, how long a file may get, what
//! must not stay behind.
//!
//! Everything is read from the source text. It is rough, so each check is also tried on a text that breaks it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests.
const LINES_MAX: usize = 800;

/// Which modules a module may import. The longest path that fits holds; a module may always import itself.
const ALLOWED_IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("environment", &["model"]),
    ("store", &["model"]),
    ("store::fault", &["model", "environment"]),
    ("credentials", &["model"]),
    ("http", &["model", "credentials", "environment"]),
    ("config", &["model", "credentials"]),
    ("telemetry", &[]),
    ("payment", &["model"]),
    ("payment::driver", PAYMENT_RIM),
    ("payment::service", PAYMENT_RIM),
    ("payment::audit", PAYMENT_RIM),
    ("payment::relocation", PAYMENT_RIM),
    ("payment::worker", PAYMENT_RIM),
    ("client", &["model", "store", "environment", "credentials"]),
    ("storage", &["model", "store", "environment"]),
    ("migration", &["model", "store", "environment"]),
    ("migration::pull", FROM_A_SERVER),
    ("migration::verification", FROM_A_SERVER),
    ("engine", &["model", "environment", "credentials", "http"]),
    ("load_generator", &["credentials", "environment", "telemetry"]),
    (
        "server",
        &["model", "store", "environment", "credentials", "http"],
    ),
];

/// The part of `payment` that is not pure: it carries out what the machine decides.
const PAYMENT_RIM: &[&str] = &["model", "store", "environment"];

/// What reads another home of the data, and knows what its money means.
const FROM_A_SERVER: &[&str] = &["model", "store", "environment", "client", "payment"];

/// What may import everything: it wires the others together.
const WIRING: &[&str] = &["app", "cli", "testing"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below `folders`, by their path from the root.
fn rust_files(folders: &[&str]) -> Vec<PathBuf> {
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

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The text up to the tests of the file, which come last.
fn without_tests(text: &str) -> String {
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

fn without_comments(text: &str) -> String {
    let code = |line: &str| match line.find("//") {
        // An address in a text, not a comment.
        Some(start) if !line[..start].ends_with(':') => line[..start].to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// `src/engine/hook.rs` is `engine::hook`.
fn module_of(path: &Path) -> String {
    let inner = path.strip_prefix("src").unwrap().with_extension("");
    let parts: Vec<_> = inner.iter().map(|part| part.to_str().unwrap()).collect();
    parts.join("::")
}

/// The modules of the crate that `text` names: what follows each `crate::`, groups in braces included.
fn imports(text: &str) -> BTreeSet<String> {
    let name = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut found = BTreeSet::new();
    for (_, rest) in text
        .match_indices("crate::")
        .map(|(start, found)| (start, &text[start + found.len()..]))
    {
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' | ',' if depth == 0 => {
                    found.insert(name(&group[start..index]));
                    start = index + 1;
                }
                '}' => depth -= 1,
                _ => {}
            }
            if c == '}' && depth == 0 && start == index + 1 {
                break;
            }
        }
    }
    found.remove("");
    found
}

/// The imports of `module` that the table forbids.
fn forbidden_imports(module: &str, text: &str) -> Vec<String> {
    let own = module.split("::").next().unwrap();
    if WIRING.contains(&own) || own == "lib" {
        return Vec::new();
    }
    let within = |prefix: &str| module == prefix || module.starts_with(&format!("{prefix}::"));
    let (_, allowed) = ALLOWED_IMPORTS
        .iter()
        .filter(|(prefix, _)| within(prefix))
        .max_by_key(|(prefix, _)| prefix.len())
        .unwrap_or_else(|| panic!("{module} is not in the table of allowed imports"));
    imports(&without_comments(&without_tests(text)))
        .into_iter()
        .filter(|import| import != own && !allowed.contains(&import.as_str()))
        .collect()
}

#[test]
fn modules_import_only_what_they_may_know() {
    let mut wrong = Vec::new();
    for path in rust_files(&["src"]) {
        let module = module_of(&path);
        for import in forbidden_imports(&module, &read(&path)) {
            wrong.push(format!("{} must not import {import}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_forbidden_import_is_seen() {
    let text = "
        use crate::model::{Document, Filter};
        use crate::{
            model::Value,
            store::{Store, Write},
            server,
        };
        // crate::cli is only spoken of
        fn f() { crate::storage::open(); }
        #[cfg(test)]
        mod tests {
            use crate::client;
        }";
    assert_eq!(
        imports(&without_comments(text)),
        ["client", "model", "server", "storage", "store"]
            .map(str::to_owned)
            .into()
    );
    assert_eq!(forbidden_imports("model::filter", text.trim()).len(), 4);
    let lines: String = text
        .lines()
        .map(|line| format!("{}\n", line.trim_start()))
        .collect();
    assert_eq!(
        forbidden_imports("model::filter", &lines),
        ["server", "storage", "store"]
    );
    assert_eq!(forbidden_imports("server::classes", &lines), ["storage"]);
    assert!(forbidden_imports("cli::serve", &lines).is_empty());
}

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for path in rust_files(&["src", "functions"]) {
        let lines = without_tests(&read(&path)).lines().count();
        if lines > LINES_MAX {
            long.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert!(
        long.is_empty(),
        "longer than {LINES_MAX} lines:\n{}",
        long.join("\n")
    );
}

#[test]
fn nothing_unfinished_stays_behind() {
    let unfinished = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    let mut left = Vec::new();
    for path in rust_files(&["src", "functions", "tests"]) {
        let text = without_comments(&read(&path));
        for mark in &unfinished {
            if text.contains(mark.as_str()) {
                left.push(format!("{}: {mark}…)", path.display()));
            }
        }
    }
    assert!(left.is_empty(), "{}", left.join("\n"));
}

#[test]
fn a_module_with_children_is_a_file_beside_its_folder() {
    for path in rust_files(&["src"]) {
        assert_ne!(path.file_name().unwrap(), "mod.rs", "{}", path.display());
        let folder = path.parent().unwrap();
        if folder != Path::new("src") {
            let file = root().join(folder).with_extension("rs");
            assert!(file.exists(), "{} has no {}", folder.display(), file.display());
        }
    }
}

#[test]
fn no_lint_is_silenced_without_a_reason() {
    let mut bare = Vec::new();
    for path in rust_files(&["src", "functions"]) {
        let text = without_comments(&read(&path));
        for (start, _) in text
            .match_indices("#[allow(")
            .chain(text.match_indices("#![allow("))
        {
            let attribute = text[start..].split(']').next().unwrap();
            if !attribute.contains("reason = ") {
                bare.push(format!("{}: {attribute}]", path.display()));
            }
        }
    }
    assert!(
        bare.is_empty(),
        "use #[expect(.., reason = \"..\")]:\n{}",
        bare.join("\n")
    );
}

/// The feature list that `manifest` gives a feature, up to its closing bracket.
fn feature<'a>(manifest: &'a str, name: &str) -> &'a str {
    let begin = format!("\n{name} = [");
    let start = manifest
        .find(&begin)
        .unwrap_or_else(|| panic!("no feature {name}"))
        + begin.len();
    manifest[start..].split(']').next().unwrap()
}

/// The failpoint store must not be in a program that carries money. It needs the feature `failpoints`, which only
/// dev-dependencies switch on, and debug assertions, which no release profile has.
#[test]
fn release_build_contains_no_failpoints() {
    let condition = "#[cfg(all(feature = \"failpoints\", debug_assertions))]\nmod failpoint_store;";
    assert!(read(Path::new("src/app.rs")).contains(condition));
    let variable = ["PAYLOG", "HALT"].join("_");
    for path in rust_files(&["src", "functions"]) {
        if path != Path::new("src/app/failpoint_store.rs") {
            assert!(!read(&path).contains(&variable), "{}", path.display());
        }
    }
    let manifest = read(Path::new("Cargo.toml"));
    for shipped in ["default", "runtime", "package"] {
        assert!(!feature(&manifest, shipped).contains("failpoints"), "{shipped}");
    }
    assert!(
        !manifest.contains("debug-assertions"),
        "a profile changes what is compiled"
    );
}
