//! Outcomes of writes and reads for each response.

use paylog::client::{ReadOptions, Retry, WriteOptions};
use paylog::model::{Filter, Query, Update};
use paylog::store::{Write, WriteOutcome};
use serde_json::{Value, json};

use super::*;

/// An outcome without its texts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Applied,
    NotMatched,
    Rejected(i32),
    Unknown,
}
use Kind::{Applied, NotMatched, Rejected, Unknown};

fn kind(outcome: &WriteOutcome) -> Kind {
    match outcome {
        WriteOutcome::Applied(_) => Applied,
        WriteOutcome::NotMatched => NotMatched,
        WriteOutcome::Rejected(error) => Rejected(error.code.0),
        WriteOutcome::Unknown(_) => Unknown,
    }
}

/// HTTP status, code, outcome of a single write, outcome inside a batch.
#[rustfmt::skip]
const ERRORS: [(u16, i32, Kind, Kind); 28] = [
    (400, 1,    Rejected(1),    Rejected(1)),
    (404, 101,  Rejected(101),  Rejected(101)),
    (400, 111,  Rejected(111),  Rejected(111)),
    (400, 117,  Rejected(117),  Rejected(117)),
    (400, 124,  Unknown,        Unknown),
    (503, 124,  Unknown,        Unknown),
    (400, 137,  Rejected(137),  Rejected(137)),
    (500, 137,  Unknown,        Rejected(137)),
    (400, 141,  Rejected(141),  Rejected(141)),
    (400, 142,  Rejected(142),  Rejected(142)),
    (400, 301,  Unknown,        Unknown),
    (400, 302,  Rejected(302),  Rejected(302)),
    (400, 303,  Unknown,        Unknown),
    (400, 304,  Unknown,        Unknown),
    (400, 305,  NotMatched,     NotMatched),
    (500, 305,  Unknown,        NotMatched),
    (401, 401,  Rejected(401),  Rejected(401)),
    (403, 403,  Rejected(403),  Rejected(403)),
    (413, 413,  Rejected(413),  Rejected(413)),
    (429, 429,  Rejected(429),  Rejected(429)),
    (400, 504,  Unknown,        Unknown),
    (400, 511,  Unknown,        Unknown),
    (400, 524,  Unknown,        Unknown),
    (524, 524,  Unknown,        Unknown),
    (500, 1,    Unknown,        Rejected(1)),
    (502, 502,  Unknown,        Unknown),
    (503, 503,  Unknown,        Unknown),
    (529, 529,  Unknown,        Unknown),
];

#[tokio::test]
async fn error_gives_outcome_by_status_and_code() {
    let class = class();
    for (status, code, single, in_batch) in ERRORS {
        let server = answering([error(status, code)]).await;
        let client = client(&server.uri());
        let outcome = client
            .objects(&class)
            .update(&id(), &Update::new().set("a", 1), WriteOptions::new())
            .await;
        assert_eq!(kind(&outcome), single, "HTTP {status} code {code}: {outcome:?}");

        let server = answering([answer(
            200,
            json!([{ "error": { "code": code, "error": "a reason" } }, { "success": {} }]),
        )])
        .await;
        let writes = vec![Write::delete(&class, &id(), Filter::all()); 2];
        let outcomes = super::client(&server.uri()).write_all(&writes, &[]).await;
        assert_eq!(
            kind(&outcomes[0]),
            in_batch,
            "code {code} in a batch: {outcomes:?}"
        );
        assert_eq!(kind(&outcomes[1]), Applied);
    }
}

