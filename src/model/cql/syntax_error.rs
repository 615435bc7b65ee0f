//! Syntax errors and their positions.

use crate::model::{CloudError, ErrorCode};

/// A 300 error.
pub(super) fn syntax_error(detail: &str) -> CloudError {
    CloudError::new(
        ErrorCode::CQL_SYNTAX,
        format!("CQL syntax error.Detail: {detail}"),
    )
}

/// Shows a position: `line 1, column 10:`, the line, and a mark below the character.
pub(super) fn show_place(text: &str, place: usize) -> String {
    let before = text.get(..place).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let row = before.matches('\n').count() + 1;
    let column = before.get(start..).unwrap_or_default().chars().count();
    let line: String = text
        .get(start..)
        .unwrap_or_default()
        .chars()
        .take_while(|c| *c != '\n')
        // Long lines are cut to keep the message readable.
        .take(column.saturating_add(100))
        .collect();
    format!(
        "line {row}, column {}:\n{line}\n{}^",
        column + 1,
        " ".repeat(column)
    )
}
