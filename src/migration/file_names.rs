//! File names of an export, and the content that each name stands for.
//!
//! LeanCloud's export names them `Post.0.jsonl` or `Post_all.json`, a class's columns `Post_schema.json`, its backup
//! `Post.bson`; a relation is `_Join:members:Team`. paylog's export adds one file, [`SCHEMA_FILE`].

use crate::model::ClassName;

/// Name of the file with definitions of classes, which the other files cannot express: permissions, indexes, defaults.
pub(super) const SCHEMA_FILE: &str = "paylog-schema.json";

/// Format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileFormat {
    /// JSON Lines or a JSON array; the first bytes tell which.
    Json,
    Csv,
    Bson,
}

/// Content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileContent {
    /// Objects of a class.
    Objects(FileFormat, ClassName),
    /// A relation.
    Links(FileFormat, ClassName, String),
    /// The columns of a class, in LeanCloud's form.
    Columns(ClassName),
    /// [`SCHEMA_FILE`].
    Schema,
    /// A file of the export without data.
    Nothing,
    /// Unknown.
    Unknown,
}

/// Returns the content of the file `name`, and `true` if it is compressed. `class` overrides the class in the name.
pub(super) fn classify(name: &str, class: Option<&ClassName>) -> (FileContent, bool) {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let (name, compressed) = match name.strip_suffix(".gz") {
        Some(inner) => (inner, true),
        None => (name, false),
    };
    (content(name, class), compressed)
}

fn content(name: &str, class: Option<&ClassName>) -> FileContent {
    if name == SCHEMA_FILE {
        return FileContent::Schema;
    }
    if name.starts_with('.') || name.ends_with(".metadata.json") {
        return FileContent::Nothing;
    }
    let Some((stem, extension)) = name.rsplit_once('.') else {
        return FileContent::Unknown;
    };
    let format = match extension.to_ascii_lowercase().as_str() {
        "jsonl" | "ndjson" | "json" => FileFormat::Json,
        "csv" => FileFormat::Csv,
        "bson" => FileFormat::Bson,
        _ => return FileContent::Unknown,
    };
    // The number of the part, if a class is spread over several files.
    let stem = match stem.rsplit_once('.') {
        Some((stem, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => stem,
        _ => stem,
    };
    if let Some(join) = stem.strip_prefix("_Join:") {
        return match join
            .split_once(':')
            .map(|(key, class)| (key, ClassName::parse(class)))
        {
            Some((key, Ok(class))) => FileContent::Links(format, class, key.to_owned()),
            _ => FileContent::Unknown,
        };
    }
    if let Some(Ok(class)) = stem.strip_suffix("_schema").map(ClassName::parse)
        && format == FileFormat::Json
    {
        return FileContent::Columns(class);
    }
    let stem = stem.strip_suffix("_all").unwrap_or(stem);
    match (class, ClassName::parse(stem)) {
        (Some(class), _) => FileContent::Objects(format, class.clone()),
        (None, Ok(class)) => FileContent::Objects(format, class),
        (None, Err(_)) => FileContent::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_name_gives_format_class_and_compression() {
        let class = |name: &str| ClassName::parse(name).unwrap();
        let post = |format| FileContent::Objects(format, class("Post"));
        let cases = [
            ("data/Post.0.jsonl", post(FileFormat::Json)),
            ("Post.12.jsonl", post(FileFormat::Json)),
            ("Post_all.json", post(FileFormat::Json)),
            ("dump/app/Post.bson", post(FileFormat::Bson)),
            ("Post.CSV", post(FileFormat::Csv)),
            ("Post_schema.json", FileContent::Columns(class("Post"))),
            (
                "_Join:users:_Role.0.jsonl",
                FileContent::Links(FileFormat::Json, class("_Role"), "users".to_owned()),
            ),
            ("x/paylog-schema.json", FileContent::Schema),
            ("Post.metadata.json", FileContent::Nothing),
            (".DS_Store", FileContent::Nothing),
            ("README.txt", FileContent::Unknown),
            ("2026 export.json", FileContent::Unknown),
            ("_Join:users.jsonl", FileContent::Unknown),
        ];
        for (name, content) in cases {
            assert_eq!(classify(name, None), (content, false), "{name}");
        }
        assert_eq!(classify("Post.0.jsonl.gz", None), (post(FileFormat::Json), true));
        assert_eq!(
            classify("2026 export.json", Some(&class("Post"))),
            (post(FileFormat::Json), false)
        );
    }
}
