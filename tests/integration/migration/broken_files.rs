//! Unreadable lines and dangling pointers: each is reported with file and line, and all others are imported.

use serde_json::{Value, json};

use super::ImportFixture;

fn line(id: &str, fields: &str) -> String {
    format!(
        r#"{{"objectId":"{id}","createdAt":"2020-01-01T00:00:00.000Z","updatedAt":"2020-01-01T00:00:00.000Z"{fields}}}"#
    )
}

/// The lines of a file in the report, with their explanations.
fn reported(report: &[Value], kind: &str, file: &str) -> Vec<(u64, String)> {
    let entries = report
        .iter()
        .filter(|entry| entry["file"] == file && entry.get(kind).is_some());
    entries
        .map(|entry| {
            (
                entry["line"].as_u64().unwrap(),
                entry[kind].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

/// Asserts the reported lines, and a word of each explanation.
fn assert_reported(found: &[(u64, String)], expected: &[(u64, &str)]) {
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((line, text), (expected_line, word)) in found.iter().zip(expected) {
        assert!(
            line == expected_line && text.contains(word),
            "{expected_line} {word}: {found:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_line_is_reported_and_others_are_imported() {
    let fixture = ImportFixture::new();
    let mut text: Vec<u8> =
        b"\xef\xbb\xbf#filetype:JSON-streaming {\"type\":\"Class\",\"class\":\"Post\"}\n".to_vec();
    let mut push = |line: &[u8]| {
        text.extend_from_slice(line);
        text.push(b'\n');
    };
    push(
        line(
            "good1",
            r#","n":1,"author":{"__type":"Pointer","className":"_User","objectId":"u1"}"#,
        )
        .as_bytes(),
    );
    push(br#"{"objectId":"cut","createdAt":"2020-01-01T0"#); // 3
    push(b"{\"objectId\":\"latin\",\"text\":\"caf\xe9\"}"); // 4
    push(line("good1", r#","n":2"#).as_bytes()); // 5
    push(line("novel", r#","n":{"__type":"Novel"}"#).as_bytes()); // 6
    push(b""); // 7
    push(
        line(
            "astray",
            r#","author":{"__type":"Pointer","className":"_User","objectId":"nobody"}"#,
        )
        .as_bytes(),
    ); // 8
    push(line("large", &format!(r#","text":"{}""#, "x".repeat(20 << 20))).as_bytes()); // 9
    push(line("typed", r#","n":"one""#).as_bytes()); // 10
    push(b"[1, 2]"); // 11
    push(br#"{"objectId":"no/id"}"#); // 12
    push(line("date", r#","updatedAt":"yesterday""#).as_bytes()); // 13
    push(
        line(
            "deep",
            &format!(r#","a":{}1{}"#, "[".repeat(200), "]".repeat(200)),
        )
        .as_bytes(),
    ); // 14
    push(line("vast", &format!(r#","text":"{}""#, "x".repeat(40 << 20))).as_bytes()); // 15
    text.extend_from_slice(line("good2", r#","n":3"#).as_bytes());
    fixture.file("Post.0.jsonl", &text);
    fixture.file("_User.0.jsonl", line("u1", r#","username":"ann""#));
    fixture.file("notes.txt", "hello");

    let summary = fixture.import().await;
    let report = fixture.report();
    assert_reported(
        &reported(&report, "problem", "Post.0.jsonl"),
        &[
            (3, "breaks off"),
            (4, "not UTF-8"),
            (5, "duplicate objectId"),
            (6, "Unknown __type"),
            (9, "too large"),
            (10, "expect type is"),
            (11, "no JSON object"),
            (12, "not an objectId"),
            (13, "Invalid date"),
            (14, "no JSON"),
            (15, "too large"),
        ],
    );
    assert_reported(
        &reported(&report, "notice", "Post.0.jsonl"),
        &[(1, "byte order mark"), (8, "_User nobody, which is not there")],
    );
    assert!(
        report
            .iter()
            .any(|entry| entry["file"] == "notes.txt" && entry.get("notice").is_some())
    );
    let duplicate = report.iter().find(|entry| entry["line"] == 5).unwrap();
    assert_eq!(
        (&duplicate["class"], &duplicate["objectId"]),
        (&json!("Post"), &json!("good1"))
    );
    assert!(duplicate["text"].as_str().unwrap().contains(r#""n":2"#));

    assert_eq!((summary.left_out, summary.dangling, summary.notices), (11, 1, 2));
    assert!(!summary.is_complete());
    assert_eq!(summary.report, Some(fixture.folder.path().join("report.jsonl")));
    assert_eq!(fixture.count("Post").await, 3);
    assert_eq!(fixture.get("Post", "good1").await.unwrap().integer("n"), Some(1));
    assert!(fixture.get("Post", "astray").await.is_some());
    assert_eq!(fixture.get("Post", "good2").await.unwrap().integer("n"), Some(3));
}

/// A file that is cut off, a nested archive, UTF-16, a relation without a target class.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_file_is_reported_and_others_are_imported() {
    let fixture = ImportFixture::new();
    fixture.file(
        "Post.json",
        format!(
            "[\n{},\n{},\n{{\"objectId\":\"p3\"",
            line("p1", ""),
            line("p2", "")
        ),
    );
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fixture.file("Wide.jsonl", [b"\xff\xfe".as_slice(), &utf16].concat());
    fixture.file("Odd.csv", "string,novel\nobjectId,n\no1,1\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let rows: String = (0..5000)
        .map(|n| line(&format!("z{n}"), &format!(r#","n":{}"#, n * 7919 % 1000)) + "\n")
        .collect();
    std::io::Write::write_all(&mut gzip, rows.as_bytes()).unwrap();
    let mut packed = gzip.finish().unwrap();
    packed.truncate(packed.len() / 2);
    fixture.file("Cut.jsonl.gz", packed);
    fixture.file(
        "_Join:likes:Post.jsonl",
        "{\"owningId\":\"p1\",\"relatedId\":\"p2\"}\n{\"owningId\":\"p1\",\"relatedId\":\"gone\"}\n{\"owningId\":\"p1\"}\n",
    );
    let summary = fixture.import().await;
    let report = fixture.report();
    assert_reported(&reported(&report, "problem", "Post.json"), &[(4, "breaks off")]);
    assert_reported(&reported(&report, "problem", "Wide.jsonl"), &[(1, "UTF-16")]);
    assert_reported(
        &reported(&report, "problem", "Odd.csv"),
        &[(2, "'novel' over the column 'n'")],
    );
    let cut = reported(&report, "problem", "Cut.jsonl.gz");
    assert!(
        cut.iter()
            .any(|(_, text)| text.contains("cannot be read any further")),
        "{cut:?}"
    );
    assert_reported(
        &reported(&report, "problem", "_Join:likes:Post.jsonl"),
        &[(3, "relatedId")],
    );
    assert_reported(
        &reported(&report, "notice", "_Join:likes:Post.jsonl"),
        &[(2, "Post gone, which is not there")],
    );
    assert_eq!(summary.dangling, 1);
    assert_eq!(fixture.count("Post").await, 2);
    assert!(fixture.count("Cut").await > 1000);
}

/// A repeated import changes nothing, and reports the same records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_import_changes_nothing() {
    let fixture = ImportFixture::new();
    fixture.file(
        "Post.jsonl",
        format!("{}\n{{\n{}\n", line("p1", r#","n":1"#), line("p2", r#","n":1"#)),
    );
    fixture.file("Loose.json", r#"{"results": [{"n": 1}, {"n": 1}, {"n": 2}]}"#);
    let first = fixture.import().await;
    let made = fixture.count("Loose").await;
    assert_eq!((first.classes[&super::class_name("Post")].created, made), (2, 3));
    let second = fixture.import().await;
    for (class, counts) in &second.classes {
        assert_eq!((counts.created, counts.replaced), (0, 0), "{class}");
        assert_eq!(
            counts.unchanged + counts.kept,
            first.classes[class].created,
            "{class}"
        );
    }
    assert_eq!((first.left_out, second.left_out), (1, 1));
    assert_eq!(fixture.count("Loose").await, 3);
}
