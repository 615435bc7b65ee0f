//! Uploads in parts, as the C# SDK sends them to Qiniu.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use md5::{Digest, Md5};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Answer, As, TestServer, answer, start, start_with};

const C_SHARP: &str = "LeanCloud-CSharp-SDK/2.0.0";

async fn ask(server: &TestServer, agent: &str, body: Value) -> Answer {
    let request = server.request(&As::client(), Method::POST, "/fileTokens");
    let token = answer(request.header("User-Agent", agent).json(&body)).await;
    assert_eq!(token.status, 200, "{token:?}");
    token
}

/// The upload of a file in parts, with its token.
struct Upload<'a> {
    server: &'a TestServer,
    token: &'a Answer,
    /// The address of the parts.
    address: String,
}

impl<'a> Upload<'a> {
    fn new(server: &'a TestServer, token: &'a Answer) -> Self {
        let text = |key: &str| token.body[key].as_str().unwrap();
        let object = BASE64_URL_SAFE.encode(text("key"));
        let (url, bucket) = (text("upload_url"), text("bucket"));
        Self {
            server,
            token,
            address: format!("{url}/buckets/{bucket}/objects/{object}/uploads"),
        }
    }

    /// With the headers of the SDK, whose `Host` is without the port.
    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Answer {
        let request = self
            .server
            .absolute(method.clone(), &format!("{}{path}", self.address))
            .header("Host", "127.0.0.1")
            .header(
                "Authorization",
                format!("UpToken {}", self.token.body["token"].as_str().unwrap()),
            );
        let request = match method {
            Method::PUT => request
                .header("Content-Type", "application/octet-stream")
                .header("Content-MD5", BASE64_STANDARD.encode(Md5::digest(&body))),
            _ => request.header("Content-Type", "application/json"),
        };
        answer(request.body(body)).await
    }

    /// Begins it; answers its id as a path.
    async fn begin(&self) -> String {
        let begun = self.send(Method::POST, "", Vec::new()).await;
        assert_eq!(begun.status, 200, "{begun:?}");
        format!("/{}", begun.body["uploadId"].as_str().unwrap())
    }

    /// Brings parts; answers what ends the upload.
    async fn bring(&self, id: &str, parts: &[&[u8]]) -> Value {
        let mut listed = Vec::new();
        for (number, part) in (1..).zip(parts) {
            let kept = self
                .send(Method::PUT, &format!("{id}/{number}"), part.to_vec())
                .await;
            assert_eq!((kept.status, kept.keys()), (200, vec!["etag", "md5"]), "{kept:?}");
            listed.push(json!({"partNumber": number, "etag": kept.body["etag"]}));
        }
        json!({"parts": listed})
    }

    async fn end(&self, id: &str, list: &Value) -> Answer {
        self.send(Method::POST, id, list.to_string().into_bytes()).await
    }

    async fn read(&self) -> (u16, Vec<u8>) {
        let url = self.token.body["url"].as_str().unwrap();
        let got = self.server.absolute(Method::GET, url).send().await.unwrap();
        (got.status().as_u16(), got.bytes().await.unwrap().to_vec())
    }
}

/// The status of an error in Qiniu's form.
fn refused(answer: &Answer) -> u16 {
    assert!(
        answer.body["error"].is_string() && answer.keys().len() == 1,
        "{answer:?}"
    );
    answer.status
}

/// The number of unfinished files on the disk.
fn unfinished(server: &TestServer) -> usize {
    let folder = server.folder().join("files/.unfinished");
    std::fs::read_dir(folder).unwrap().count()
}

/// The C# SDK sends parts if it knows no type; the JavaScript SDK sends streams from Node.js. The Python SDK, which sends no
/// type either, and older JavaScript SDKs would send to Qiniu's own servers.
// compat: file.parts file.stream
#[tokio::test]
async fn provider_is_qiniu_only_for_clients_without_put() {
    let server = start().await;
    for (agent, body, provider) in [
        (C_SHARP, json!({"name": "a.txt", "mime_type": null}), "qiniu"),
        (C_SHARP, json!({"name": "a.txt"}), "qiniu"),
        (C_SHARP, json!({"name": "a.txt", "mime_type": "text/plain"}), "s3"),
        (
            "LeanCloud-Python-SDK/3.0.2",
            json!({"name": "a.txt", "mime_type": null}),
            "s3",
        ),
        (
            "LeanCloud-JS-SDK/4.15.2 (Node.js/20.20.2)",
            json!({"name": "a.txt"}),
            "qiniu",
        ),
        (
            "LeanCloud-JS-SDK/3.15.0 (Node.js; Node.js/v20.20.2)",
            json!({"name": "a.txt"}),
            "qiniu",
        ),
        (
            "LeanCloud-JS-SDK/3.4.1 (Node.js; Node.js/v8.0.0)",
            json!({"name": "a.txt"}),
            "s3",
        ),
        (
            "LeanCloud-JS-SDK/4.15.2 (Browser)",
            json!({"name": "a.txt"}),
            "s3",
        ),
    ] {
        let token = ask(&server, agent, body.clone()).await;
        assert_eq!(token.body["provider"], provider, "{agent} {body}");
        let row = server
            .get(&As::client(), &format!("/files/{}", token.id()), &[])
            .await;
        assert_eq!(row.body["provider"], provider);
    }
}

