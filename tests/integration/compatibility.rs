//! The table of compatibility with LeanCloud: each behaviour, and the tests that show it.
//!
//! A test names the behaviours that it shows in a comment before it: `// compat: op.increment type.mismatch`. This
//! file lists all behaviours. The check fails for a behaviour without a test,
//! for a test of an unlisted behaviour, and for a table that is out of date. To write the table:
//! `PAYLOG_WRITE_TABLE=1 cargo test --test integration compatibility`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The behaviours, by section: the name of each, and its meaning.
const SECTIONS: &[(&str, &[(&str, &str)])] = &[
    (
        "Requests and answers",
        &[
            (
                "wire.keys",
                "app id and key in headers, under their older names too; 401 without",
            ),
            ("wire.sign", "X-LC-Sign over time and key, the master key's too"),
            (
                "wire.master",
                "the master key by `,master`; what needs it answers code 1 without",
            ),
            (
                "wire.text_plain",
                "a browser's text/plain body with `_method` and the keys in it",
            ),
            (
                "wire.null_body",
                "a body of `null`, as official SDKs send with a GET, is none",
            ),
            ("wire.empty_list", "`[]`, as PHP writes what has no keys, is `{}`"),
            ("wire.half_character", "half of an emoji is replaced, not refused"),
            ("wire.headers", "content type, no caching, a request id"),
            (
                "wire.paths",
                "unknown paths and methods; what is not built says so with code 1",
            ),
            ("wire.body_limit", "bodies up to 20 MB"),
            (
                "wire.no_500",
                "nonsense of any kind is refused, never a 500, never a panic",
            ),
            ("wire.compression", "gzip and brotli"),
            ("wire.answer_limit", "lists up to 6 MB"),
            ("wire.http_2", "HTTP/2"),
            ("wire.rate_limits", "429 beyond the limits that are set"),
            ("date", "GET /date, without keys too"),
        ],
    ),
    (
        "Objects",
        &[
            ("object.create", "201, Location as a path, id and createdAt"),
            ("object.get", "200 with the object"),
            ("object.last_modified", "Last-Modified with milliseconds"),
            (
                "object.unknown_id",
                "GET of an unknown id is 200 {}, PUT is code 1, an absent class 101",
            ),
            ("object.update", "200 with updatedAt and objectId"),
            ("object.delete", "200 {}, an absent id too"),
            ("object.delete_many", "ids joined by commas"),
            (
                "object.fetch_when_save",
                "`fetchWhenSave` and `new`: the changed keys, defaults and relation columns",
            ),
            (
                "object.conditional",
                "`where` on PUT and DELETE, atomically; 305 unmet",
            ),
            (
                "object.conditional.reason",
                "why a condition was not met, for the master key that asks",
            ),
            ("object.keys", "`keys` on a single object"),
            ("object.include", "`include` on a single object"),
            ("values.types", "every type comes back as it was"),
            ("values.null", "null is stored and returned"),
            ("values.default", "a column's default on create and on reading"),
            ("values.geo_points", "points in range, as doubles; 302 otherwise"),
            (
                "key.reserved",
                "no new column by a reserved name in any letter case (105); one that was imported stays",
            ),
            ("key.names", "names of keys; 105, 121"),
            ("class.names", "names of classes; 103"),
            (
                "limits",
                "16 MB for an object (116), 300 columns (105), 500 classes (154)",
            ),
            ("type.fixed", "a column's type is fixed by its first value"),
            ("type.mismatch", "111 with the types in its text"),
        ],
    ),
    (
        "Operations",
        &[
            ("op.increment", "Increment and Decrement, of nothing too"),
            ("op.add", "Add keeps duplicates"),
            ("op.add_unique", "AddUnique appends what is missing"),
            ("op.remove", "Remove takes all equal elements"),
            ("op.delete", "Delete, in both spellings"),
            ("op.bits", "BitAnd, BitOr, BitXor"),
            ("op.on_create", "operations in a POST"),
            ("op.dotted", "dotted keys in a PUT; refused in a POST"),
            ("op.unknown", "names are case-sensitive; code 1"),
            ("op.batch", "Batch of relation operations; 304 for others"),
            ("relation.add", "AddRelation makes the column"),
            ("relation.remove", "RemoveRelation"),
            ("relation.limits", "no objects or too many: 128"),
            ("relation.column", "the column is in every object of the class"),
            ("relation.query", "$relatedTo"),
            ("relation.reverse", "a relation column compared with an object"),
            (
                "relation.many",
                "a relation column compared with many objects: $in, $all, $inQuery",
            ),
            ("relation.batch_op", "adding and removing in one save"),
        ],
    ),
    (
        "Batches",
        &[
            ("batch.order", "answers in the order of the requests"),
            ("batch.partial", "one failure does not stop the others"),
            ("batch.get", "an absent object is null, an absent class 101"),
            ("batch.query", "queries with `where` as an object"),
            ("batch.delete_many", "one answer for a list of ids"),
            ("batch.conditional", "`where` in `params`"),
            ("batch.children", "saves of objects that point to new ones"),
            ("batch.errors", "errors inside a batch; 107 for what is none"),
            ("batch_save", "/batch/save, answered by `__internalId`"),
            (
                "batch_save.children",
                "`__children`: new objects that point to each other",
            ),
            ("batch_save.same_object", "several requests about one object"),
            ("batch_save.failure", "a failure is the whole request's"),
        ],
    ),
    (
        "Queries",
        &[
            ("where.equality", "equal, by the values' JSON forms"),
            ("where.comparison", "$ne $lt $lte $gt $gte, of dates and ids too"),
            ("where.in", "$in $nin, however long the list"),
            ("where.exists", "$exists"),
            ("where.arrays", "an element equal, $all, $size"),
            ("where.missing", "$ne and $nin match what lacks the field"),
            (
                "where.regex",
                "$regex as MongoDB runs PCRE: \\Q..\\E, look-around, ASCII classes, options",
            ),
            ("where.or_and", "$or, $and, a list of conditions"),
            ("where.in_query", "$inQuery and $notInQuery"),
            ("where.select", "$select and $dontSelect"),
            ("where.malformed", "107 for what is no condition"),
            (
                "geo.near",
                "$nearSphere sorts, the nearest first, unless an order is given",
            ),
            ("geo.distance", "greatest distances in miles, kilometres, radians"),
            ("geo.min_distance", "least distances"),
            (
                "geo.box",
                "$within a $box, of points or of pairs of longitude and latitude",
            ),
            (
                "geo.not_points",
                "$nearSphere of what is no column of points: code 1",
            ),
            ("geo.index", "points are found by an index"),
            ("query.order", "`order` over several keys"),
            (
                "query.limit",
                "`limit`: 100 where nothing is said, 1000 at most, 0 for none",
            ),
            ("query.skip", "`skip`"),
            ("query.count", "`count=1`, with and without rows"),
            ("query.keys", "`keys`, with `-` too, and dotted"),
            ("query.include", "`include`, dotted, and in arrays"),
            ("query.include.blanks", "blanks behind the commas of `include`"),
            ("query.last_modified", "Last-Modified of lists"),
            ("query.long", "a long query as a batch"),
            (
                "cql",
                "cloudQuery: select, count, where, order, limit, placeholders",
            ),
            (
                "cql.values",
                "base64, current_timestamp, objects in braces, [ ] in like; pvalues encoded twice",
            ),
            ("cql.permissions", "goes round no permission"),
            ("cql.errors", "300 with the place of the error"),
            ("query.redirect", "redirectClassNameForKey"),
            ("scan", "every object once, for the master key"),
            ("scan.cursor", "a null cursor with the empty last page"),
        ],
    ),
    (
        "Permissions",
        &[
            ("acl.read", "who may read an object"),
            ("acl.write", "who may write it; 403 with the text"),
            ("acl.absent", "without an ACL an object is everybody's"),
            ("acl.empty", "an empty ACL is the master key's"),
            ("acl.false", "false grants nothing"),
            ("acl.verbatim", "keys are kept as they are"),
            ("acl.invalid", "123 for what is no ACL"),
            ("acl.returned", "shown with returnACL only"),
            ("acl.default", "a class's default ACL, with its owner"),
            (
                "acl.paths",
                "on every path: get, find, count, include, batch, scan, relation, subquery",
            ),
            (
                "class_permissions",
                "six rights for everyone, users, roles, nobody",
            ),
            ("class_permissions.paths", "on every path"),
            ("column.read_only", "117"),
            ("column.hidden", "not shown and not found out: 119"),
            ("column.paths", "on every path"),
            ("role.create", "name, users, roles"),
            (
                "role.name",
                "139 for an illegal or changed name, 137 for one taken",
            ),
            ("role.acl_required", "code 1 without an ACL"),
            ("role.members", "members have its rights, until they leave"),
            ("role.inheritance", "so have members of its child roles"),
            ("role.of_user", "the roles of a user"),
        ],
    ),
    (
        "Indexes",
        &[
            ("index.used", "a query by a column of an index searches it"),
            ("index.created_at", "createdAt"),
            ("index.updated_at", "updatedAt"),
            ("index.acl", "what a client may read"),
            ("index.unique", "137 for a value that is taken"),
            ("index.sparse", "objects without the key are left out"),
            ("index.compound", "over several keys"),
            (
                "index.key_length",
                "a value above 1024 bytes is too long for an index: code 1, where it is written and where the index is made",
            ),
            ("index.fast", "milliseconds among a million objects"),
        ],
    ),
    (
        "Users",
        &[
            ("user.sign_up", "201 with the whole user and a token"),
            ("user.sign_up.class_path", "by POST /classes/_User too"),
            (
                "user.sign_up.errors",
                "200, 201, 202, 203, 214, 217, 218, 125, 127",
            ),
            ("user.log_in", "by name, address or number"),
            ("user.log_in.get", "by GET, and so by a plain text that means one"),
            ("user.wrong_password", "210; 211 for nobody"),
            ("user.locked", "219 after repeated failures"),
            ("user.me", "by header or parameter; 211"),
            ("user.delete", "by the master key, where no payments are"),
            ("user.update", "changed by themselves"),
            ("user.owner_rules", "by nobody else but the master key: 206"),
            ("user.owner_rules.paths", "on every path, whatever the ACL"),
            ("user.update_password", "a new token; the old one is worthless"),
            ("user.refresh_token", "the same"),
            (
                "user.secrets",
                "password and token are shown, searched, sorted by and logged nowhere",
            ),
            ("session.stable", "one token for every login"),
            ("user.imported", "hashes of LeanCloud's verify and are replaced"),
            (
                "user.strictly_query",
                "users/strictlyQuery: by values that are known, and without skipping",
            ),
            (
                "auth_data.log_in",
                "the same user for the same account of a platform",
            ),
            ("auth_data.link", "linking another platform"),
            ("auth_data.unlink", "unlinking one"),
            ("auth_data.anonymous", "anonymous users, who become somebody"),
            ("auth_data.union_id", "accounts with one unionid"),
            (
                "auth_data.mini_program",
                "users of mini-programs by their openid; a hook exchanges the code",
            ),
            ("auth_data.errors", "211, 250 and the like"),
        ],
    ),
    (
        "Files",
        &[
            ("file.upload", "fileTokens, upload, fileCallback"),
            ("file.chosen_key", "random keys that older SDKs choose themselves"),
            (
                "file.by_name",
                "POST /files/<name>, as older SDKs do, with the bytes in the body too",
            ),
            ("file.mini_program", "uploads of mini-programs, as to Qiniu"),
            ("file.read", "a file by its id"),
            ("file.download", "its bytes"),
            ("file.range", "a part of its bytes"),
            ("file.delete", "deleted with its bytes"),
            ("file.external", "files that lie elsewhere"),
            ("file.parts", "uploads in parts, as C# sends them to Qiniu"),
            ("file.stream", "uploads of streams from Node.js"),
            (
                "file.as_pointer",
                "written as a pointer to `_File` too, and found in either form",
            ),
            ("file.in_objects", "expanded in the objects that have them"),
            ("file.limits", "bounded, neither forged nor replaced"),
        ],
    ),
    (
        "Schemas",
        &[
            ("schemas", "read by the master key"),
            (
                "administration",
                "classes, columns, permissions and indexes, by the master key",
            ),
        ],
    ),
    (
        "Functions and hooks",
        &[
            ("cloud.run", "functions, with typed results"),
            ("cloud.rpc", "objects as parameters and results"),
            ("cloud.user", "the session's user"),
            ("cloud.error", "code and text of an error"),
            ("hook.before_save", "may refuse and change what is stored"),
            ("hook.before_update", "may refuse, changes nothing"),
            ("hook.before_delete", "may refuse"),
            ("hook.after", "run behind the answer"),
            ("hook.on_login", "`onLogin` may refuse a login"),
            (
                "hook.on_auth_data",
                "`onAuthData` may refuse a login by `authData`, and change it",
            ),
            ("hook.on_verified", "`onVerified` is told"),
            ("hook.error", "142 with the text, in a batch too"),
            (
                "hook.ignore",
                "__ignore_hooks with the hook key or the master key",
            ),
            (
                "hook.recursion",
                "hooks that call each other come to an end, those of an app beside too",
            ),
            (
                "hook.mark",
                "the marks by which older SDKs know hooks and their own saves",
            ),
        ],
    ),
    (
        "LeanEngine",
        &[
            (
                "engine.1",
                "the environment of an instance: its keys, its port, its storage",
            ),
            ("engine.2", "the health check"),
            (
                "engine.3",
                "every prefix, every path; the clock starts with the request",
            ),
            ("engine.4", "what is defined, for the master key"),
            ("engine.5", "keys, signs, the hook key; internal functions"),
            ("engine.6", "calls of browsers from other sites"),
            (
                "engine.7",
                "bodies: JSON, forms, plain text, none, too large a one",
            ),
            ("engine.8", "parameters, sessions, functions that call functions"),
            (
                "engine.9",
                "errors, panics, time-outs; what nobody foresaw is told to nobody",
            ),
            ("engine.10", "class hooks"),
            ("engine.11", "hooks that call each other"),
            (
                "engine.12",
                "hooks of users, of the realtime service, of data queries",
            ),
            ("engine.13", "objects in parameters and results"),
            (
                "engine.14",
                "the client's address, cookie sessions, the way to HTTPS",
            ),
            ("engine.15", "the queue and the clock"),
            ("engine.16", "what is deployed"),
            ("engine.17", "starts and stops"),
        ],
    ),
    (
        "Recorded answers",
        &[
            ("recorded.object", "objects"),
            ("recorded.query", "queries and scans"),
            ("recorded.relation", "relations and inclusion"),
            ("recorded.user", "users"),
            ("recorded.acl_role", "ACLs and roles"),
            ("recorded.batch", "batches"),
            ("recorded.cloud_hooks", "hooks"),
            ("recorded.cloud_functions", "functions with objects in and out"),
            ("recorded.errors", "errors"),
            ("recorded.misc", "the date"),
        ],
    ),
    (
        "Requests of the official SDKs that do not run here",
        &[
            ("sdk.java", "Java and Android"),
            ("sdk.swift", "Swift"),
            ("sdk.objc", "Objective-C"),
            ("sdk.csharp", "C#"),
            ("sdk.go", "Go"),
            ("sdk.flutter", "Flutter"),
            ("sdk.php", "PHP"),
        ],
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All sources of tests, Rust, JavaScript and Python.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut waiting = vec![root().join("tests")];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "rs" || extension == "js" || extension == "py")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The name of a test in its first line.
fn test_name(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(call) = line.strip_prefix("test('") {
        return Some(call.split("', ").next()?.to_owned());
    }
    let line = line.strip_prefix("async ").unwrap_or(line);
    let function = line.strip_prefix("fn ").or_else(|| line.strip_prefix("def "))?;
    Some(function.split('(').next()?.to_owned())
}

/// The tests of a file, by the behaviour that they show.
fn shown(text: &str, file: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut open: Vec<String> = Vec::new();
    for line in text.lines() {
        let comment = line.trim().trim_start_matches(['/', '#']).trim_start();
        if let Some(names) = comment
            .strip_prefix("compat: ")
            .filter(|_| line.trim() != comment)
        {
            open.extend(names.split_whitespace().map(str::to_owned));
        } else if let Some(test) = test_name(line) {
            for name in open.drain(..) {
                shown.entry(name).or_default().insert(format!("{file}: {test}"));
            }
        }
    }
    assert!(open.is_empty(), "{file}: no test follows {open:?}");
    shown
}

fn all_shown() -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in sources() {
        let file = path
            .strip_prefix(root().join("tests"))
            .unwrap()
            .display()
            .to_string();
        if file == "integration/compatibility.rs" {
            continue;
        }
        for (name, tests) in shown(&fs::read_to_string(&path).unwrap(), &file) {
            all.entry(name).or_default().extend(tests);
        }
    }
    all
}

