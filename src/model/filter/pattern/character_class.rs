//! PCRE's escapes and character classes (`[…]`).

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// The meaning of an escape, inside a class or outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Escaped {
    Character(char),
    /// A class in the engine's syntax, with brackets.
    Set(String),
}

const HORIZONTAL: &str = r"\t\x{20}\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}";
const VERTICAL: &str = r"\n\x{B}\f\r\x{85}\x{2028}\x{2029}";
const SPACE: &str = r"\t\n\x{B}\f\r\x{20}";

/// POSIX classes, ASCII only, as in MongoDB.
const POSIX: [(&str, &str); 14] = [
    ("alnum", "0-9A-Za-z"),
    ("alpha", "A-Za-z"),
    ("ascii", r"\x{0}-\x{7F}"),
    ("blank", r"\t\x{20}"),
    ("cntrl", r"\x{0}-\x{1F}\x{7F}"),
    ("digit", "0-9"),
    ("graph", r"\x{21}-\x{7E}"),
    ("lower", "a-z"),
    ("print", r"\x{20}-\x{7E}"),
    ("punct", r"\x{21}-\x{2F}\x{3A}-\x{40}\x{5B}-\x{60}\x{7B}-\x{7E}"),
    ("space", SPACE),
    ("upper", "A-Z"),
    ("word", "0-9A-Za-z_"),
    ("xdigit", "0-9A-Fa-f"),
];

/// Parses an escape after its backslash and first character. The caller handles escapes with a meaning outside
/// classes only.
pub(super) fn escaped(first: char, rest: &mut Peekable<Chars<'_>>) -> Result<Escaped, String> {
    let set = |negated: bool, members: &str| {
        let not = if negated { "^" } else { "" };
        Ok(Escaped::Set(format!("[{not}{members}]")))
    };
    Ok(Escaped::Character(match first {
        'd' | 'D' => return set(first == 'D', "0-9"),
        'w' | 'W' => return set(first == 'W', "0-9A-Za-z_"),
        's' | 'S' => return set(first == 'S', SPACE),
        'h' | 'H' => return set(first == 'H', HORIZONTAL),
        'v' | 'V' => return set(first == 'V', VERTICAL),
        'p' | 'P' => {
            let (negated, members) = property(rest)?;
            return set(negated != (first == 'P'), &members);
        }
        'a' => '\x07',
        'e' => '\x1B',
        'f' => '\x0C',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'c' => match rest.next() {
            Some(letter) if letter.is_ascii() => char::from(letter.to_ascii_uppercase() as u8 ^ 0x40),
            _ => return Err(r"\c must precede an ASCII character".to_owned()),
        },
        'o' => match braced(rest) {
            Some(digits) => numbered(&digits, 8)?,
            None => return Err(r"\o must precede a number in {}".to_owned()),
        },
        'x' if rest.peek() == Some(&'{') => match braced(rest) {
            Some(digits) => numbered(&digits, 16)?,
            None => return Err(r"\x{ has no }".to_owned()),
        },
        'x' => {
            let mut number = 0;
            for _ in 0..2 {
                let Some(digit) = rest.next_if(char::is_ascii_hexdigit) else {
                    break;
                };
                number = number * 16 + digit.to_digit(16).unwrap_or_default();
            }
            char::from_u32(number).unwrap_or_default()
        }
        '0' => octal('0', rest).unwrap_or_default(),
        other => other,
    }))
}

/// Parses up to three octal digits, starting with `first`; `None` if it is not one.
pub(super) fn octal(first: char, rest: &mut Peekable<Chars<'_>>) -> Option<char> {
    let mut number = first.to_digit(8)?;
    for _ in 0..2 {
        let Some(digit) = rest.next_if(|c| c.is_digit(8)) else {
            break;
        };
        number = number * 8 + digit.to_digit(8)?;
    }
    char::from_u32(number)
}

