//! What an answer means: for whoever reads, for whoever writes, and for the retry policy.

use std::time::Duration;

use http::{HeaderMap, header};

use crate::client::{Answer, ClientError, Failure, Idempotent, Retry};
use crate::model::{CloudError, Document, ErrorCode, ObjectId, Timestamp, Value};
use crate::store::{Action, WriteOutcome, Written};

/// What came of a request after its last attempt.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) reply: Reply,
    /// Why an earlier attempt of the same request may have taken effect.
    pub(super) doubt: Option<String>,
}

/// What came of one attempt.
#[derive(Debug)]
pub(super) enum Reply {
    /// 2xx with JSON.
    Success { status: u16, body: Value },
    /// An error of LeanCloud's form, with its HTTP status.
    Error(CloudError),
    /// Complete, but neither.
    Undecodable(String),
    /// Sent perhaps, but nobody said what became of it.
    Lost(String),
    /// Certainly not sent.
    NotSent(String),
    /// Cannot be sent at all.
    Impossible(CloudError),
}

/// Whether an error leaves open what the request has done: any 5xx, as HTTP status or as the code of a layer that
/// failed further behind (in a batch there is only the code), and the codes of failed storage.
fn leaves_open(error: &CloudError) -> bool {
    error.status >= 500 || error.code.leaves_outcome_unknown() || (500..600).contains(&error.code.0)
}

fn is_busy(error: &CloudError) -> bool {
    error.status == 429 || error.code == ErrorCode::TOO_MANY_REQUESTS
}

/// Whether the same request may be answered otherwise later.
pub(super) fn may_pass(error: &CloudError) -> bool {
    is_busy(error) || leaves_open(error)
}

/// Reads an answer. `None`: it is a success.
pub(super) fn judge(answer: &Answer, now: Timestamp) -> (Reply, Option<Failure>) {
    let status = answer.status;
    let body = serde_json::from_slice::<Value>(&answer.body);
    let retry_after = || retry_after(&answer.headers, now);
    if (200..300).contains(&status) {
        return match body {
            Ok(body) => (Reply::Success { status, body }, None),
            Err(error) => {
                let reason = format!("HTTP {status} with a body that is no JSON ({error})");
                (Reply::Undecodable(reason), Some(Failure::Undecodable))
            }
        };
    }
    let error = body.ok().as_ref().and_then(parse_error).filter(|_| status >= 400);
    let Some(error) = error else {
        let reason = format!("HTTP {status} with a body that is no error of LeanCloud");
        let retry_after = retry_after();
        // Proxies answer 429 and 5xx in words of their own: the same request may be answered later.
        return match status {
            429 => (Reply::Lost(reason), Some(Failure::Busy { retry_after })),
            500.. => (Reply::Lost(reason), Some(Failure::ServerFailed { retry_after })),
            _ => (Reply::Undecodable(reason), Some(Failure::Undecodable)),
        };
    };
    let error = error.with_status(status);
    let failure = if is_busy(&error) {
        Failure::Busy {
            retry_after: retry_after(),
        }
    } else if leaves_open(&error) {
        Failure::ServerFailed {
            retry_after: retry_after(),
        }
    } else {
        Failure::Refused
    };
    (Reply::Error(error), Some(failure))
}

