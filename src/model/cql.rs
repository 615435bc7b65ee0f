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
mod select;
mod value;

use crate::model::{ClassName, CloudError, ErrorCode, Query, Timestamp, Value, limits};

use lexer::{Kind, Token};

/// The longest statement, in bytes.
const LENGTH_MAX: usize = 128 * 1024;

/// A `select` statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// What it reads.
    pub class: ClassName,
    /// What it asks for.
    pub query: Query,
}

impl Selection {
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
        let mut parser = Parser {
            text,
            tokens: lexer::split(text)?,
            at: 0,
            values: values.iter(),
            now,
            depth: 0,
        };
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

/// 300.
fn syntax_error(detail: &str) -> CloudError {
    CloudError::new(
        ErrorCode::CQL_SYNTAX,
        format!("CQL syntax error.Detail: {detail}"),
    )
}

/// A statement, and how far it is read. Its methods are in the modules beside, by what they read.
struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    values: std::slice::Iter<'a, Value>,
    now: Timestamp,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Kind {
        self.tokens.get(self.at).map_or(&Kind::End, |token| &token.kind)
    }

    fn next(&mut self) -> Kind {
        let kind = self.peek().clone();
        self.at += 1;
        kind
    }

    /// Takes a keyword or a sign where it is the next thing.
    fn accept(&mut self, wanted: &str) -> bool {
        let is_next = match self.peek() {
            Kind::Word(word) => word.eq_ignore_ascii_case(wanted),
            Kind::Sign(sign) => *sign == wanted,
            Kind::Name(_) | Kind::Text(_) | Kind::Number(_) | Kind::Parameter | Kind::End => false,
        };
        if is_next {
            self.at += 1;
        }
        is_next
    }

    fn expect(&mut self, wanted: &'static str) -> Result<(), CloudError> {
        if self.accept(wanted) {
            Ok(())
        } else {
            Err(self.unexpected(&[wanted]))
        }
    }

    fn expect_end(&mut self) -> Result<(), CloudError> {
        match self.peek() {
            Kind::End => Ok(()),
            _ => Err(self.unexpected(&["where", "limit", "order by", "the end"])),
        }
    }

    /// The name of a key or a class.
    fn name(&mut self, what: &'static str) -> Result<String, CloudError> {
        match self.peek().clone() {
            Kind::Word(name) | Kind::Name(name) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected(&[what])),
        }
    }

    /// Reads what is nested one level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, CloudError>) -> Result<T, CloudError> {
        if self.depth >= limits::FILTER_DEPTH_MAX {
            let text = format!("It is nested deeper than {} levels.", limits::FILTER_DEPTH_MAX);
            return Err(syntax_error(&text));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// 300, with the place and what could have stood there.
    fn unexpected(&self, expected: &[&str]) -> CloudError {
        let place = self
            .tokens
            .get(self.at)
            .map_or(self.text.len(), |token| token.place);
        syntax_error(&format!(
            "Parse error at {}\nExpected one of:\n{}\n",
            lexer::show_place(self.text, place),
            expected.join("\n")
        ))
    }
}

#[cfg(test)]
mod tests;
