//! The condition after `where`, as a filter in its wire form.

use serde_json::{Map, json};

use super::lexer::TokenKind;
use super::parser::Parser;
use super::select::Statement;
use super::syntax_error::syntax_error;
use crate::model::{CloudError, Pattern, Value};

/// Comparison signs and the operators of the wire form.
const COMPARISONS: [(&str, &str); 8] = [
    ("=", "$eq"),
    ("==", "$eq"),
    ("!=", "$ne"),
    ("<>", "$ne"),
    ("<=", "$lte"),
    (">=", "$gte"),
    ("<", "$lt"),
    (">", "$gt"),
];

impl Parser<'_> {
    /// Parses conditions joined by `or`.
    pub(super) fn alternatives(&mut self) -> Result<Value, CloudError> {
        let mut parts = vec![self.conjunction()?];
        while self.accept("or") {
            parts.push(self.conjunction()?);
        }
        Ok(joined("$or", parts))
    }

    fn conjunction(&mut self) -> Result<Value, CloudError> {
        let mut parts = vec![self.condition()?];
        while self.accept("and") {
            parts.push(self.condition()?);
        }
        Ok(joined("$and", parts))
    }

    fn condition(&mut self) -> Result<Value, CloudError> {
        if self.accept("(") {
            let inner = self.nested(Self::alternatives)?;
            self.expect(")")?;
            return Ok(inner);
        }
        let name = self.name("a key, (")?;
        if name.eq_ignore_ascii_case("size") && self.accept("(") {
            let key = self.name("a key")?;
            self.expect(")")?;
            self.expect("=")?;
            return Ok(test(&key, "$size", self.value()?));
        }
        if name.eq_ignore_ascii_case("related")
            && matches!(self.peek(), TokenKind::Word(_) | TokenKind::Name(_))
        {
            let key = self.name("a key")?;
            self.expect("to")?;
            let object = self.value()?;
            return Ok(json!({"$relatedTo": {"object": object, "key": key}}));
        }
        self.predicate(&name)
    }

    /// Parses the test of a key.
    fn predicate(&mut self, key: &str) -> Result<Value, CloudError> {
        let found = COMPARISONS.iter().find(|(sign, _)| self.accept(sign));
        if let Some((_, operator)) = found {
            return self.comparison(key, operator);
        }
        if self.accept("is") {
            let wanted = !self.accept("not");
            if self.accept("exists") {
                return Ok(test(key, "$exists", wanted.into()));
            }
            self.expect("null")?;
            return Ok(test(key, if wanted { "$eq" } else { "$ne" }, Value::Null));
        }
        if self.accept("near") {
            return self.near(key);
        }
        if self.accept("within") {
            let southwest = self.value()?;
            self.expect("and")?;
            let northeast = self.value()?;
            return Ok(test(key, "$within", json!({"$box": [southwest, northeast]})));
        }
        if self.accept("all") {
            return Ok(test(key, "$all", Value::Array(self.values()?)));
        }
        let wanted = !self.accept("not");
        if self.accept("in") {
            return self.member(key, wanted);
        }
        let pattern = if self.accept("like") {
            match self.value()? {
                Value::String(pattern) => like(&pattern),
                _ => return Err(syntax_error("'like' needs a text.")),
            }
        } else if self.accept("regexp") {
            self.value()?
        } else {
            return Err(self.unexpected(&[
                "=",
                "!=",
                "<",
                "<=",
                ">",
                ">=",
                "in",
                "not in",
                "like",
                "regexp",
                "is exists",
                "is null",
                "all",
                "near",
                "within",
            ]));
        };
        let found = json!({ "$regex": pattern });
        let operand = if wanted { found } else { json!({ "$not": found }) };
        Ok(Value::Object(Map::from_iter([(key.to_owned(), operand)])))
    }

    fn comparison(&mut self, key: &str, operator: &str) -> Result<Value, CloudError> {
        let is_subquery = matches!(self.peek(), TokenKind::Sign("("));
        if !is_subquery {
            return Ok(test(key, operator, self.value()?));
        }
        self.expect("(")?;
        let statement = self.nested(Self::select)?;
        self.expect(")")?;
        match operator {
            "$eq" => subquery(key, true, statement),
            "$ne" => subquery(key, false, statement),
            _ => Err(syntax_error("A subquery must follow =, !=, in or not in.")),
        }
    }

    /// Parses `in (…)`, with values or a subquery.
    fn member(&mut self, key: &str, wanted: bool) -> Result<Value, CloudError> {
        let begins_subquery = self.tokens.get(self.at + 1).is_some_and(
            |token| matches!(&token.kind, TokenKind::Word(word) if word.eq_ignore_ascii_case("select")),
        );
        if begins_subquery && self.accept("(") {
            let statement = self.nested(Self::select)?;
            self.expect(")")?;
            return subquery(key, wanted, statement);
        }
        let operator = if wanted { "$in" } else { "$nin" };
        Ok(test(key, operator, Value::Array(self.values()?)))
    }

    /// Parses values in parentheses, or a `?` for an array.
    fn values(&mut self) -> Result<Vec<Value>, CloudError> {
        if let TokenKind::Parameter = self.peek() {
            return match self.value()? {
                Value::Array(values) => Ok(values),
                _ => Err(syntax_error("A list is required: (…), or '?' for an array.")),
            };
        }
        self.expect("(")?;
        self.nested(|parser| parser.list(")"))
    }

    /// Parses `near place [max 2 km] [min 1 km]`.
    fn near(&mut self, key: &str) -> Result<Value, CloudError> {
        let mut operators = Map::from_iter([("$nearSphere".to_owned(), self.value()?)]);
        loop {
            let bound = if self.accept("max") {
                "$maxDistance"
            } else if self.accept("min") {
                "$minDistance"
            } else {
                break;
            };
            let distance = self.value()?;
            let unit = if self.accept("miles") || self.accept("mile") {
                "InMiles"
            } else if self.accept("km") || self.accept("kilometers") {
                "InKilometers"
            } else {
                let _ = self.accept("radians") || self.accept("radian");
                "InRadians"
            };
            operators.insert(format!("{bound}{unit}"), distance);
        }
        Ok(Value::Object(Map::from_iter([(
            key.to_owned(),
            Value::Object(operators),
        )])))
    }
}