fn numbered(digits: &str, radix: u32) -> Result<char, String> {
    u32::from_str_radix(digits, radix)
        .ok()
        .and_then(char::from_u32)
        .ok_or_else(|| format!("'{digits}' is not the number of a character"))
}

/// Parses a text in braces.
fn braced(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    rest.next_if_eq(&'{')?;
    let mut text = String::new();
    loop {
        match rest.next()? {
            '}' => return Some(text),
            next => text.push(next),
        }
    }
}

/// Parses the property after `\p`: true if negated, and the members.
fn property(rest: &mut Peekable<Chars<'_>>) -> Result<(bool, String), String> {
    let name = match rest.peek() {
        Some('{') => braced(rest).ok_or(r"\p{ has no }")?,
        Some(letter) if letter.is_ascii_alphabetic() => rest.next().into_iter().collect(),
        _ => return Err(r"the name of a property is missing after \p".to_owned()),
    };
    let (negated, name) = match name.strip_prefix('^') {
        Some(name) => (true, name),
        None => (false, name.as_str()),
    };
    let members = match name {
        "L&" => r"\p{Lu}\p{Ll}\p{Lt}".to_owned(),
        "Xan" => r"\p{L}\p{N}".to_owned(),
        "Xwd" => r"\p{L}\p{N}_".to_owned(),
        "Xsp" | "Xps" => format!(r"{HORIZONTAL}{VERTICAL}"),
        _ if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
            format!(r"\p{{{name}}}")
        }
        _ => return Err(format!("'{name}' is not a property of characters")),
    };
    Ok((negated, members))
}

/// Appends a character by number, such as `\x{41}`, which is unambiguous in any context.
pub(super) fn push_number(out: &mut String, character: char) {
    let _ = write!(out, r"\x{{{:X}}}", u32::from(character));
}

/// A class: characters and ranges, to which the letter case applies, and sets, to which it does not.
#[derive(Debug, Default)]
pub(super) struct CharacterClass {
    negated: bool,
    characters: String,
    sets: String,
}

impl CharacterClass {
    /// Parses a class after its `[`, up to and including its `]`.
    pub(super) fn read(rest: &mut Peekable<Chars<'_>>, any_case: bool) -> Result<Self, String> {
        let mut class = Self {
            negated: rest.next_if_eq(&'^').is_some(),
            ..Self::default()
        };
        let mut members = Members {
            rest,
            any_case,
            quoted: false,
            read: 0,
        };
        let mut pending: Option<char> = None;
        while let Some(member) = members.next()? {
            match member {
                Member::Plain('-') if pending.is_some() => {
                    // A range, if a character follows.
                    let Some(from) = pending.take() else { continue };
                    match members.next()? {
                        None => {
                            class.push(from, from);
                            class.push('-', '-');
                            return Ok(class);
                        }
                        Some(Member::Set(set)) => {
                            class.push(from, from);
                            class.push('-', '-');
                            class.sets.push_str(&set);
                        }
                        Some(Member::Plain(to) | Member::Literal(to)) if from > to => {
                            return Err(format!("the range {from}-{to} is out of order"));
                        }
                        Some(Member::Plain(to) | Member::Literal(to)) => class.push(from, to),
                    }
                }
                Member::Plain(next) | Member::Literal(next) => {
                    if let Some(before) = pending.replace(next) {
                        class.push(before, before);
                    }
                }
                Member::Set(set) => {
                    if let Some(before) = pending.take() {
                        class.push(before, before);
                    }
                    class.sets.push_str(&set);
                }
            }
        }
        if let Some(last) = pending {
            class.push(last, last);
        }
        Ok(class)
    }

    fn push(&mut self, from: char, to: char) {
        for (separator, character) in [("", from), ("-", to)] {
            if !separator.is_empty() && from == to {
                return;
            }
            self.characters.push_str(separator);
            if character.is_alphanumeric() {
                self.characters.push(character);
            } else {
                push_number(&mut self.characters, character);
            }
        }
    }

