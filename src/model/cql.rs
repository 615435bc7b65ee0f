//! CQL, LeanCloud's dialect of SQL: `select` statements, read into a [`Query`].
//!
//! ```text
//! select * | [include] key, … | count(*), …  from Class
//!     [where key = value and (key in (…) or …)]  [limit [skip,] n]  [order by [+|-]key [asc|desc], …]
//! ```
//!
//! A `?` takes the next of the values sent beside the statement. A statement is translated into the parameters of an
//! ordinary query and parsed as such: one set of rules for both languages.

mod condition;
mod lexer;
mod parser;
mod select;
mod syntax_error;
mod value;

use crate::model::{ClassName, CloudError, Query, Timestamp, Value};

use parser::Parser;
use syntax_error::syntax_error;

/// Maximum length of a statement in bytes.
const LENGTH_MAX: usize = 128 * 1024;

/// A `select` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectStatement {
    /// The class to read.
    pub class: ClassName,
    /// The query.
    pub query: Query,
}

impl SelectStatement {
    /// Parses a statement. Each `?` takes the next of `values`; further values are ignored. `now` is the value of
    /// `current_timestamp()`.
    ///
    /// # Errors
    /// 300 if it is malformed or has more `?` than values; 1 for statements that write; the errors of
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
