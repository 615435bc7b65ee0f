//! Files: upload in the SDKs' ways, download with ranges, safety in browsers, deletion.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Answer, As, TestServer, answer, start, start_with};

/// Uploads as the JavaScript, Python, Java and Swift SDKs: get a token, PUT the bytes, report the result.
pub(super) async fn upload(server: &TestServer, caller: &As, request: Value, content: &[u8]) -> Answer {
    let token = server.post(caller, "/fileTokens", request).await;
    assert_eq!(token.status, 200, "{token:?}");
    let put = server
        .absolute(Method::PUT, token.body["upload_url"].as_str().unwrap())
        .header("Content-Type", token.body["mime_type"].as_str().unwrap())
        .header("Cache-Control", "public, max-age=31536000");
    let put = answer(put.body(content.to_vec())).await;
    assert_eq!(put.status, 200, "{put:?}");
    let said = json!({"token": token.body["token"], "result": true});
    let closed = server.post(caller, "/fileCallback", said).await;
    assert_eq!((closed.status, &closed.body), (200, &json!({})));
    token
}

/// The status and code of an error in S3's form.
fn s3_error(refused: &Answer) -> (u16, &str) {
    assert_eq!(refused.header("content-type"), "application/xml", "{refused:?}");
    let text = refused.body.as_str().unwrap();
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"));
    (refused.status, code.unwrap().0)
}

async fn download(server: &TestServer, file: &Answer, headers: &[(&str, &str)]) -> Answer {
    let mut request = server.absolute(Method::GET, file.body["url"].as_str().unwrap());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(request).await
}

// compat: file.upload file.read file.download file.delete
#[tokio::test]
async fn file_upload_read_delete() {
    let server = start().await;
    let client = As::client();
    let request = json!({"name": "hello.txt", "mime_type": "text/plain", "ACL": null,
        "metaData": {"size": 11, "owner": "unknown"}, "keep_file_name": null});
    let file = upload(&server, &client, request, b"hello world").await;
    assert_eq!(
        file.keys(),
        [
            "bucket",
            "createdAt",
            "key",
            "metaData",
            "mime_type",
            "objectId",
            "provider",
            "token",
            "upload_url",
            "url"
        ]
    );
    assert_eq!(file.body["provider"], "s3");
    let key = file.body["key"].as_str().unwrap();
    assert!(key.len() == 36 && key.ends_with(".txt"), "{key}");
    let url = file.body["url"].as_str().unwrap();
    assert_eq!(url, server.url("").replace("/1.1", &format!("/files/{key}")));

    let whole = download(&server, &file, &[]).await;
    assert_eq!((whole.status, &whole.body), (200, &json!("hello world")));
    assert_eq!(whole.header("content-type"), "text/plain");
    assert_eq!(whole.header("content-length"), "11");
    assert_eq!(whole.header("accept-ranges"), "bytes");

    // The row, under each of its names.
    let id = file.id();
    for path in [
        format!("/files/{id}"),
        format!("/classes/_File/{id}"),
        format!("/classes/files/{id}"),
    ] {
        let row = server.get(&client, &path, &[]).await;
        assert_eq!(
            row.keys(),
            [
                "bucket",
                "createdAt",
                "key",
                "metaData",
                "mime_type",
                "name",
                "objectId",
                "provider",
                "updatedAt",
                "url"
            ]
        );
        assert_eq!(
            (&row.body["url"], &row.body["name"]),
            (&json!(url), &json!("hello.txt"))
        );
    }
    let found = server.find(&client, "_File", json!({"key": key})).await;
    assert_eq!((found.len(), &found[0]["url"]), (1, &json!(url)));

    // Rows do not change, and go with their bytes, by the master key.
    let path = format!("/files/{id}");
    assert_eq!(
        server.put(&client, &path, json!({"name": "x"})).await.error(),
        (403, 403)
    );
    assert_eq!(server.delete(&client, &path).await.error(), (403, 403));
    assert_eq!(server.delete(&As::master(), &path).await.status, 200);
    assert_eq!(download(&server, &file, &[]).await.error(), (404, 101));
    assert_eq!(server.get(&client, &path, &[]).await.body, json!({}));
}