// compat: file.parts
#[tokio::test]
async fn upload_in_parts_makes_whole_file() {
    let server = start().await;
    let first = vec![7; 4 * 1024 * 1024];
    for (parts, whole) in [
        (vec![&*first, b"the end"], [&*first, b"the end"].concat()),
        (vec![b"x"], b"x".to_vec()),
        (vec![], vec![]),
    ] {
        let token = ask(&server, C_SHARP, json!({"name": "a b.txt", "mime_type": null})).await;
        let upload = Upload::new(&server, &token);
        let id = upload.begin().await;
        let list = upload.bring(&id, &parts).await;
        assert_eq!((unfinished(&server), upload.read().await.0), (parts.len(), 404));
        let ended = upload.end(&id, &list).await;
        assert_eq!(
            (ended.status, ended.keys()),
            (200, vec!["hash", "key"]),
            "{ended:?}"
        );
        assert_eq!(ended.body["key"], token.body["key"]);
        assert_eq!(unfinished(&server), 0);
        assert!(upload.read().await == (200, whole));
        let done = json!({"token": token.body["token"], "result": true});
        assert_eq!(
            server.post(&As::client(), "/fileCallback", done).await.status,
            200
        );
    }
}

// compat: file.parts
#[tokio::test]
async fn upload_with_missing_parts_is_refused() {
    let server = start().await;
    let token = ask(&server, C_SHARP, json!({"name": "a.txt"})).await;
    let upload = Upload::new(&server, &token);
    let id = format!("/{}", token.id());
    let nothing = json!({"parts": []});
    assert_eq!(refused(&upload.end(&id, &nothing).await), 404);
    assert_eq!(
        refused(&upload.send(Method::PUT, &format!("{id}/1"), b"x".to_vec()).await),
        404
    );
    assert_eq!(upload.begin().await, id);
    let list = upload.bring(&id, &[b"one", b"two"]).await;
    let mut wrong = list.clone();
    wrong["parts"][1]["etag"] = json!("e2");
    let first = json!({"parts": [list["parts"][0]]});
    let swapped = json!({"parts": [list["parts"][1], list["parts"][0]]});
    for other in [wrong, first, swapped, nothing, json!({}), json!({"parts": 7})] {
        assert_eq!(refused(&upload.end(&id, &other).await), 400, "{other}");
    }
    // A part that arrives otherwise than it was sent; one of no such number; one of another upload, and of another file.
    let damaged = server
        .absolute(Method::PUT, &format!("{}{id}/3", upload.address))
        .header("Content-MD5", BASE64_STANDARD.encode(Md5::digest(b"three")));
    assert_eq!(refused(&answer(damaged.body("thre")).await), 406);
    let hexadecimal = server
        .absolute(Method::PUT, &format!("{}{id}/2", upload.address))
        .header("Content-MD5", "b8a9f715dbb64fd5c56e7783c6820a61");
    assert_eq!(answer(hexadecimal.body("two")).await.status, 200);
    for (path, status) in [("/0", 400), ("/x", 400), ("/10001", 400)] {
        let part = upload
            .send(Method::PUT, &format!("{id}{path}"), b"x".to_vec())
            .await;
        assert_eq!(refused(&part), status, "{path}");
    }
    assert_eq!(
        refused(&upload.send(Method::PUT, "/other/1", b"x".to_vec()).await),
        404
    );
    let other = ask(&server, C_SHARP, json!({"name": "a.txt"})).await;
    let others = Upload {
        address: upload.address.replace(
            token.body["token"].as_str().unwrap(),
            other.body["token"].as_str().unwrap(),
        ),
        ..Upload::new(&server, &other)
    };
    assert_eq!(refused(&others.send(Method::POST, "", Vec::new()).await), 403);
    let forged = Upload {
        address: upload.address.replace("/buckets/", "AAAA/buckets/"),
        ..Upload::new(&server, &token)
    };
    assert_eq!(refused(&forged.send(Method::POST, "", Vec::new()).await), 403);
    let listed = server.absolute(Method::GET, &upload.address);
    assert_eq!(refused(&answer(listed).await), 405);
    assert_eq!(unfinished(&server), 2);

    // Whatever came before, the parts make the file.
    assert_eq!(upload.end(&id, &list).await.status, 200);
    assert_eq!(upload.read().await, (200, b"onetwo".to_vec()));
    assert_eq!(refused(&upload.end(&id, &list).await), 404);
}

// compat: file.parts
#[tokio::test]
async fn upload_in_parts_is_bounded_and_expires() {
    let server = start_with(None, |config| config.file_bytes_max = 10).await;
    let token = ask(&server, C_SHARP, json!({"name": "a.txt"})).await;
    let upload = Upload::new(&server, &token);
    let id = upload.begin().await;
    upload.bring(&id, &[b"12345", b"6789"]).await;
    for (number, part, status) in [(3, "01", 413), (1, "1234567", 413), (3, "0", 200), (4, "", 200)] {
        let kept = upload
            .send(Method::PUT, &format!("{id}/{number}"), part.into())
            .await;
        assert_eq!(kept.status, status, "{kept:?}");
    }
    assert_eq!(unfinished(&server), 4);
    // Begun anew, it has none.
    assert_eq!(upload.begin().await, id);
    assert_eq!(unfinished(&server), 0);
    upload.bring(&id, &[b"12345"]).await;
    assert_eq!(unfinished(&server), 1);
    let failed = json!({"token": token.body["token"], "result": false});
    assert_eq!(
        server.post(&As::client(), "/fileCallback", failed).await.status,
        200
    );
    assert_eq!(unfinished(&server), 0);
    assert_eq!(refused(&upload.send(Method::POST, "", Vec::new()).await), 404);
}
