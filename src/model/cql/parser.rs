//! Parser of statements: the token stream that the other modules read from.

use super::lexer::{self, Token, TokenKind};
use super::syntax_error::{show_place, syntax_error};
use crate::model::{CloudError, Timestamp, Value, limits};

/// A parser at a position in a statement. Its further methods stand in the sibling modules, by what they parse.
pub(super) struct Parser<'a> {
    text: &'a str,
    pub(super) tokens: Vec<Token>,
    pub(super) at: usize,
    pub(super) values: std::slice::Iter<'a, Value>,
    pub(super) now: Timestamp,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Splits a statement.
    ///
    /// # Errors
    /// 300.
    pub(super) fn new(text: &'a str, values: &'a [Value], now: Timestamp) -> Result<Self, CloudError> {
        Ok(Self {
            text,
            tokens: lexer::split(text)?,
            at: 0,
            values: values.iter(),
            now,
            depth: 0,
        })
    }
}

impl Parser<'_> {
    pub(super) fn peek(&self) -> &TokenKind {
        self.tokens
            .get(self.at)
            .map_or(&TokenKind::End, |token| &token.kind)
    }

    pub(super) fn next(&mut self) -> TokenKind {
        let kind = self.peek().clone();
        self.at += 1;
        kind
    }

    /// Consumes a keyword or a sign if it is the next token.
    pub(super) fn accept(&mut self, wanted: &str) -> bool {
        let is_next = match self.peek() {
            TokenKind::Word(word) => word.eq_ignore_ascii_case(wanted),
            TokenKind::Sign(sign) => *sign == wanted,
            TokenKind::Name(_)
            | TokenKind::Text(_)
            | TokenKind::Number(_)
            | TokenKind::Parameter
            | TokenKind::End => false,
        };
        if is_next {
            self.at += 1;
        }
        is_next
    }

    pub(super) fn expect(&mut self, wanted: &'static str) -> Result<(), CloudError> {
        if self.accept(wanted) {
            Ok(())
        } else {
            Err(self.unexpected(&[wanted]))
        }
    }

    pub(super) fn expect_end(&mut self) -> Result<(), CloudError> {
        match self.peek() {
            TokenKind::End => Ok(()),
            _ => Err(self.unexpected(&["where", "limit", "order by", "the end"])),
        }
    }

    /// Parses the name of a key or a class.
    pub(super) fn name(&mut self, what: &'static str) -> Result<String, CloudError> {
        match self.peek().clone() {
            TokenKind::Word(name) | TokenKind::Name(name) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected(&[what])),
        }
    }

    /// Parses one level deeper.
    pub(super) fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        if self.depth >= limits::FILTER_DEPTH_MAX {
            let text = format!("It is nested deeper than {} levels.", limits::FILTER_DEPTH_MAX);
            return Err(syntax_error(&text));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// A 300 error with the position and the expected tokens.
    pub(super) fn unexpected(&self, expected: &[&str]) -> CloudError {
        let place = self
            .tokens
            .get(self.at)
            .map_or(self.text.len(), |token| token.place);
        syntax_error(&format!(
            "Parse error at {}\nExpected one of:\n{}\n",
            show_place(self.text, place),
            expected.join("\n")
        ))
    }
}