// compat: file.range
#[tokio::test]
async fn range_of_file_is_returned() {
    let server = start().await;
    let file = upload(&server, &As::client(), json!({"name": "n.txt"}), b"0123456789").await;
    for (range, part, content_range) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=4-", "456789", "bytes 4-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
    ] {
        let got = download(&server, &file, &[("Range", range)]).await;
        // A body of digits reads as a number.
        let body = got.body.as_str().map_or(got.body.to_string(), ToOwned::to_owned);
        let expected = part.trim_start_matches('0');
        assert_eq!(
            (got.status, body.trim_start_matches('0')),
            (206, expected),
            "{range}"
        );
        assert_eq!(got.header("content-range"), content_range);
        assert_eq!(got.header("content-length"), part.len().to_string());
    }
    let beyond = download(&server, &file, &[("Range", "bytes=10-")]).await;
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, "bytes */10")
    );
    let several = download(&server, &file, &[("Range", "bytes=0-1,4-5")]).await;
    assert_eq!(several.status, 200);

    let whole = download(&server, &file, &[]).await;
    let tag = whole.header("etag").to_owned();
    let known = download(&server, &file, &[("If-None-Match", &tag)]).await;
    assert_eq!(known.status, 304);
    for (tag, status) in [(tag.as_str(), 206), ("\"other\"", 200)] {
        let resumed = download(&server, &file, &[("Range", "bytes=4-"), ("If-Range", tag)]).await;
        assert_eq!(resumed.status, status);
    }
    let head = server.absolute(Method::HEAD, file.body["url"].as_str().unwrap());
    let head = head.send().await.unwrap();
    assert_eq!(
        (
            head.status().as_u16(),
            head.headers()["content-length"].to_str().unwrap()
        ),
        (200, "10")
    );
    let posted = server.absolute(Method::POST, file.body["url"].as_str().unwrap());
    assert_eq!(answer(posted).await.error(), (405, 1));
}

/// An uploaded page must not act for its readers.
#[tokio::test]
async fn uploaded_page_does_not_run_in_browser() {
    let server = start().await;
    for (name, said, kind, shown) in [
        ("x.html", json!("text/html"), "text/html", "attachment"),
        ("x.svg", json!(null), "image/svg+xml", "attachment"),
        ("x.html", json!(null), "text/html", "attachment"),
        ("x", json!(7), "application/octet-stream", "attachment"),
        ("x.png", json!("a\r\nSet-Cookie: b"), "image/png", "inline"),
        ("照片.png", json!("image/png"), "image/png", "inline"),
    ] {
        let file = upload(
            &server,
            &As::client(),
            json!({"name": name, "mime_type": said}),
            b"<script>1</script>",
        )
        .await;
        let got = download(&server, &file, &[]).await;
        assert_eq!(got.status, 200);
        assert_eq!(got.header("content-type"), kind, "{name}");
        assert_eq!(got.header("x-content-type-options"), "nosniff");
        assert_eq!(
            got.header("content-security-policy"),
            "default-src 'none'; sandbox"
        );
        let disposition = got.header("content-disposition");
        assert!(
            disposition.starts_with(&format!("{shown}; filename*=UTF-8''")),
            "{disposition}"
        );
    }
}

#[tokio::test]
async fn path_out_of_the_folder_is_refused() {
    let server = start().await;
    let client = As::client();
    std::fs::write(server.folder().join("secret"), b"secret").unwrap();
    for path in [
        "/files/../secret",
        "/files/..%2fsecret",
        "/files/%2e%2e/secret",
        "/files/a/..%2f..%2fsecret",
        "/files/.unfinished",
        "/files//etc/passwd",
        "/files/%00",
        "/files/a%5c..%5cb",
    ] {
        let url = format!("{}{path}", server.url("").trim_end_matches("/1.1"));
        let got = answer(server.absolute(Method::GET, &url)).await;
        assert_eq!(got.status, 404, "{path}: {got:?}");
    }
    // A name is no path either; and only the master key chooses a key.
    for (request, status) in [
        (json!({"name": "../../secret", "keep_file_name": true}), 200),
        (json!({"name": "a", "prefix": "../.."}), 400),
        (json!({"name": "a", "prefix": "2026/avatars"}), 200),
        (json!({"name": "a", "key": "robots.txt"}), 400),
    ] {
        let token = server.post(&client, "/fileTokens", request.clone()).await;
        assert_eq!(token.status, status, "{request}");
        if status == 200 {
            assert!(!token.body["key"].as_str().unwrap().contains(".."), "{token:?}");
        }
    }
    for key in ["../secret", "/etc/passwd", ".hidden", "a//b", ""] {
        let token = server
            .post(&As::master(), "/fileTokens", json!({"name": "a", "key": key}))
            .await;
        let chosen = token.body["key"].as_str().unwrap_or_default() == key;
        assert!(!chosen, "{token:?}");
    }
    let robots = upload(
        &server,
        &As::master(),
        json!({"name": "a", "key": "robots.txt"}),
        b"User-agent: *",
    )
    .await;
    assert!(
        robots.body["url"]
            .as_str()
            .unwrap()
            .ends_with("/files/robots.txt")
    );
    // Nobody lays hands on bytes by making a row for their key.
    for caller in [&client, &As::master()] {
        let stolen = server
            .post(caller, "/files", json!({"name": "x", "key": "robots.txt"}))
            .await;
        assert!(stolen.status == 400, "{stolen:?}");
    }
    let kept = upload(
        &server,
        &client,
        json!({"name": "a b/照片 1.png", "keep_file_name": true}),
        b"png",
    )
    .await;
    assert!(kept.body["key"].as_str().unwrap().ends_with("/照片 1.png"));
    assert_eq!(download(&server, &kept, &[]).await.status, 200);
}