fn test(key: &str, operator: &str, operand: Value) -> Value {
    let operators = Map::from_iter([(operator.to_owned(), operand)]);
    Value::Object(Map::from_iter([(key.to_owned(), Value::Object(operators))]))
}

fn joined(operator: &str, mut parts: Vec<Value>) -> Value {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            Value::Object(Map::from_iter([(operator.to_owned(), Value::Array(parts))]))
        }
    }
}

/// A test for a pointer to one of the found objects or, if one key is selected, for one of its values.
fn subquery(key: &str, wanted: bool, mut statement: Statement) -> Result<Value, CloudError> {
    let selected = std::mem::take(&mut statement.keys);
    match selected.as_slice() {
        [] => {
            let operator = if wanted { "$inQuery" } else { "$notInQuery" };
            Ok(test(key, operator, statement.into_subquery()))
        }
        [selected] => {
            let operator = if wanted { "$select" } else { "$dontSelect" };
            let operand = json!({"query": statement.into_subquery(), "key": selected});
            Ok(test(key, operator, operand))
        }
        _ => Err(syntax_error("A subquery must select one key, or * for objects.")),
    }
}

/// A part of a `like` pattern.
enum Part {
    /// `%`: any text.
    Any,
    /// Literal text.
    Text(String),
    /// `[…]` with several characters: any one of them.
    Class(String),
}

/// Translates a `like` pattern into a regular expression. `%` is any text, `[…]` one of its characters (and so an
/// escape for `%`), everything else is literal. A literal beginning keeps the form that an index can serve.
fn like(pattern: &str) -> Value {
    let inner = pattern.strip_prefix('%').unwrap_or(pattern);
    let start = if inner.len() < pattern.len() { "" } else { "^" };
    let (inner, end) = match inner.strip_suffix('%') {
        Some(inner) => (inner, ""),
        None if inner.is_empty() && start.is_empty() => ("", ""),
        None => (inner, r"\z"),
    };
    let mut text = start.to_owned();
    for part in like_parts(inner) {
        match part {
            Part::Any => text.push_str("[\\s\\S]*"),
            Part::Text(part) => text.push_str(&Pattern::quote(&part)),
            Part::Class(members) => text.push_str(&members),
        }
    }
    text.push_str(end);
    text.into()
}

fn like_parts(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let add = |parts: &mut Vec<Part>, character: char| match parts.last_mut() {
        Some(Part::Text(text)) => text.push(character),
        _ => parts.push(Part::Text(character.to_string())),
    };
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        let bracketed = rest.as_str();
        // A closing bracket directly after the opening one is literal.
        let end = bracketed.char_indices().skip(1).find(|(_, c)| *c == ']');
        match (character, end) {
            ('%', _) => parts.push(Part::Any),
            ('[', Some((end, _))) => {
                let (members, after) = bracketed.split_at(end);
                rest = after.get(1..).unwrap_or_default().chars();
                let mut alone = members.chars();
                match (alone.next(), alone.next()) {
                    (Some(only), None) => add(&mut parts, only),
                    _ => parts.push(Part::Class(class(members))),
                }
            }
            _ => add(&mut parts, character),
        }
    }
    parts
}

/// A character class of a regular expression. A leading `^` and `-` have their meaning here too.
fn class(members: &str) -> String {
    let mut class = "[".to_owned();
    for member in members.chars() {
        if matches!(member, '[' | ']' | '\\') {
            class.push('\\');
        }
        class.push(member);
    }
    class.push(']');
    class
}