    /// The class in the engine's syntax.
    pub(super) fn write(&self, any_case: bool) -> String {
        let Self {
            negated,
            characters,
            sets,
        } = self;
        let not = if *negated { "^" } else { "" };
        if !any_case || sets.is_empty() {
            return format!("[{not}{characters}{sets}]");
        }
        if characters.is_empty() {
            return format!("(?-i:[{not}{sets}])");
        }
        // The engine folds the letters of a whole class; PCRE does not fold sets such as \W.
        let either = format!("[{characters}]|(?-i:[{sets}])");
        match negated {
            true => format!("(?:(?!{either})(?s:.))"),
            false => format!("(?:{either})"),
        }
    }
}

/// A member of a class.
enum Member {
    /// A plain character. After it, `-` may begin a range.
    Plain(char),
    /// An escaped or quoted character, without special meaning.
    Literal(char),
    Set(String),
}

/// Parses the members of a class up to its `]`.
struct Members<'r, 'a> {
    rest: &'r mut Peekable<Chars<'a>>,
    any_case: bool,
    /// Within `\Q…\E`.
    quoted: bool,
    read: usize,
}

impl Members<'_, '_> {
    /// Parses the next member; `None` at the end of the class.
    fn next(&mut self) -> Result<Option<Member>, String> {
        loop {
            let next = self.rest.next().ok_or("a [ has no ]")?;
            if next == '\\' {
                match (self.rest.peek().copied(), self.quoted) {
                    (Some('E'), _) => {
                        self.rest.next();
                        self.quoted = false;
                        continue;
                    }
                    (Some('Q'), false) => {
                        self.rest.next();
                        self.quoted = true;
                        continue;
                    }
                    _ => {}
                }
            }
            self.read += 1;
            return match next {
                _ if self.quoted => Ok(Some(Member::Literal(next))),
                ']' if self.read > 1 => Ok(None),
                '\\' => self.escape().map(Some),
                '[' => self.named().map(Some),
                _ => Ok(Some(Member::Plain(next))),
            };
        }
    }

    fn escape(&mut self) -> Result<Member, String> {
        let first = self.rest.next().ok_or("a [ has no ]")?;
        Ok(match first {
            'b' => Member::Literal('\x08'),
            'B' | 'N' | 'R' | 'X' | 'C' | 'L' | 'l' | 'U' | 'u' => {
                return Err(format!(r"\{first} cannot be in a character class"));
            }
            '1'..='7' => Member::Literal(octal(first, self.rest).unwrap_or(first)),
            _ => match escaped(first, self.rest)? {
                Escaped::Character(character) => Member::Literal(character),
                Escaped::Set(set) => Member::Set(set),
            },
        })
    }

    /// Parses `[:alpha:]` or `[:^alpha:]` after its `[`. Otherwise the bracket is literal.
    fn named(&mut self) -> Result<Member, String> {
        let mut ahead = self.rest.clone();
        let Some(sign @ (':' | '.' | '=')) = ahead.next() else {
            return Ok(Member::Plain('['));
        };
        let negated = ahead.next_if_eq(&'^').is_some();
        let mut name = String::new();
        while let Some(letter) = ahead.next_if(|c| c.is_alphanumeric() || is_blank(*c)) {
            name.push(letter);
        }
        if ahead.next() != Some(sign) || ahead.next() != Some(']') {
            return Ok(Member::Plain('['));
        }
        if self.any_case && matches!(name.as_str(), "lower" | "upper") {
            "alpha".clone_into(&mut name);
        }
        let Some((_, members)) = POSIX.iter().find(|(known, _)| sign == ':' && *known == name) else {
            return Err(format!("[{sign}{name}{sign}] is not a character class"));
        };
        *self.rest = ahead;
        let not = if negated { "^" } else { "" };
        Ok(Member::Set(format!("[{not}{members}]")))
    }
}

/// True for the blanks that option `x` ignores.
pub(super) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\x0B' | '\x0C' | '\r')
}