// compat: file.limits
#[tokio::test]
async fn oversized_forged_or_second_upload_is_refused() {
    let server = start_with(None, |config| config.file_bytes_max = 10).await;
    let client = As::client();
    let token = server.post(&client, "/fileTokens", json!({"name": "a"})).await;
    let url = token.body["upload_url"].as_str().unwrap().to_owned();
    let put = async |url: &str, content: &'static [u8]| {
        answer(server.absolute(Method::PUT, url).body(content)).await
    };
    assert_eq!(
        s3_error(&put(&url, b"01234567890").await),
        (413, "EntityTooLarge")
    );
    assert_eq!(put(&url, b"0123456789").await.status, 200);
    // The answer was lost: the same again. But nothing else.
    assert_eq!(put(&url, b"0123456789").await.status, 200);
    assert_eq!(
        s3_error(&put(&url, b"9876543210").await),
        (409, "PreconditionFailed")
    );
    let forged = url.rsplit_once('.').unwrap().0;
    let refused = put(&format!("{forged}.AAAA"), b"x").await;
    assert_eq!(s3_error(&refused), (403, "AccessDenied"));
    assert_eq!(
        refused.body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code>\
         <Message>The upload token is not valid.</Message></Error>"
    );
    let got = answer(server.absolute(Method::GET, &url)).await;
    assert_eq!(got.error(), (405, 1));
    // Browsers may send what headers they like.
    let preflight = server
        .absolute(Method::OPTIONS, &url)
        .header("Origin", "https://example.com")
        .header("Access-Control-Request-Method", "PUT")
        .header(
            "Access-Control-Request-Headers",
            "cache-control,content-type,x-own",
        );
    let preflight = answer(preflight).await;
    assert_eq!(preflight.status, 200);
    assert_eq!(
        preflight.header("access-control-allow-origin"),
        "https://example.com"
    );
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        "cache-control,content-type,x-own"
    );

    // An upload that failed takes its row along.
    let failed = server.post(&client, "/fileTokens", json!({"name": "b"})).await;
    let url = failed.body["upload_url"].as_str().unwrap();
    assert_eq!(put(url, b"half").await.status, 200);
    let said = json!({"token": failed.body["token"], "result": false});
    assert_eq!(server.post(&client, "/fileCallback", said).await.status, 200);
    assert_eq!(download(&server, &failed, &[]).await.status, 404);
    assert_eq!(s3_error(&put(url, b"again").await), (404, "NoSuchUpload"));
    for body in [json!({}), json!({"token": "x", "result": true})] {
        let refused = server.post(&client, "/fileCallback", body).await;
        assert!(refused.status == 400 || refused.status == 403, "{refused:?}");
    }
}

