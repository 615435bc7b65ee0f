//! Translation of PCRE, as run by MongoDB, to the syntax of the regex engine.
//!
//! MongoDB treats text as UTF-8, but `\w`, `\d`, `\s` and `\b` as ASCII. The engine gives several escapes and parts
//! of classes another meaning, so every part is parsed and written in a form with the same meaning in both. Passed
//! on unchanged: literals and their letter case, groups, look-around, back references, repetition.
//!
//! Options `m`, `s` and `x` are expanded in the text; of the flags only `i` and `U` are passed on.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

use super::character_class::{self, CharacterClass, Escaped, is_blank};
use crate::model::limits;

/// The word characters: ASCII only, as in MongoDB.
const WORD: &str = "[0-9A-Za-z_]";

/// A pattern in the engine's syntax.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) text: String,
    /// Literal prefix of every matching text, if recognized.
    pub(super) prefix: Option<String>,
}

/// Flags set by options and `(?…)`.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four switches, each on its own")]
struct Flags {
    any_case: bool,
    lines: bool,
    dot_all: bool,
    extended: bool,
}

/// The last parsed item. A quantifier may follow only some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// Start of the pattern, of a group or of an alternative.
    Nothing,
    /// A character of the prefix.
    Prefix,
    /// Any other repeatable item.
    Item,
    /// A quantifier.
    Quantifier,
}

/// State of the literal prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Prefix {
    /// At the start of the pattern.
    Unread,
    /// After `^`: characters extend the prefix.
    Open(String),
    /// Complete.
    Closed(String),
    /// No prefix.
    None,
}

/// Translates a pattern with its options, letters of `imxs`.
///
/// # Errors
/// The reason, if the pattern is malformed or not supported.
pub(super) fn translate(pattern: &str, options: &str) -> Result<Translated, String> {
    let mut translator = Translator {
        rest: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len() + 8),
        flags: Flags {
            any_case: options.contains('i'),
            lines: options.contains('m'),
            dot_all: options.contains('s'),
            extended: options.contains('x'),
        },
        outer: Vec::new(),
        groups: 0,
        names: BTreeMap::new(),
        last: Last::Nothing,
        prefix: Prefix::Unread,
    };
    // MongoDB uses UTF-8 anyway.
    let _ = translator.accept("(*UTF8)") || translator.accept("(*UTF)");
    translator.run()?;
    let prefix = match translator.prefix {
        Prefix::Open(prefix) | Prefix::Closed(prefix) if !prefix.is_empty() => Some(prefix),
        _ => None,
    };
    Ok(Translated {
        text: translator.out,
        prefix,
    })
}

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    flags: Flags,
    /// The outer flags of each open group.
    outer: Vec<Flags>,
    /// Number of capturing groups so far.
    groups: usize,
    names: BTreeMap<String, usize>,
    last: Last,
    prefix: Prefix,
}

