//! Parser of `select` statements.

use serde_json::{Map, json};

use super::lexer::TokenKind;
use super::parser::Parser;
use super::syntax_error::syntax_error;
use crate::model::{CloudError, Document, Query, Value};

/// A parsed `select`, as the parameters of a query.
#[derive(Debug, Default)]
pub(super) struct Statement {
    pub(super) class: String,
    /// The selected keys, `*` aside.
    pub(super) keys: Vec<String>,
    all: bool,
    include: Vec<String>,
    count: bool,
    condition: Option<Value>,
    limit: Option<Value>,
    skip: Option<Value>,
    order: Vec<String>,
}

impl Statement {
    pub(super) fn into_parameters(self) -> Document {
        let mut parameters = Document::new();
        let only_counts = self.count && !self.all && self.keys.is_empty() && self.include.is_empty();
        let mut add = |name: &str, value: Value| {
            parameters.insert(name.to_owned(), value);
        };
        if let Some(condition) = self.condition {
            add("where", condition);
        }
        if !self.all && !self.keys.is_empty() {
            add("keys", self.keys.join(",").into());
        }
        for (name, list) in [("include", &self.include), ("order", &self.order)] {
            if !list.is_empty() {
                add(name, list.join(",").into());
            }
        }
        if self.count {
            add("count", 1.into());
        }
        if only_counts {
            add("limit", 0.into());
        } else if let Some(limit) = self.limit {
            add("limit", limit);
        }
        if let Some(skip) = self.skip {
            add("skip", skip);
        }
        parameters
    }

    /// The query inside `$inQuery` and `$select`.
    pub(super) fn into_subquery(self) -> Value {
        let class = self.class.clone();
        // The maximum by default.
        let unlimited = self.limit.is_none();
        let mut query: Map<String, Value> = self.into_parameters().0;
        query.shift_remove("keys");
        if unlimited {
            query.insert("limit".to_owned(), Query::LIMIT_MAX.into());
        }
        query.insert("className".to_owned(), class.into());
        Value::Object(query)
    }
}

impl Parser<'_> {
    /// Parses `select … from …` with all that follows.
    pub(super) fn select(&mut self) -> Result<Statement, CloudError> {
        let mut statement = Statement::default();
        self.expect("select")?;
        loop {
            self.selected(&mut statement)?;
            if self.accept(",") {
                continue;
            }
            if self.accept("from") {
                break;
            }
            return Err(self.unexpected(&["from", ","]));
        }
        statement.class = self.name("the name of a class")?;
        loop {
            if statement.condition.is_none() && self.accept("where") {
                statement.condition = Some(self.nested(Self::alternatives)?);
            } else if statement.limit.is_none() && self.accept("limit") {
                self.limit(&mut statement)?;
            } else if statement.order.is_empty() && self.accept("order") {
                self.expect("by")?;
                self.order(&mut statement)?;
            } else {
                return Ok(statement);
            }
        }
    }

    fn selected(&mut self, statement: &mut Statement) -> Result<(), CloudError> {
        if self.accept("*") {
            statement.all = true;
            return Ok(());
        }
        let name = self.name("*, a key, count(*), include")?;
        if name.eq_ignore_ascii_case("count") && self.accept("(") {
            if !self.accept("*") {
                self.name("*, a key")?;
            }
            statement.count = true;
            return self.expect(")");
        }
        let is_path_next = matches!(self.peek(), TokenKind::Name(_))
            || matches!(self.peek(), TokenKind::Word(word) if !word.eq_ignore_ascii_case("from"));
        if name.eq_ignore_ascii_case("include") && is_path_next {
            let path = self.name("a key")?;
            statement.include.push(path);
            return Ok(());
        }
        statement.keys.push(name);
        Ok(())
    }

    fn limit(&mut self, statement: &mut Statement) -> Result<(), CloudError> {
        let first = self.count_value()?;
        if self.accept(",") {
            statement.skip = Some(first);
            statement.limit = Some(self.count_value()?);
        } else {
            statement.limit = Some(first);
        }
        Ok(())
    }

    fn count_value(&mut self) -> Result<Value, CloudError> {
        let value = match self.peek() {
            TokenKind::Number(_) | TokenKind::Parameter => self.value()?,
            _ => return Err(self.unexpected(&["a number", "?"])),
        };
        match value {
            Value::Number(number) => Ok(json!(number)),
            _ => Err(syntax_error("'limit' needs numbers.")),
        }
    }

    /// Parses a list of keys with directions. A key's sign wins over the word behind it; a key with neither takes
    /// the word at the end of the list.
    fn order(&mut self, statement: &mut Statement) -> Result<(), CloudError> {
        let mut keys: Vec<(String, Option<bool>)> = Vec::new();
        let last = loop {
            let sign = self.direction("+", "-");
            let key = self.name("a key")?;
            let word = self.direction("asc", "desc");
            keys.push((key, sign.or(word)));
            if !self.accept(",") {
                break word;
            }
        };
        let signed = keys.into_iter().map(|(key, descending)| {
            let descending = descending.or(last).unwrap_or(false);
            let sign = if descending { "-" } else { "" };
            format!("{sign}{key}")
        });
        statement.order.extend(signed);
        Ok(())
    }

    /// True for a descending order, false for an ascending one; `None` if no direction follows.
    fn direction(&mut self, ascending: &str, descending: &str) -> Option<bool> {
        if self.accept(ascending) {
            return Some(false);
        }
        self.accept(descending).then_some(true)
    }
}
