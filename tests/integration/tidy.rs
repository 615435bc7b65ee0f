//! Rules of the code base that the compiler does not check: which module may use which, which files may use each other,
//! the length of a file, the form of doc comments, leftovers.
//!
//! The rules of modules are those of `src/ARCHITECTURE.md`; they are read from that page. Each check is also tried on a
//! text that breaks it.

mod architecture;
mod graph;
mod source;

use std::collections::BTreeSet;
use std::path::Path;

use architecture::Row;
use graph::Graph;
use source::{doc_summaries, read, root, rust_files, without_comments, without_tests};

/// Lines of a file without its tests.
const LINES_MAX: usize = 800;

/// Uses that the table of modules forbids, with their reasons: a module, and what a file of it uses.
const EXCEPTIONS: [(&str, &str, &str); 0] = [];

/// Exceptions that the table may have.
const EXCEPTIONS_MAX: usize = 2;

/// The files outside the table: the crate's root declares modules.
const ROOT: &str = "lib";

fn page() -> String {
    read(Path::new("src/ARCHITECTURE.md"))
}

/// The row of the table that holds for a module: that with the longest path that fits.
fn row_of<'a>(table: &'a [Row], module: &str) -> &'a Row {
    let fit = |row: &Row| -> Option<usize> {
        let fits = row.modules.iter().filter(|within| {
            let rest = module.strip_prefix(within.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
        fits.map(String::len).max()
    };
    let row = table.iter().max_by_key(|row| fit(row));
    row.filter(|row| fit(row).is_some())
        .unwrap_or_else(|| panic!("{module} is in no row of the table of modules"))
}

/// The uses that the table forbids.
fn forbidden_uses(table: &[Row], exceptions: &[(&str, &str, &str)], graph: &Graph) -> Vec<String> {
    let mut forbidden = Vec::new();
    for (from, to) in graph.edges() {
        if from == ROOT || to == ROOT {
            continue;
        }
        let (user, used) = (row_of(table, from), row_of(table, to));
        let is_allowed = user.modules == used.modules
            || user
                .allowed
                .as_ref()
                .is_none_or(|allowed| !allowed.is_disjoint(&used.modules))
            || exceptions
                .iter()
                .any(|(module, exception, _)| *module == from && used.modules.contains(*exception));
        if !is_allowed {
            forbidden.push(format!("{from} must not use {to}"));
        }
    }
    forbidden
}

/// The rows of the table whose modules may use each other, directly or through other rows.
fn table_cycles(table: &[Row]) -> Vec<BTreeSet<String>> {
    // One source text for each row, with a use of each row that it allows. A row that allows everything is a part of no
    // cycle as long as no other row allows it.
    let name = |row: &Row| row.modules.first().cloned().unwrap_or_default();
    let uses = |row: &Row| -> String {
        let allowed = row.allowed.iter().flatten();
        allowed
            .map(|module| format!("use crate::{};", name(row_of(table, module))))
            .collect()
    };
    Graph::new(&table.iter().map(|row| (name(row), uses(row))).collect()).cycles()
}

fn graph_of(sources: &[(&str, &str)]) -> Graph {
    let owned = |(module, text): &(&str, &str)| ((*module).to_owned(), (*text).to_owned());
    Graph::new(&sources.iter().map(owned).collect())
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn modules_use_only_what_the_table_allows() {
    let forbidden = forbidden_uses(
        &architecture::table(&page()),
        &EXCEPTIONS,
        &Graph::new(&graph::library()),
    );
    assert!(forbidden.is_empty(), "{}", forbidden.join("\n"));
}

#[test]
fn the_table_of_modules_has_few_exceptions_and_no_cycle() {
    let table = architecture::table(&page());
    assert!(EXCEPTIONS.len() <= EXCEPTIONS_MAX);
    let library = graph::library();
    for row in &table {
        for module in row.modules.iter().chain(row.allowed.iter().flatten()) {
            assert!(
                library.contains_key(module),
                "{module} is in the table, and no module"
            );
        }
    }
    assert_eq!(table_cycles(&table), [], "modules that may use each other");
}

#[test]
fn files_that_use_each_other_are_listed_with_a_reason() {
    let page = page();
    let listed: BTreeSet<_> = architecture::cycles(&page).into_iter().collect();
    let found: BTreeSet<_> = Graph::new(&graph::library()).cycles().into_iter().collect();
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&found).collect();
    assert!(
        unlisted.is_empty() && stale.is_empty(),
        "`{}` of src/ARCHITECTURE.md lacks {unlisted:#?}\nand lists, though they are no cycles, {stale:#?}",
        architecture::CYCLES
    );
}

const PAGE: &str = "
| module | what it is | may use |
| --- | --- | --- |
| [`model`] | `values` | nothing |
| [`store`] | ports | `model` |
| [`server`], [`http`] | the API | `model`, `store` |
| [`cli`] | commands | everything |

## Cycles within modules

- `model::filter`, `model::query`: a subquery is a query.

## Words

- no cycle
";

#[test]
fn a_forbidden_use_is_found() {
    let table = architecture::table(PAGE);
    let graph = graph_of(&[
        ("model", "pub use value::Value; mod value;"),
        (
            "model::value",
            "// crate::server is mentioned\n/// [`crate::server`]\nfn f() {}",
        ),
        (
            "model::filter",
            "use crate::{model::Value, store::{Store, Write}, server};",
        ),
        (
            "model::query",
            "fn f() { crate::store::open(); } #[cfg(test)] mod tests { use crate::server; }",
        ),
        (
            "model::schema",
            r#"#[serde(default = "crate::store::one")] struct A;"#,
        ),
        ("server", "use super::store::Store; use crate::http;"),
        ("http", "fn f() {}"),
        (
            "store",
            "use crate::model::Value; const PLACE: &str = \"crate::server\";",
        ),
        ("cli", "use crate::server;"),
    ]);
    assert_eq!(
        forbidden_uses(&table, &[], &graph),
        [
            "model::filter must not use server",
            "model::filter must not use store",
            "model::query must not use store",
            "model::schema must not use store",
        ]
    );
    let exceptions = [
        ("model::filter", "server", "a reason"),
        ("model::query", "store", "a reason"),
    ];
    assert_eq!(forbidden_uses(&table, &exceptions, &graph).len(), 2);
    assert_eq!(
        graph
            .edges()
            .filter(|(from, _)| *from == "store")
            .collect::<Vec<_>>(),
        [("store", "model::value")]
    );
}

#[test]
fn a_cycle_in_the_table_of_modules_is_found() {
    let mut table = architecture::table(PAGE);
    assert_eq!(table_cycles(&table), []);
    table[0].allowed = Some(set(&["http"]));
    assert_eq!(table_cycles(&table), [set(&["http", "model", "store"])]);
}

#[test]
fn a_cycle_of_files_is_found_through_reexports() {
    let graph = graph_of(&[
        (
            "a",
            "mod one; mod two; mod three; pub use one::{First, Second as Other}; pub(crate) use two::Two;",
        ),
        ("a::one", "use crate::a::Two; pub struct First;"),
        ("a::two", "use super::three::Three; pub struct Two;"),
        ("a::three", "fn f() -> crate::a::Other { todo }"),
        ("b", "mod child; use child::Part; pub struct Whole;"),
        ("b::child", "use super::Whole;"),
        (
            "c",
            "use crate::a::First; #[cfg(test)] use crate::d; mod tests {}",
        ),
        ("d", "use crate::c;"),
    ]);
    assert_eq!(
        graph.cycles(),
        [set(&["a::one", "a::three", "a::two"]), set(&["b", "b::child"])]
    );
    assert_eq!(
        architecture::cycles(PAGE),
        [set(&["model::filter", "model::query"])]
    );
}

/// Doc comments whose first line begins with a question word: a noun phrase or a verb says what the item is.
fn doc_questions(text: &str) -> Vec<(usize, &str)> {
    const WORDS: [&str; 14] = [
        "What",
        "Whether",
        "How",
        "Where",
        "Which",
        "Who",
        "Whom",
        "Whose",
        "When",
        "Why",
        "Whoever",
        "Whatever",
        "Wherever",
        "Whichever",
    ];
    let mut summaries = doc_summaries(text);
    summaries.retain(|(_, summary)| {
        let word = summary.split(|c: char| !c.is_alphanumeric()).next();
        word.is_some_and(|word| WORDS.contains(&word))
    });
    summaries
}

#[test]
fn doc_comments_do_not_begin_with_a_question_word() {
    let mut found = Vec::new();
    for path in rust_files(&["src", "functions"]) {
        for (line, summary) in doc_questions(&read(&path)) {
            found.push(format!("{}:{line}: {summary}", path.display()));
        }
    }
    assert!(
        found.is_empty(),
        "begin with a question word:\n{}",
        found.join("\n")
    );
}

#[test]
fn a_doc_comment_that_begins_with_a_question_word_is_found() {
    let text = "
        //! What this is.

        /// The size.
        /// What it is for.
        struct A;
        /// Whether it is
        /// done.
        fn f() {}
        // Why this is so.
        /// Whatsoever.
        /// How";
    let lines: Vec<_> = doc_questions(text).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [2, 7]);
}

#[test]
fn files_have_at_most_800_lines() {
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
fn no_unfinished_code_is_left() {
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
fn no_module_is_a_mod_rs_file() {
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
fn lints_are_silenced_only_with_a_reason() {
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
