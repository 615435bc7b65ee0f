//! The graph of the library's files: which module's file uses which other, through re-exports.
//!
//! A file that only declares modules and re-exports their items uses none of them: `use parent::Item` is a use of the
//! child that defines the item. Unit tests do not count. Names brought in by a glob re-export are not followed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::source::{read, rust_files};

/// Re-exports of re-exports that are followed.
const REEXPORTS_MAX: usize = 8;

/// For each module with a file of its own, the modules that it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Graph(BTreeMap<String, BTreeSet<String>>);

/// The `::`-separated names of a path in the source.
type Names = Vec<String>;

/// The paths that one file names.
#[derive(Debug, Default)]
struct Paths {
    used: Vec<Names>,
    /// Paths of `pub use`, by the name they export.
    exported: BTreeMap<String, Names>,
}

/// `src/engine/hook.rs` is `engine::hook`.
fn module_of(path: &Path) -> String {
    let inner = path.strip_prefix("src").unwrap().with_extension("");
    let names: Vec<_> = inner.iter().map(|name| name.to_str().unwrap()).collect();
    names.join("::")
}

/// The source text of all modules of the library but their tests.
pub(super) fn library() -> BTreeMap<String, String> {
    let is_test = |path: &Path| path.iter().any(|name| name == "tests" || name == "tests.rs");
    let files = rust_files(&["src"]).into_iter().filter(|path| !is_test(path));
    files.map(|path| (module_of(&path), read(&path))).collect()
}

impl Graph {
    /// The graph of these modules' source texts.
    pub(super) fn new(sources: &BTreeMap<String, String>) -> Self {
        let modules: BTreeMap<&str, Paths> = sources
            .iter()
            .map(|(module, text)| {
                let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{module}: {error}"));
                let mut paths = Paths::default();
                paths.read(tokens);
                (module.as_str(), paths)
            })
            .collect();
        let edges = modules.iter().map(|(module, paths)| {
            let used = paths
                .used
                .iter()
                .filter_map(|path| resolve(&modules, module, path, 0));
            let others = used.filter(|used| used != module).collect();
            ((*module).to_owned(), others)
        });
        Self(edges.collect())
    }

    /// All uses: a module and one that it uses.
    pub(super) fn edges(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|(from, to)| to.iter().map(move |to| (from.as_str(), to.as_str())))
    }

    /// The groups of modules that use each other, directly or through others of the group. Sorted.
    pub(super) fn cycles(&self) -> Vec<BTreeSet<String>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> = self
            .0
            .keys()
            .map(|module| (module.as_str(), self.reached_from(module)))
            .collect();
        let mut groups = BTreeSet::new();
        for (module, others) in &reached {
            if others.contains(module) {
                let back = others
                    .iter()
                    .filter(|other| reached.get(*other).is_some_and(|theirs| theirs.contains(module)));
                groups.insert(back.map(|other| (*other).to_owned()).collect());
            }
        }
        groups.into_iter().collect()
    }

    fn reached_from(&self, module: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![module];
        while let Some(next) = waiting.pop() {
            for used in self.0.get(next).into_iter().flatten() {
                if reached.insert(used.as_str()) {
                    waiting.push(used);
                }
            }
        }
        reached
    }
}