/// Older SDKs choose a random key themselves, and do not read it from the response.
// compat: file.chosen_key
#[tokio::test]
async fn clients_random_key_is_accepted_if_unused() {
    let server = start().await;
    let client = As::client();
    let ask = async |key: &str| {
        let body =
            json!({"name": "a.png", "key": key, "mime_type": "image/png", "ACL": null, "metaData": {}});
        server.post(&client, "/fileTokens", body).await
    };
    let plain = "aZ09".repeat(10);
    for key in [
        "0123456789abcdef0123.png",
        "0123456789abcdef0123456789abcdef",
        "0123456789ABCDEF0123456789ABCDEF.PNG",
        "9841422d-c041-45a5-b7b3-467179f4f127.jpeg",
        &format!("{plain}.m4a"),
        "k3TqZ0aPw9Lx.png",
    ] {
        let request = json!({"name": "a.png", "key": key});
        let file = upload(&server, &client, request, b"hello").await;
        assert_eq!(file.body["key"], json!(key));
        assert_eq!(download(&server, &file, &[]).await.body, json!("hello"));
        // It is that file's from now on, for whoever asks.
        let again = ask(key).await;
        assert_eq!(again.error(), (400, 1), "{again:?}");
        assert!(
            again.body["error"].as_str().unwrap().contains("already"),
            "{again:?}"
        );
        let row = server
            .get(&client, &format!("/files/{}", file.id()), &[])
            .await
            .body;
        assert_eq!((&row["key"], &row["url"]), (&json!(key), &file.body["url"]));
    }
    for key in [
        "robots.txt",
        "avatar.png",
        "presentation.pdf",
        "k3TqZ0aPw9Lx",
        "../0123456789abcdef0123",
        "a/0123456789abcdef0123.png",
        "0123456789abcdef0123/a.png",
        "0123456789abcdef012g.png",
        "0123456789abcdef0123.a/b",
    ] {
        assert_eq!(ask(key).await.error(), (400, 1), "{key}");
    }
    assert_eq!(
        ask("0123456789abcdef9999.").await.body["key"],
        "0123456789abcdef9999"
    );

    // Bytes without a row, a folder, a row without bytes, one that its owner hides: nobody gets hold of them.
    let files = server.folder().join("files");
    std::fs::write(files.join("00000000000000000001.png"), b"kept").unwrap();
    std::fs::create_dir(files.join("00000000000000000002")).unwrap();
    assert_eq!(ask("00000000000000000003").await.status, 200);
    let hidden = json!({"name": "a", "key": "00000000000000000004", "ACL": {"nobody": {"read": true}}});
    assert_eq!(server.post(&client, "/fileTokens", hidden).await.status, 200);
    for key in [
        "00000000000000000001.png",
        "00000000000000000002",
        "00000000000000000003",
        "00000000000000000004",
    ] {
        assert_eq!(ask(key).await.error(), (400, 1), "{key}");
    }
    assert_eq!(
        std::fs::read(files.join("00000000000000000001.png")).unwrap(),
        b"kept"
    );

    // Of two who ask at once, one gets the key.
    let both = futures_util::future::join_all((0..8).map(|_| ask("00000000000000000005.png"))).await;
    let granted = both.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(granted, 1, "{both:?}");
}

/// A client whose upload of a key was taken back must not remove a later file of another client under that key.
#[tokio::test]
async fn upload_token_of_deleted_row_is_refused() {
    let server = start().await;
    let client = As::client();
    let request = json!({"name": "a", "key": "0123456789abcdef0123456789abcdef"});
    let first = server.post(&client, "/fileTokens", request.clone()).await;
    let failed = json!({"token": first.body["token"], "result": false});
    assert_eq!(
        server.post(&client, "/fileCallback", failed.clone()).await.status,
        200
    );
    let second = upload(&server, &client, request, b"hello").await;
    assert_ne!(second.id(), first.id());
    assert_eq!(server.post(&client, "/fileCallback", failed).await.status, 200);
    let put = server.absolute(Method::PUT, first.body["upload_url"].as_str().unwrap());
    assert_eq!(s3_error(&answer(put.body("other")).await), (404, "NoSuchUpload"));
    assert_eq!(download(&server, &second, &[]).await.body, json!("hello"));
}