#[tokio::test]
async fn success_without_fitting_body_is_unknown() {
    let other = "000000000000000000000000";
    #[rustfmt::skip]
    let table = [
        // write, status, body, outcome
        ("create", 201, json!({ "objectId": ID, "createdAt": TIME }), Applied),
        ("create", 200, json!({ "objectId": ID, "createdAt": TIME }), Unknown),
        ("create", 201, json!({ "objectId": ID }), Unknown),
        ("create", 201, json!({ "objectId": "", "createdAt": TIME }), Unknown),
        ("create", 201, json!({ "createdAt": TIME }), Unknown),
        ("create", 201, json!({ "objectId": ID, "createdAt": "yesterday" }), Unknown),
        ("create", 201, json!([]), Unknown),
        ("update", 200, json!({ "objectId": ID, "updatedAt": TIME }), Applied),
        ("update", 200, json!({ "updatedAt": TIME }), Applied),
        ("update", 200, json!({ "objectId": other, "updatedAt": TIME }), Unknown),
        ("update", 200, json!({ "objectId": 7, "updatedAt": TIME }), Unknown),
        ("update", 200, json!({ "objectId": ID }), Unknown),
        ("update", 200, json!({}), Unknown),
        ("update", 200, json!({ "code": 305, "error": "No effect" }), Unknown),
        ("update", 200, json!(null), Unknown),
        ("delete", 200, json!({}), Applied),
        ("delete", 200, json!({ "code": 305, "error": "No effect" }), Unknown),
        ("delete", 200, json!(null), Unknown),
        ("delete", 200, json!("ok"), Unknown),
    ];
    let class = class();
    for (write, status, body, expected) in table {
        let server = answering([answer(status, body.clone())]).await;
        let client = client(&server.uri());
        let objects = client.objects(&class);
        let outcome = match write {
            "create" => objects.create(&Update::new(), WriteOptions::new()).await,
            "update" => objects.update(&id(), &Update::new(), WriteOptions::new()).await,
            _ => objects.delete(&id(), WriteOptions::new()).await,
        };
        assert_eq!(
            kind(&outcome),
            expected,
            "{write} answered {status} {body}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn write_with_response_not_json_is_unknown() {
    let class = class();
    for status in [200, 201, 204, 301, 307, 400, 401, 404, 413, 429, 500, 502, 504] {
        for text in [
            "",
            "<html>oops</html>",
            "{\"code\":",
            "{\"error\":\"no code\"}",
            "{\"code\":1.5}",
        ] {
            let reply = ResponseTemplate::new(status)
                .set_body_string(text)
                .insert_header("location", "/elsewhere");
            let server = answering([reply]).await;
            let outcome = client(&server.uri())
                .objects(&class)
                .update(&id(), &Update::new().increment("a", 1), WriteOptions::new())
                .await;
            assert_eq!(kind(&outcome), Unknown, "{status} {text:?}: {outcome:?}");
            assert_eq!(received(&server).await.len(), 1, "{status} {text:?}");
        }
    }
}

#[tokio::test]
async fn batch_refused_as_a_whole_gives_one_outcome_for_all() {
    let element = json!({ "success": { "objectId": ID, "updatedAt": TIME } });
    let table = [
        (
            answer(200, json!([element.clone(), element.clone()])),
            [Applied, Applied],
        ),
        (
            answer(201, json!([element.clone(), element.clone()])),
            [Unknown, Unknown],
        ),
        (answer(200, json!([element.clone()])), [Unknown, Unknown]),
        (
            answer(200, json!([element.clone(), element.clone(), element.clone()])),
            [Unknown, Unknown],
        ),
        (answer(200, json!({ "0": element.clone() })), [Unknown, Unknown]),
        (answer(200, json!([element.clone(), {}])), [Applied, Unknown]),
        (answer(200, json!([null, element.clone()])), [Unknown, Applied]),
        (
            answer(200, json!([element.clone(), { "success": null }])),
            [Applied, Unknown],
        ),
        (
            answer(200, json!([{ "success": {} }, element.clone()])),
            [Unknown, Applied],
        ),
        (
            answer(
                200,
                json!([{ "success": {}, "error": { "code": 1 } }, element.clone()]),
            ),
            [Unknown, Applied],
        ),
        (
            answer(200, json!([{ "error": "no code" }, element])),
            [Unknown, Applied],
        ),
        (error(401, 401), [Rejected(401), Rejected(401)]),
        (error(429, 429), [Unknown, Unknown]),
        (error(400, 305), [Unknown, Unknown]),
        (error(503, 503), [Unknown, Unknown]),
        (error(400, 124), [Unknown, Unknown]),
    ];
    let class = class();
    for (reply, expected) in table {
        let server = answering([reply.clone()]).await;
        let writes = vec![Write::update(&class, &id(), Filter::all(), Update::new().increment("a", 1)); 2];
        let outcomes = client(&server.uri()).write_all(&writes, &[]).await;
        assert_eq!([kind(&outcomes[0]), kind(&outcomes[1])], expected, "{reply:?}");
        assert_eq!(received(&server).await.len(), 1);
    }
}

#[tokio::test]
async fn read_error_tells_if_retry_helps() {
    let html = |status| ResponseTemplate::new(status).set_body_string("<html>");
    let table = [
        (error(403, 403), Some(403), Retry::Never, 1),
        (error(401, 401), Some(401), Retry::Never, 1),
        (error(404, 101), Some(101), Retry::Never, 1),
        (error(429, 429), Some(429), Retry::SameRequest, 3),
        (error(400, 124), Some(124), Retry::SameRequest, 3),
        (error(503, 503), Some(503), Retry::SameRequest, 3),
        (html(502), None, Retry::SameRequest, 3),
        (html(429), None, Retry::SameRequest, 3),
        (html(200), None, Retry::Never, 1),
        (html(404), None, Retry::Never, 1),
        (answer(200, json!({ "rows": [] })), None, Retry::Never, 1),
        (answer(200, json!({ "results": [7] })), None, Retry::Never, 1),
        (answer(200, json!({ "results": {} })), None, Retry::Never, 1),
    ];
    for (reply, code, retry, requests) in table {
        let server = answering([reply.clone()]).await;
        let error = client(&server.uri())
            .objects(&class())
            .query(&Query::default())
            .await
            .unwrap_err();
        assert_eq!(error.code().map(|code| code.0), code, "{reply:?}");
        assert_eq!(error.retry(), retry, "{reply:?}: {error}");
        assert_eq!(received(&server).await.len(), requests, "{reply:?}");
    }
}

#[tokio::test]
async fn endless_response_is_cut_off() {
    let server = answering([ResponseTemplate::new(200).set_body_bytes(vec![b' '; 33 * 1024 * 1024])]).await;
    let client = builder(&server.uri())
        .retry_policy(paylog::client::RetryPolicy::never())
        .build()
        .unwrap();
    let error = client
        .objects(&class())
        .get(&id(), &ReadOptions::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
}

#[tokio::test]
async fn error_code_may_be_string_and_text_may_be_missing() {
    for body in [
        json!({ "code": "305" }),
        json!({ "code": 305, "error": Value::Null }),
    ] {
        let server = answering([answer(400, body)]).await;
        let outcome = client(&server.uri())
            .objects(&class())
            .delete(&id(), WriteOptions::new())
            .await;
        assert_eq!(kind(&outcome), NotMatched);
    }
}