impl Paths {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    at = self.read_attribute(&tokens, at);
                    continue;
                }
                TokenTree::Ident(name) if name == "use" => {
                    let end = (at..tokens.len()).find(|&end| is_punct(tokens.get(end), ';'));
                    let end = end.unwrap_or(tokens.len());
                    let is_public = is_public(&tokens[..at]);
                    self.read_use(&tokens[at + 1..end], &[], is_public);
                    at = end;
                }
                TokenTree::Ident(_) => {
                    let path = path_at(&tokens, at);
                    // Four tokens at least: a name, two colons, a name.
                    if path.len() > 1 && !ends_with_colons(&tokens[..at]) {
                        at += 3 * (path.len() - 1);
                        self.used.push(path);
                    }
                }
                TokenTree::Group(group) => self.read(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }

    /// Returns the place behind the attribute; behind its item too if that is for tests only.
    fn read_attribute(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let at = at + 1 + usize::from(is_punct(tokens.get(at + 1), '!'));
        let Some(TokenTree::Group(attribute)) = tokens.get(at) else {
            return at;
        };
        if attribute.stream().to_string().replace(' ', "") == "cfg(test)" {
            let ends_item = |token: &TokenTree| match token {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                token => is_punct(Some(token), ';'),
            };
            let length = tokens[at..].iter().position(ends_item);
            return length.map_or(tokens.len(), |length| at + length + 1);
        }
        self.read_strings(attribute.stream());
        at + 1
    }

    /// Attributes name functions as strings: `#[serde(default = "crate::module::function")]`.
    fn read_strings(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.read_strings(group.stream()),
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let path: Names = text.trim_matches('"').split("::").map(str::to_owned).collect();
                    if path.len() > 1 && ["crate", "super", "self"].contains(&path[0].as_str()) {
                        self.used.push(path);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }

    /// The tree behind a `use`, or a part of it.
    fn read_use(&mut self, tokens: &[TokenTree], prefix: &[String], is_public: bool) {
        let mut path = prefix.to_vec();
        let mut name = None;
        let mut tokens = tokens.iter();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(word) if word == "as" => {
                    name = tokens.next().map(ToString::to_string);
                }
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Group(group) => {
                    let parts: Vec<_> = group.stream().into_iter().collect();
                    for part in parts.split(|token| is_punct(Some(token), ',')) {
                        if !part.is_empty() {
                            self.read_use(part, &path, is_public);
                        }
                    }
                    return;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        if is_public {
            let name = name.or_else(|| path.last().cloned());
            self.exported.extend(name.map(|name| (name, path)));
        } else {
            self.used.push(path);
        }
    }
}

fn is_punct(token: Option<&TokenTree>, char: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == char)
}

fn ends_with_colons(tokens: &[TokenTree]) -> bool {
    is_punct(tokens.last(), ':') && is_punct(tokens.len().checked_sub(2).and_then(|at| tokens.get(at)), ':')
}

/// True if `pub`, or `pub(…)`, is last.
fn is_public(tokens: &[TokenTree]) -> bool {
    let tokens = match tokens {
        [before @ .., TokenTree::Group(_)] => before,
        all => all,
    };
    matches!(tokens.last(), Some(TokenTree::Ident(word)) if word == "pub")
}

/// The names joined by `::` from here on.
fn path_at(tokens: &[TokenTree], mut at: usize) -> Names {
    let mut path = Vec::new();
    while let Some(TokenTree::Ident(name)) = tokens.get(at) {
        path.push(name.to_string());
        if !is_punct(tokens.get(at + 1), ':') || !is_punct(tokens.get(at + 2), ':') {
            break;
        }
        at += 3;
    }
    path
}

/// The module that a path leads to; `None` outside the library, and for the crate's root.
fn resolve(modules: &BTreeMap<&str, Paths>, module: &str, path: &[String], depth: usize) -> Option<String> {
    let mut absolute: Vec<&str> = module.split("::").collect();
    let mut names = path.iter().map(String::as_str).peekable();
    match *names.peek()? {
        "crate" => {
            absolute.clear();
            names.next();
        }
        "self" => {
            names.next();
        }
        "super" => {
            while names.next_if_eq(&"super").is_some() {
                absolute.pop();
            }
        }
        child if modules.contains_key(format!("{module}::{child}").as_str()) => {}
        _ => return None,
    }
    absolute.extend(names);
    let (found, rest) = (1..=absolute.len()).rev().find_map(|length| {
        let (found, _) = modules.get_key_value(absolute[..length].join("::").as_str())?;
        Some((*found, &absolute[length..]))
    })?;
    let exported = rest.first().and_then(|name| modules[found].exported.get(*name));
    if let Some(exported) = exported
        && depth < REEXPORTS_MAX
    {
        let mut path = exported.clone();
        path.extend(rest[1..].iter().map(|name| (*name).to_owned()));
        if let Some(further) = resolve(modules, found, &path, depth + 1) {
            return Some(further);
        }
    }
    Some(found.to_owned())
}