/// JavaScript up to 4.0 and Python up to 2.5 name the file in the path, and read the row from the response.
// compat: file.by_name
#[tokio::test]
async fn file_is_created_by_name_in_path() {
    let server = start().await;
    let client = As::client();
    let mut external = json!({"name": "logo.png", "url": "https://example.com/logo.png", "ACL": null,
        "metaData": {"__source": "external", "owner": "unknown", "size": 7}});
    for (path, size) in [("/files/logo.png", 7), ("/files/%E7%85%A7%E7%89%87%20%2B.png", 0)] {
        let created = server.post(&client, path, external.clone()).await;
        assert_eq!(
            (created.status, &created.body["size"]),
            (201, &json!(size)),
            "{created:?}"
        );
        assert_eq!(created.body["name"], "logo.png");
        assert_eq!(created.body["url"], "https://example.com/logo.png");
        let row = server
            .get(&client, &format!("/files/{}", created.id()), &[])
            .await
            .body;
        assert_eq!(
            (&row["name"], &row["mime_type"]),
            (&json!("logo.png"), &json!("image/png"))
        );
        assert!(row.get("size").is_none() && row.get("base64").is_none(), "{row}");
        external["metaData"].as_object_mut().unwrap().shift_remove("size");
    }
    external.as_object_mut().unwrap().shift_remove("name");
    let named = server
        .post(&client, "/files/%E7%85%A7%E7%89%87.png", external.clone())
        .await;
    assert_eq!(named.body["name"], "照片.png", "{named:?}");
    external["url"] = "javascript:alert(1)".into();
    assert_eq!(server.post(&client, "/files/x", external).await.error(), (400, 1));

    // `aGVsbG8=` is `hello`.
    let small = json!({"base64": "aGVsbG8=", "_ContentType": "text/plain", "metaData": {"owner": "unknown"}});
    let kept = server.post(&client, "/files/hello.txt", small.clone()).await;
    assert_eq!((kept.status, &kept.body["size"]), (201, &json!(5)), "{kept:?}");
    assert_eq!(kept.body["name"], "hello.txt");
    let got = download(&server, &kept, &[]).await;
    assert_eq!((got.status, got.header("content-type")), (200, "text/plain"));
    assert_eq!(got.body, "hello");
    let row = server
        .get(&client, &format!("/files/{}", kept.id()), &[])
        .await
        .body;
    assert_eq!(
        (&row["url"], &row["bucket"]),
        (&kept.body["url"], &json!("paylog"))
    );
    assert!(
        row.get("base64").is_none() && row.get("_ContentType").is_none(),
        "{row}"
    );
    let broken = json!({"base64": "a", "name": "x"});
    assert_eq!(server.post(&client, "/files/x", broken).await.error(), (400, 107));

    let bounded = start_with(None, |config| config.file_bytes_max = 4).await;
    assert_eq!(bounded.post(&client, "/files/x", small).await.error(), (413, 413));
    assert_eq!(
        bounded.find(&As::master(), "_File", json!({})).await,
        Vec::<Value>::new()
    );
    // The path is that of a file by its id for all else.
    let path = format!("/files/{}", kept.id());
    assert_eq!(server.delete(&client, &path).await.error(), (403, 403));
    let batch = json!({"requests": [{"method": "DELETE", "path": format!("/1.1{path}")}]});
    let deleted = server.post(&As::master(), "/batch", batch).await;
    assert_eq!(deleted.body, json!([{"success": {}}]));
    assert_eq!(download(&server, &kept, &[]).await.status, 404);
}

/// `wx.uploadFile` sends a form, and the SDK uses it if the provider is Qiniu.
// compat: file.mini_program
#[tokio::test]
async fn mini_program_uploads_form() {
    const BOUNDARY: &str = "----WechatBoundary7";
    let form = |content: &[u8]| {
        let field = |name: &str| format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"");
        let mut body = format!(
            "{}\r\n\r\na.png\r\n{}; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n",
            field("name"),
            field("file")
        )
        .into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(format!("\r\n{}\r\n\r\nt\r\n--{BOUNDARY}--\r\n", field("token")).as_bytes());
        body
    };
    let server = start_with(None, |config| config.file_bytes_max = 300_000).await;
    let ask = async |agent: &str| {
        let request = server.request(&As::client(), Method::POST, "/fileTokens");
        let request = request.header("X-LC-UA", agent);
        answer(request.json(&json!({"name": "a.png", "mime_type": "image/png"}))).await
    };
    let post = async |url: &str, kind: &str, body: Vec<u8>| {
        let request = server.absolute(Method::POST, url).header("Content-Type", kind);
        answer(request.body(body)).await
    };
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    assert_eq!(
        ask("LeanCloud-JS-SDK/4.15.0 (Browser)").await.body["provider"],
        "s3"
    );
    let file = ask("LeanCloud-JS-SDK/4.15.0 (Weapp)").await;
    assert_eq!(file.body["provider"], "qiniu", "{file:?}");
    let url = file.body["upload_url"].as_str().unwrap();

    assert_eq!(post(url, &kind, form(&[0; 300_001])).await.error(), (413, 413));
    for (kind, body) in [
        ("application/json", form(b"x")),
        ("multipart/form-data", form(b"x")),
        ("multipart/form-data; boundary=other", form(b"x")),
        (kind.as_str(), Vec::new()),
        (kind.as_str(), format!("--{BOUNDARY}--").into_bytes()),
    ] {
        assert_eq!(post(url, kind, body).await.error(), (400, 1), "{kind}");
    }
    let mut half = form(&[7; 1000]);
    half.truncate(600);
    assert_eq!(post(url, &kind, half).await.error(), (408, 1));
    assert_eq!(download(&server, &file, &[]).await.status, 404);

    let content: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    // Again after a lost answer; but nothing else.
    for _ in 0..2 {
        let done = post(url, &kind, form(&content)).await;
        assert_eq!((done.status, done.keys()), (200, vec!["hash", "key"]), "{done:?}");
        assert_eq!(done.body["key"], file.body["key"]);
        assert_eq!(done.header("access-control-allow-origin"), "*");
    }
    assert_eq!(post(url, &kind, form(b"other")).await.error(), (409, 1));
    let forged = url.rsplit_once('.').unwrap().0;
    assert_eq!(
        post(&format!("{forged}.AAAA"), &kind, form(b"x")).await.error(),
        (403, 1)
    );
    let got = server.absolute(Method::GET, file.body["url"].as_str().unwrap());
    let got = got.send().await.unwrap();
    assert_eq!(got.headers()["content-type"], "image/png");
    assert_eq!(got.bytes().await.unwrap(), content);
}

