//! What a file of an export holds, by its name.
//!
//! LeanCloud's export names them `Post.0.jsonl` or `Post_all.json`, a class's columns `Post_schema.json`, its backup
//! `Post.bson`; a relation is `_Join:members:Team`. paylog's export has one more, [`SCHEMA_FILE`].

use crate::model::ClassName;

/// Definitions of classes, with all that the other files cannot say: permissions, indexes, defaults.
pub(super) const SCHEMA_FILE: &str = "paylog-schema.json";

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// JSON Lines, or a JSON array; the content says.
    Json,
    Csv,
    Bson,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Objects of a class.
    Objects(Format, ClassName),
    /// A relation.
    Links(Format, ClassName, String),
    /// The columns of a class, as LeanCloud tells them.
    Columns(ClassName),
    /// [`SCHEMA_FILE`].
    Schema,
    /// Something that belongs to the export and holds no data.
    Nothing,
    /// Nobody knows.
    Unknown,
}

/// What the file `name` holds, and whether it is compressed. `class` is what objects are of, whatever the
/// name.
pub(super) fn what(name: &str, class: Option<&ClassName>) -> (Holds, bool) {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let (name, compressed) = match name.strip_suffix(".gz") {
        Some(inner) => (inner, true),
        None => (name, false),
    };
    (holds(name, class), compressed)
}

fn holds(name: &str, class: Option<&ClassName>) -> Holds {
    if name == SCHEMA_FILE {
        return Holds::Schema;
    }
    if name.starts_with('.') || name.ends_with(".metadata.json") {
        return Holds::Nothing;
    }
    let Some((stem, extension)) = name.rsplit_once('.') else {
        return Holds::Unknown;
    };
    let format = match extension.to_ascii_lowercase().as_str() {
        "jsonl" | "ndjson" | "json" => Format::Json,
        "csv" => Format::Csv,
        "bson" => Format::Bson,
        _ => return Holds::Unknown,
    };
    // The number of the part, where a class is spread over several files.
    let stem = match stem.rsplit_once('.') {
        Some((stem, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => stem,
        _ => stem,
    };
    if let Some(join) = stem.strip_prefix("_Join:") {
        return match join
            .split_once(':')
            .map(|(key, class)| (key, ClassName::parse(class)))
        {
            Some((key, Ok(class))) => Holds::Links(format, class, key.to_owned()),
            _ => Holds::Unknown,
        };
    }
    if let Some(Ok(class)) = stem.strip_suffix("_schema").map(ClassName::parse)
        && format == Format::Json
    {
        return Holds::Columns(class);
    }
    let stem = stem.strip_suffix("_all").unwrap_or(stem);
    match (class, ClassName::parse(stem)) {
        (Some(class), _) => Holds::Objects(format, class.clone()),
        (None, Ok(class)) => Holds::Objects(format, class),
        (None, Err(_)) => Holds::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_files_hold() {
        let class = |name: &str| ClassName::parse(name).unwrap();
        let post = |format| Holds::Objects(format, class("Post"));
        let cases = [
            ("data/Post.0.jsonl", post(Format::Json)),
            ("Post.12.jsonl", post(Format::Json)),
            ("Post_all.json", post(Format::Json)),
            ("dump/app/Post.bson", post(Format::Bson)),
            ("Post.CSV", post(Format::Csv)),
            ("Post_schema.json", Holds::Columns(class("Post"))),
            (
                "_Join:users:_Role.0.jsonl",
                Holds::Links(Format::Json, class("_Role"), "users".to_owned()),
            ),
            ("x/paylog-schema.json", Holds::Schema),
            ("Post.metadata.json", Holds::Nothing),
            (".DS_Store", Holds::Nothing),
            ("README.txt", Holds::Unknown),
            ("2026 export.json", Holds::Unknown),
            ("_Join:users.jsonl", Holds::Unknown),
        ];
        for (name, holds) in cases {
            assert_eq!(what(name, None), (holds, false), "{name}");
        }
        assert_eq!(what("Post.0.jsonl.gz", None), (post(Format::Json), true));
        assert_eq!(
            what("2026 export.json", Some(&class("Post"))),
            (post(Format::Json), false)
        );
    }
}
