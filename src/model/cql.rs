//! CQL, LeanCloud's dialect of SQL: `select` statements, read into a [`Query`].
//!
//! ```text
//! select * | [include] key, … | count(*), …  from Class
//!     [where key = value and (key in (…) or …)]  [limit [skip,] n]  [order by [+|-]key [asc|desc], …]
//! ```
//!
//! A `?` stands for the next of the values that come beside the statement. What a statement says is turned into the
//! parameters of an ordinary query and read like these: there is one set of rules, whatever the language.

mod condition;
mod lexer;
mod parser;
mod select;
mod syntax_error;
mod value;

use crate::model::{ClassName, CloudError, Query, Timestamp, Value};

use parser::Parser;
use syntax_error::syntax_error;

/// The longest statement, in bytes.
const LENGTH_MAX: usize = 128 * 1024;

/// A `select` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectStatement {
    /// What it reads.
    pub class: ClassName,
    /// What it asks for.
    pub query: Query,
}

impl SelectStatement {
    /// Reads a statement; each `?` takes the next of `values`, and what is left of them is left. `now` is what
    /// `current_timestamp()` stands for.
    ///
    /// # Errors
    /// 300 where it is malformed, or there are fewer values than `?`; 1 for statements that write; those of
    /// [`Query::parse`].
    pub fn parse(text: &str, values: &[Value], now: Timestamp) -> Result<Self, CloudError> {
        if text.len() > LENGTH_MAX {
            return Err(syntax_error(&format!("It is longer than {LENGTH_MAX} bytes.")));
        }
        let mut parser = Parser::new(text, values, now)?;
        for word in ["insert", "update", "delete"] {
            if parser.accept(word) {
                return Err(CloudError::other(format!(
                    "CQL that writes ('{word}') is not built yet in this server: it reads, by 'select'."
                )));
            }
        }
        let statement = parser.select()?;
        parser.expect_end()?;
        Ok(Self {
            class: ClassName::parse(&statement.class)?,
            query: Query::parse(&statement.into_parameters())?,
        })
    }
}

#[cfg(test)]
mod tests;