// compat: file.external
#[tokio::test]
async fn external_file_is_a_row_with_url() {
    let server = start().await;
    let client = As::client();
    let external = json!({"name": "logo.png", "url": "https://example.com/logo.png", "mime_type": null,
        "metaData": {"__source": "external", "owner": "unknown"}, "ACL": null});
    for path in ["/files", "/classes/_File"] {
        let created = server.post(&client, path, external.clone()).await;
        assert_eq!(
            (created.status, created.keys()),
            (201, vec!["createdAt", "objectId"])
        );
        let row = server
            .get(&client, &format!("/files/{}", created.id()), &[])
            .await
            .body;
        assert_eq!(row["url"], "https://example.com/logo.png");
        assert_eq!(row["mime_type"], "image/png");
    }
    for url in [
        json!("javascript:alert(1)"),
        json!("https://"),
        json!(7),
        Value::Null,
    ] {
        let refused = server
            .post(&client, "/files", json!({"name": "x", "url": url}))
            .await;
        assert_eq!(refused.error(), (400, 1), "{url}");
    }
    assert_eq!(server.post(&client, "/files", json!({})).await.error(), (400, 1));

    // The Go SDK sends no address; one that is no address is refused all the same.
    let mut named = json!({"__type": "File", "name": "logo.png", "mime_type": "image/png",
        "metaData": {"__source": "external", "owner": "unknown"}});
    let created = server.post(&client, "/files", named.clone()).await;
    assert_eq!(
        (created.status, created.keys()),
        (201, vec!["createdAt", "objectId"])
    );
    let row = server
        .get(&client, &format!("/files/{}", created.id()), &[])
        .await;
    assert_eq!(
        (&row.body["name"], row.body.get("url")),
        (&json!("logo.png"), None)
    );
    named["url"] = "javascript:alert(1)".into();
    assert_eq!(
        server.post(&client, "/files", named.clone()).await.error(),
        (400, 1)
    );
    for other in [json!({"__source": "here"}), json!("external"), Value::Null] {
        named["url"] = Value::Null;
        named["metaData"] = other;
        assert_eq!(
            server.post(&client, "/files", named.clone()).await.error(),
            (400, 1),
            "{named}"
        );
    }
}

#[tokio::test]
async fn file_url_begins_with_called_or_public_url() {
    let server = start_with(None, |config| {
        config.public_url = Some("https://api.example.com/".into());
    })
    .await;
    let token = server
        .post(&As::client(), "/fileTokens", json!({"name": "a"}))
        .await
        .body;
    for key in ["url", "upload_url"] {
        assert!(
            token[key]
                .as_str()
                .unwrap()
                .starts_with("https://api.example.com/"),
            "{token}"
        );
    }
    let without = start_with(None, |config| config.files = None).await;
    let refused = without
        .post(&As::client(), "/fileTokens", json!({"name": "a"}))
        .await;
    assert_eq!(refused.error(), (400, 1));
}