fn table(shown: &BTreeMap<String, BTreeSet<String>>) -> String {
    let mut text = "# Compatibility with LeanCloud: behaviours, and the tests that show them\n\nWritten by `tests/integration/compatibility.rs`.\n".to_owned();
    for (section, lines) in SECTIONS {
        text.push_str(&format!(
            "\n## {section}\n\n| behaviour | tests |\n| --- | --- |\n"
        ));
        for (name, meaning) in *lines {
            let tests: Vec<&str> = shown
                .get(*name)
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect();
            text.push_str(&format!("| {meaning} | {} |\n", tests.join("<br>")));
        }
    }
    text
}

#[test]
fn every_listed_behaviour_has_a_test() {
    let shown = all_shown();
    let known: BTreeSet<&str> = SECTIONS
        .iter()
        .flat_map(|(_, lines)| lines.iter().map(|(name, _)| *name))
        .collect();
    let without: Vec<&&str> = known.iter().filter(|name| !shown.contains_key(**name)).collect();
    assert!(without.is_empty(), "no test shows {without:?}");
    let unknown: Vec<&String> = shown
        .keys()
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    assert!(
        unknown.is_empty(),
        "tests show what is in no section: {unknown:?}"
    );
    let (file, text) = (root().join("tests/COMPATIBILITY.md"), table(&shown));
    if std::env::var_os("PAYLOG_WRITE_TABLE").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == text,
        "tests/COMPATIBILITY.md is out of date: PAYLOG_WRITE_TABLE=1 writes it anew"
    );
}

#[test]
fn compat_comments_are_read_in_rust_javascript_and_python() {
    let text = "// compat: a.b c\n#[tokio::test]\nasync fn rust_test() {\n// compat: d\ntest('js: test', async () => {\n    # compat: e\n    def test_python(self):\n";
    let found = shown(text, "f");
    let tests: Vec<_> = found
        .iter()
        .map(|(name, tests)| (name.as_str(), tests.first().unwrap().as_str()))
        .collect();
    assert_eq!(
        tests,
        [
            ("a.b", "f: rust_test"),
            ("c", "f: rust_test"),
            ("d", "f: js: test"),
            ("e", "f: test_python"),
        ]
    );
}
