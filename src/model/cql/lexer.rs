//! Lexer: splits a statement into words, texts, numbers and signs.

use serde_json::Number;

use super::syntax_error::{show_place, syntax_error};
use crate::model::CloudError;

/// All signs, longer ones first.
const SIGNS: [&str; 19] = [
    "<=", ">=", "!=", "<>", "==", "(", ")", "[", "]", "{", "}", ":", ",", "=", "<", ">", "*", "+", "-",
];

/// The kinds of tokens.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// A keyword or a name, dots included.
    Word(String),
    /// A name in backquotes, never a keyword.
    Name(String),
    Text(String),
    /// Without its sign.
    Number(Number),
    Sign(&'static str),
    /// `?`
    Parameter,
    End,
}

/// A token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// Offset in bytes.
    pub(super) place: usize,
}

/// Splits a statement into tokens.
///
/// # Errors
/// 300 for a character that starts no token.
pub(super) fn split(text: &str) -> Result<Vec<Token>, CloudError> {
    let mut tokens = Vec::new();
    let mut place = 0;
    while let Some(rest) = text.get(place..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or(' ');
        if first.is_whitespace() || first == ';' {
            place += first.len_utf8();
            continue;
        }
        let (kind, length) = token(rest, first)
            .ok_or_else(|| syntax_error(&format!("Parse error at {}\n", show_place(text, place))))?;
        tokens.push(Token { kind, place });
        place += length;
    }
    Ok(tokens)
}

/// The first token of `rest`, and its length in bytes.
fn token(rest: &str, first: char) -> Option<(TokenKind, usize)> {
    match first {
        '\'' | '"' => quoted(rest, first).map(|(text, length)| (TokenKind::Text(text), length)),
        '`' => quoted(rest, first).map(|(name, length)| (TokenKind::Name(name), length)),
        '?' => Some((TokenKind::Parameter, 1)),
        _ if first.is_ascii_digit() => number(rest),
        _ if first.is_alphabetic() || first == '_' => {
            let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
            let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
            let word = rest.get(..length)?.to_owned();
            Some((TokenKind::Word(word), length))
        }
        _ => {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign))?;
            Some((TokenKind::Sign(sign), sign.len()))
        }
    }
}

/// Parses a quoted text. Inside, a quote is doubled or escaped by a backslash.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => text.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            _ if c != quote => text.push(c),
            _ if chars.next_if(|(_, next)| *next == quote).is_some() => text.push(quote),
            _ => return Some((text, at + c.len_utf8())),
        }
    }
    None
}

fn number(rest: &str) -> Option<(TokenKind, usize)> {
    let mut length = 0;
    let mut before = ' ';
    for c in rest.chars() {
        let is_part = c.is_ascii_digit()
            || matches!(c, '.' | 'e' | 'E')
            || (matches!(c, '+' | '-') && matches!(before, 'e' | 'E'));
        if !is_part {
            break;
        }
        length += c.len_utf8();
        before = c;
    }
    let number = serde_json::from_str(rest.get(..length)?).ok()?;
    Some((TokenKind::Number(number), length))
}