/// `{"code", "error"}`; the code may be text (one engine SDK writes it so), the text may be missing.
fn parse_error(body: &Value) -> Option<CloudError> {
    let code = match body.get("code")? {
        Value::Number(number) => i32::try_from(number.as_i64()?).ok()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    let message = body.get("error").and_then(Value::as_str).unwrap_or_default();
    Some(CloudError::new(ErrorCode(code), message))
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
    let millis = date.saturating_sub(now.as_millis());
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

impl Reply {
    /// Why it is no success, for the log.
    pub(super) fn reason(&self) -> Option<String> {
        match self {
            Self::Success { .. } => None,
            Self::Error(error) | Self::Impossible(error) => Some(error.to_string()),
            Self::Undecodable(reason) | Self::Lost(reason) | Self::NotSent(reason) => Some(reason.clone()),
        }
    }

    /// Why the request may have taken effect although this is no success; `None` where it certainly has not.
    pub(super) fn open_effect(&self) -> Option<String> {
        match self {
            Self::Error(error) if leaves_open(error) => Some(format!("HTTP {}: {error}", error.status)),
            Self::Undecodable(reason) | Self::Lost(reason) => Some(reason.clone()),
            Self::Success { .. } | Self::Error(_) | Self::NotSent(_) | Self::Impossible(_) => None,
        }
    }
}

impl Outcome {
    /// The answer to a read or a call, decoded. `decode` says `Err` what is wrong with a body.
    pub(super) fn read<T>(
        self,
        idempotent: Idempotent,
        decode: impl FnOnce(Value) -> Result<T, String>,
    ) -> Result<T, ClientError> {
        let harmless = idempotent == Idempotent::Yes;
        let unknown = if harmless {
            Retry::SameRequest
        } else {
            Retry::AfterRead
        };
        let in_doubt = self.doubt.is_some() && !harmless;
        let undecodable = |reason: String| ClientError::NoAnswer {
            reason,
            retry: if harmless { Retry::Never } else { Retry::AfterRead },
        };
        Err(match self.reply {
            Reply::Success { body, .. } => match decode(body) {
                Ok(value) => return Ok(value),
                Err(reason) => undecodable(reason),
            },
            Reply::Error(error) => {
                let retry = if in_doubt {
                    Retry::AfterRead
                } else if is_busy(&error) {
                    Retry::SameRequest
                } else if leaves_open(&error) {
                    unknown
                } else {
                    Retry::Never
                };
                ClientError::Rejected { error, retry }
            }
            Reply::Undecodable(reason) => undecodable(reason),
            Reply::Lost(reason) => ClientError::NoAnswer {
                reason,
                retry: unknown,
            },
            Reply::NotSent(reason) if in_doubt => ClientError::NoAnswer {
                reason,
                retry: Retry::AfterRead,
            },
            Reply::NotSent(reason) => ClientError::NotSent(reason),
            Reply::Impossible(error) => ClientError::Invalid(error.message),
        })
    }

    /// What became of a single write.
    pub(super) fn written(self, action: &Action) -> WriteOutcome {
        let outcome = match self.reply {
            Reply::Success { status, body } => match action {
                Action::Create { .. } if status != 201 => {
                    WriteOutcome::Unknown(format!("HTTP {status} where a create answers 201"))
                }
                _ => applied(action, body),
            },
            Reply::Error(error) => refused(error),
            Reply::Undecodable(reason) | Reply::Lost(reason) => WriteOutcome::Unknown(reason),
            Reply::NotSent(reason) => not_sent(&reason),
            Reply::Impossible(error) => WriteOutcome::Rejected(error),
        };
        match (outcome, self.doubt) {
            // Only the success of a repetition says something about the attempts before it. A 305 may be the trace of
            // an attempt that took effect, and a refusal of the repetition refuses the repetition alone.
            (WriteOutcome::NotMatched | WriteOutcome::Rejected(_), Some(reason)) => {
                WriteOutcome::Unknown(format!("an earlier attempt may have taken effect: {reason}"))
            }
            (outcome, _) => outcome,
        }
    }

    /// What became of each write of a batch.
    ///
    /// A refusal of the batch as a whole (401, 413, …) comes before any element runs. 429 does not say so for
    /// a batch, whose elements count as calls of their own.
    pub(super) fn written_batch<'a>(
        self,
        actions: impl ExactSizeIterator<Item = &'a Action>,
    ) -> Vec<WriteOutcome> {
        let whole = match self.reply {
            Reply::Success {
                status: 200,
                body: Value::Array(elements),
            } if elements.len() == actions.len() => {
                return actions
                    .zip(elements)
                    .map(|(action, element)| written_element(action, element))
                    .collect();
            }
            Reply::Success { status, .. } => WriteOutcome::Unknown(format!(
                "HTTP {status} without one answer for each element of the batch"
            )),
            Reply::Error(error) if is_busy(&error) || error.code == ErrorCode::NO_EFFECT => {
                WriteOutcome::Unknown(format!("the batch as a whole answered: {error}"))
            }
            Reply::Error(error) => refused(error),
            Reply::Undecodable(reason) | Reply::Lost(reason) => WriteOutcome::Unknown(reason),
            Reply::NotSent(reason) => not_sent(&reason),
            Reply::Impossible(error) => WriteOutcome::Rejected(error),
        };
        actions.map(|_| whole.clone()).collect()
    }
}

/// A write whose connection never stood: it had no effect and will have none.
fn not_sent(reason: &str) -> WriteOutcome {
    WriteOutcome::Rejected(CloudError::new(
        ErrorCode::UNAVAILABLE,
        format!("The server was not reached, nothing was sent: {reason}"),
    ))
}

/// What an error answer says about a write.
fn refused(error: CloudError) -> WriteOutcome {
    if leaves_open(&error) {
        WriteOutcome::Unknown(format!("HTTP {}: {error}", error.status))
    } else if error.code == ErrorCode::NO_EFFECT {
        WriteOutcome::NotMatched
    } else {
        WriteOutcome::Rejected(error)
    }
}

/// `{"success": …}` or `{"error": {"code", "error"}}`.
pub(super) fn element(element: Value) -> Result<Result<Value, CloudError>, String> {
    let Value::Object(mut element) = element else {
        return Err("an element of the batch's answer is no object".to_owned());
    };
    match (element.shift_remove("success"), element.shift_remove("error")) {
        (Some(body), None) => Ok(Ok(body)),
        (None, Some(error)) => match parse_error(&error) {
            Some(error) => Ok(Err(error)),
            None => Err("an element of the batch's answer holds an error without a code".to_owned()),
        },
        _ => Err("an element of the batch's answer is neither a success nor an error".to_owned()),
    }
}

fn written_element(action: &Action, value: Value) -> WriteOutcome {
    match element(value) {
        Ok(Ok(body)) => applied(action, body),
        Ok(Err(error)) => refused(error),
        Err(reason) => WriteOutcome::Unknown(reason),
    }
}

/// The body of a success: what this write answers, or nobody knows.
fn applied(action: &Action, body: Value) -> WriteOutcome {
    let Value::Object(fields) = body else {
        return WriteOutcome::Unknown("a success whose body is no object".to_owned());
    };
    let fields = Document(fields);
    let written = Written {
        object_id: fields.object_id(),
        created_at: fields.created_at(),
        updated_at: fields.updated_at(),
        fields,
    };
    let missing = |what: &str| WriteOutcome::Unknown(format!("a success without {what}"));
    match action {
        Action::Create { .. } => match (&written.object_id, written.created_at) {
            (None, _) => missing("objectId"),
            (_, None) => missing("createdAt"),
            // What a create leaves unsaid: it was updated when it was created.
            (Some(_), Some(created)) => WriteOutcome::Applied(Written {
                updated_at: written.updated_at.or(Some(created)),
                ..written
            }),
        },
        Action::Update { id, .. } => match (&written.object_id, written.updated_at) {
            (_, None) => missing("updatedAt"),
            (Some(other), _) if other != id => missing("the objectId that was written"),
            (None, _) if written.fields.contains_key("objectId") => missing("a legal objectId"),
            _ => WriteOutcome::Applied(Written {
                object_id: Some(id.clone()),
                ..written
            }),
        },
        Action::Delete { .. } if !written.fields.is_empty() => missing("the empty body of a delete"),
        Action::Delete { .. } => WriteOutcome::Applied(Written::default()),
    }
}

/// One object; `None` for `{}`, which is how LeanCloud says that there is none.
pub(super) fn one_object(body: Value, id: Option<&ObjectId>) -> Result<Option<Document>, String> {
    match body {
        Value::Object(fields) if fields.is_empty() => Ok(None),
        Value::Object(fields) => {
            let document = Document(fields);
            if id.is_some() && document.object_id().as_ref() != id {
                return Err("the answer holds another object".to_owned());
            }
            Ok(Some(document))
        }
        _ => Err("the answer holds no object".to_owned()),
    }
}
