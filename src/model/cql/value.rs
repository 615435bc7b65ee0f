//! Parser of values: literals, `?` and function calls.

use serde_json::{Map, json};

use super::lexer::TokenKind;
use super::parser::Parser;
use super::syntax_error::syntax_error;
use crate::model::{CloudError, Value};

impl Parser<'_> {
    /// Parses a value.
    pub(super) fn value(&mut self) -> Result<Value, CloudError> {
        if self.accept("-") {
            return match self.next() {
                TokenKind::Number(number) => serde_json::from_str(&format!("-{number}"))
                    .map_err(|_| syntax_error("A number is malformed.")),
                _ => {
                    self.at -= 1;
                    Err(self.unexpected(&["a number"]))
                }
            };
        }
        if self.accept("+") {
            return self.nested(Self::value);
        }
        if self.accept("[") {
            return self.place();
        }
        if self.accept("{") {
            return self.nested(Self::object);
        }
        match self.next() {
            TokenKind::Text(text) => Ok(text.into()),
            TokenKind::Number(number) => Ok(number.into()),
            TokenKind::Parameter => match self.values.next() {
                Some(value) => Ok(value.clone()),
                None => Err(syntax_error("There are more '?' than values (pvalues).")),
            },
            TokenKind::Word(word) => self.word_value(&word),
            TokenKind::Name(_) | TokenKind::Sign(_) | TokenKind::End => {
                self.at -= 1;
                Err(self.unexpected(&[
                    "a text",
                    "a number",
                    "true",
                    "false",
                    "null",
                    "?",
                    "a function",
                    "{",
                ]))
            }
        }
    }

    fn word_value(&mut self, word: &str) -> Result<Value, CloudError> {
        match word.to_ascii_lowercase().as_str() {
            "true" => return Ok(true.into()),
            "false" => return Ok(false.into()),
            "null" => return Ok(Value::Null),
            _ => {}
        }
        let function = word.to_ascii_lowercase();
        if !self.accept("(") {
            self.at -= 1;
            return Err(self.unexpected(&["a text in quotes", "a number", "true", "false", "null", "?"]));
        }
        let arguments = self.nested(|parser| parser.list(")"))?;
        match (function.as_str(), arguments.as_slice()) {
            ("date", [iso]) => Ok(json!({"__type": "Date", "iso": iso})),
            ("pointer", [class, id]) => Ok(json!({"__type": "Pointer", "className": class, "objectId": id})),
            ("geopoint", [longitude, latitude]) => Ok(point(longitude, latitude)),
            ("file", [id]) => Ok(json!({"__type": "File", "id": id})),
            ("bytes" | "base64", [base64]) => Ok(json!({"__type": "Bytes", "base64": base64})),
            ("current_timestamp", []) => Ok(self.now.to_date()),
            _ => Err(syntax_error(&format!(
                "Unknown function {function} with {} arguments. Use date(text), current_timestamp(), pointer(class, id), \
                 geopoint(longitude, latitude), file(id), bytes(base64), base64(text).",
                arguments.len()
            ))),
        }
    }

    /// Parses `[longitude, latitude]` after the opening bracket.
    fn place(&mut self) -> Result<Value, CloudError> {
        match self.nested(|parser| parser.list("]"))?.as_slice() {
            [longitude, latitude] => Ok(point(longitude, latitude)),
            _ => Err(syntax_error(
                "Brackets must hold a position: [longitude, latitude].",
            )),
        }
    }

    /// Parses `{key: value, …}` after the opening brace. Keys may be quoted.
    fn object(&mut self) -> Result<Value, CloudError> {
        let mut fields = Map::new();
        if self.accept("}") {
            return Ok(Value::Object(fields));
        }
        loop {
            let key = match self.peek().clone() {
                TokenKind::Text(key) => {
                    self.at += 1;
                    key
                }
                _ => self.name("a key")?,
            };
            self.expect(":")?;
            let value = self.value()?;
            fields.insert(key, value);
            if self.accept("}") {
                return Ok(Value::Object(fields));
            }
            if !self.accept(",") {
                return Err(self.unexpected(&[",", "}"]));
            }
        }
    }

    /// Parses values up to and including `end`.
    pub(super) fn list(&mut self, end: &'static str) -> Result<Vec<Value>, CloudError> {
        let mut values = Vec::new();
        if self.accept(end) {
            return Ok(values);
        }
        loop {
            values.push(self.value()?);
            if self.accept(end) {
                return Ok(values);
            }
            if !self.accept(",") {
                return Err(self.unexpected(&[",", end]));
            }
        }
    }
}

fn point(longitude: &Value, latitude: &Value) -> Value {
    json!({"__type": "GeoPoint", "longitude": longitude, "latitude": latitude})
}
