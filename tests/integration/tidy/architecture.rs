//! The rules that `src/ARCHITECTURE.md` states: its table of modules, and its list of cycles.

use std::collections::BTreeSet;

/// The heading of the list of cycles.
pub(super) const CYCLES: &str = "## Cycles within modules";

/// A row of the table of modules.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The modules that the row is about. They may use each other.
    pub(super) modules: BTreeSet<String>,
    /// The modules that they may use besides; `None` for everything.
    pub(super) allowed: Option<BTreeSet<String>>,
}

/// The texts between backticks.
fn names(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Reads the table with the columns `module` and `may use`.
pub(super) fn table(page: &str) -> Vec<Row> {
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim().trim_matches('|');
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut rows = page.lines().skip_while(|line| !line.starts_with("| module |"));
    let header = cells(rows.next().expect("the page has a table of modules"));
    let column = header.iter().position(|cell| cell == "may use");
    let column = column.expect("the table of modules has a column `may use`");
    // Behind the line below the header.
    let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells = cells(row);
        let allowed = &cells[column];
        Row {
            modules: names(&cells[0]),
            allowed: (allowed != "everything").then(|| names(allowed)),
        }
    })
    .collect()
}

/// Reads the list of cycles: one line each, its modules in backticks, then a colon and the reason.
pub(super) fn cycles(page: &str) -> Vec<BTreeSet<String>> {
    let section = page.lines().skip_while(|line| *line != CYCLES).skip(1);
    let items = section
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("- "));
    items
        .map(|item| {
            let (modules, reason) = item.split_once("`: ").unwrap_or((item, ""));
            assert!(!reason.trim().is_empty(), "a cycle without a reason: {item}");
            names(modules)
        })
        .collect()
}