impl Translator<'_> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(next) = self.rest.next() {
            match next {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => self.alternative(),
                '^' if self.flags.lines => self.item(r"(?:\A|(?m:^)(?!\z))"),
                '^' => self.start("^"),
                '$' => self.end(),
                '.' => self.item(if self.flags.dot_all { "(?s:.)" } else { "." }),
                '*' | '+' | '?' => self.quantifier(&next.to_string())?,
                '{' => match self.interval() {
                    Some(interval) => self.quantifier(&interval)?,
                    None => self.literal('{'),
                },
                '#' if self.flags.extended => while self.rest.next().is_some_and(|c| c != '\n') {},
                _ if self.flags.extended && is_blank(next) => {}
                _ => self.literal(next),
            }
        }
        match self.outer.is_empty() {
            true => Ok(()),
            false => Err("a ( has no )".to_owned()),
        }
    }

    /// Consumes `text` if it comes next.
    fn accept(&mut self, text: &str) -> bool {
        let mut ahead = self.rest.clone();
        let is_next = text.chars().all(|wanted| ahead.next() == Some(wanted));
        if is_next {
            self.rest = ahead;
        }
        is_next
    }

    /// Consumes the text up to and including `end`. Returns it without `end`.
    fn until(&mut self, end: char) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.rest.next() {
                Some(next) if next == end => return Ok(text),
                Some(next) => text.push(next),
                None => return Err(format!("a '{end}' is missing")),
            }
        }
    }

    /// Emits a literal character.
    fn literal(&mut self, character: char) {
        push_literal(&mut self.out, character);
        self.last = match &mut self.prefix {
            Prefix::Open(prefix) if !self.flags.any_case => {
                prefix.push(character);
                Last::Prefix
            }
            _ => {
                self.close_prefix();
                Last::Item
            }
        };
    }

    /// Emits an item other than a literal character, in the engine's syntax.
    fn item(&mut self, text: &str) {
        self.out.push_str(text);
        self.close_prefix();
        self.last = Last::Item;
    }

    /// Emits an anchor at the start of the text.
    fn start(&mut self, text: &str) {
        self.out.push_str(text);
        self.last = Last::Item;
        match self.prefix {
            Prefix::Unread => self.prefix = Prefix::Open(String::new()),
            _ => self.close_prefix(),
        }
    }

    /// Emits `$`. Without `m` it also matches before a final newline.
    fn end(&mut self) {
        let at_the_end = self.outer.is_empty() && matches!(self.rest.peek(), None | Some('|'));
        self.item(if self.flags.lines {
            "(?m:$)"
        } else if at_the_end {
            // Nothing follows, so no look-ahead is needed.
            r"\n?\z"
        } else {
            r"(?=\n?\z)"
        });
    }

    fn close_prefix(&mut self) {
        self.prefix = match std::mem::replace(&mut self.prefix, Prefix::None) {
            Prefix::Open(prefix) | Prefix::Closed(prefix) => Prefix::Closed(prefix),
            Prefix::Unread | Prefix::None => Prefix::None,
        };
    }

    fn alternative(&mut self) {
        self.out.push('|');
        self.last = Last::Nothing;
        // Other alternatives need not have this prefix.
        match self.outer.is_empty() {
            true => self.prefix = Prefix::None,
            false => self.close_prefix(),
        }
    }

    /// Parses `{2}`, `{2,}` or `{2,3}` after the brace; `None` for anything else.
    fn interval(&mut self) -> Option<String> {
        let mut ahead = self.rest.clone();
        let mut text = "{".to_owned();
        loop {
            let next = ahead.next()?;
            text.push(next);
            match next {
                '0'..='9' => {}
                ',' if text.len() > 2 && text.matches(',').count() == 1 => {}
                '}' if text.len() > 2 => break,
                _ => return None,
            }
        }
        self.rest = ahead;
        Some(text)
    }

    fn quantifier(&mut self, text: &str) -> Result<(), String> {
        match self.last {
            Last::Nothing => return Err(format!("'{text}' has nothing to repeat")),
            Last::Quantifier => return Err(format!("'{text}' follows a quantifier")),
            // The quantifier may make the character optional.
            Last::Prefix => {
                if let Prefix::Open(prefix) = &mut self.prefix {
                    prefix.pop();
                }
                self.close_prefix();
            }
            // And the anchor.
            Last::Item if matches!(&self.prefix, Prefix::Open(prefix) if prefix.is_empty()) => {
                self.prefix = Prefix::None;
            }
            Last::Item => self.close_prefix(),
        }
        self.out.push_str(text);
        if let Some(manner @ ('?' | '+')) = self.rest.peek() {
            self.out.push(*manner);
            self.rest.next();
        }
        self.last = Last::Quantifier;
        Ok(())
    }

    /// Translates an escape outside a class, after its backslash.
    fn escape(&mut self) -> Result<(), String> {
        let Some(next) = self.rest.next() else {
            return Err(r"nothing follows the \ at the end".to_owned());
        };
        match next {
            'Q' => {
                while !self.accept(r"\E") {
                    match self.rest.next() {
                        Some(quoted) => self.literal(quoted),
                        None => break,
                    }
                }
            }
            // A stray \E has no effect.
            'E' => {}
            'A' | 'G' => self.start(r"\A"),
            'z' => self.item(r"\z"),
            'Z' => self.item(r"(?=\n?\z)"),
            'b' => self.item(&format!("(?-i:(?<={WORD})(?!{WORD})|(?<!{WORD})(?={WORD}))")),
            'B' => self.item(&format!("(?-i:(?<={WORD})(?={WORD})|(?<!{WORD})(?!{WORD}))")),
            'R' => self.item(r"(?>\r\n|[\n\x{B}\f\r\x{85}\x{2028}\x{2029}])"),
            'N' if self.rest.peek() != Some(&'{') => self.item(r"[^\n]"),
            // \K only moves the start of the match.
            'K' => self.item("(?:)"),
            'k' => {
                let name = match self.rest.next() {
                    Some('<') => self.until('>')?,
                    Some('{') => self.until('}')?,
                    Some('\'') => self.until('\'')?,
                    _ => return Err(r"a name in <> is missing after \k".to_owned()),
                };
                self.reference(&name)?;
            }
            'g' => {
                let name = match self.rest.peek() {
                    Some('{') => {
                        self.rest.next();
                        self.until('}')?
                    }
                    Some('0'..='9' | '-') => {
                        let mut number = String::new();
                        while let Some(digit) = self
                            .rest
                            .next_if(|c| c.is_ascii_digit() || (*c == '-' && number.is_empty()))
                        {
                            number.push(digit);
                        }
                        number
                    }
                    _ => return Err(no_such(r"\g as a call of a group")),
                };
                self.reference(&name)?;
            }
            '1'..='9' => self.reference_or_octal(next)?,
            'C' | 'X' | 'L' | 'l' | 'N' | 'U' | 'u' => return Err(no_such(&format!(r"\{next}"))),
            _ => match character_class::escaped(next, &mut self.rest)? {
                Escaped::Character(character) => self.literal(character),
                // Letter case does not affect sets.
                Escaped::Set(set) => self.item(&format!("(?-i:{set})")),
            },
        }
        Ok(())
    }

    /// Translates `\12`: a group if there are that many, otherwise a character by octal number.
    fn reference_or_octal(&mut self, first: char) -> Result<(), String> {
        let mut ahead = self.rest.clone();
        let mut digits = first.to_string();
        while let Some(digit) = ahead.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        let is_group = digits
            .parse()
            .is_ok_and(|number: usize| number < 10 || number <= self.groups);
        if is_group {
            self.rest = ahead;
            return self.reference(&digits);
        }
        match character_class::octal(first, &mut self.rest) {
            Some(character) => self.literal(character),
            None => self.literal(first),
        }
        Ok(())
    }

    /// Emits a back reference. `name` is a number, a relative number (`-1`) or a name.
    fn reference(&mut self, name: &str) -> Result<(), String> {
        let back = name.strip_prefix('-').and_then(|back| back.parse::<usize>().ok());
        let number = match (back, name.parse::<usize>()) {
            (Some(back), _) if back > 0 => (self.groups + 1).checked_sub(back),
            (_, Ok(number)) => Some(number),
            _ => self.names.get(name).copied(),
        };
        let Some(number) = number.filter(|number| *number > 0) else {
            return Err(format!("there is no group '{name}' before it is referred to"));
        };
        self.item(&format!(r"(?:\{number})"));
        Ok(())
    }

    /// Translates a class after its `[`.
    fn class(&mut self) -> Result<(), String> {
        let class = CharacterClass::read(&mut self.rest, self.flags.any_case)?;
        self.item(&class.write(self.flags.any_case));
        Ok(())
    }

    /// Translates a group after its `(`.
    fn open(&mut self) -> Result<(), String> {
        if self.accept("?#") {
            // A comment: the item before it can still be repeated.
            return self.until(')').map(|_| ());
        }
        if self.rest.peek() == Some(&'*') {
            return Err(no_such("verbs, (*…)"));
        }
        for begin in ["?:", "?=", "?!", "?<=", "?<!", "?>"] {
            if self.accept(begin) {
                return self.enter(begin);
            }
        }
        if self.accept("?P=") {
            let name = self.until(')')?;
            return self.reference(&name);
        }
        for (begin, end) in [("?P<", '>'), ("?<", '>'), ("?'", '\'')] {
            if self.accept(begin) {
                let name = self.until(end)?;
                return self.enter_named(&name);
            }
        }
        if !self.accept("?") {
            self.groups += 1;
            return self.enter("");
        }
        match self.rest.peek() {
            Some('|') => Err(no_such("groups that count their alternatives alike, (?|…)")),
            Some('(') => Err(no_such("conditions, (?(…)…)")),
            Some('R' | '&' | 'P' | '+' | '0'..='9') => Err(no_such("groups that are called, as by (?R)")),
            Some('C') => Err(no_such("callouts, (?C)")),
            _ => self.set_flags(),
        }
    }

    fn enter_named(&mut self, name: &str) -> Result<(), String> {
        let legal = !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !legal {
            return Err(format!("'{name}' is not a valid group name"));
        }
        self.groups += 1;
        if self.names.insert(name.to_owned(), self.groups).is_some() {
            return Err(format!("two groups have the name '{name}'"));
        }
        self.enter("")
    }

    fn enter(&mut self, begin: &str) -> Result<(), String> {
        if self.outer.len() >= limits::REGEX_DEPTH_MAX {
            return Err(format!(
                "groups are nested deeper than {} levels",
                limits::REGEX_DEPTH_MAX
            ));
        }
        self.outer.push(self.flags);
        self.close_prefix();
        self.out.push('(');
        self.out.push_str(begin);
        self.last = Last::Nothing;
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        self.flags = self.outer.pop().ok_or("a ) has no (")?;
        self.item(")");
        Ok(())
    }

    /// Translates `(?i-s)` or `(?i-s:…)` after the question mark.
    fn set_flags(&mut self) -> Result<(), String> {
        let mut flags = self.flags;
        let (mut on, mut passed, mut turned_off) = (true, String::new(), String::new());
        loop {
            let next = self.rest.next().ok_or("a ( has no )")?;
            match next {
                'i' => flags.any_case = on,
                'm' => flags.lines = on,
                's' => flags.dot_all = on,
                'x' => flags.extended = on,
                'U' => {}
                '-' if on => on = false,
                ')' | ':' => {
                    let off = if turned_off.is_empty() { "" } else { "-" };
                    let text = format!("?{passed}{off}{turned_off}");
                    if next == ':' {
                        self.enter(&format!("{text}:"))?;
                    } else {
                        self.close_prefix();
                        if text.len() > 1 {
                            let _ = write!(self.out, "({text})");
                        }
                        self.last = Last::Nothing;
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => return Err(no_such(&format!("(?{next}"))),
            }
            if matches!(next, 'i' | 'U') {
                if on { &mut passed } else { &mut turned_off }.push(next);
            }
        }
    }
}

fn no_such(what: &str) -> String {
    format!("this server has no {what}")
}

/// Emits a literal character. Special characters are written by number.
fn push_literal(out: &mut String, character: char) {
    if r"\^$.[]|()?*+{}#&-~".contains(character) || character.is_ascii_control() {
        character_class::push_number(out, character);
    } else {
        out.push(character);
    }
}
