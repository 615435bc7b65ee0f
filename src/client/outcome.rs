//! Outcome of a request after its last attempt, as a read, a write, or the writes of a batch.

use crate::client::error::{is_busy, leaves_outcome_open};
use crate::client::response::{AttemptResult, BatchElement, batch_element};
use crate::client::{ClientError, Idempotent, Retry};
use crate::model::{CloudError, Document, ErrorCode, ObjectId, Value};
use crate::store::{Action, WriteOutcome, Written};

/// Outcome of a request after its last attempt.
#[derive(Debug)]
pub(super) struct SendOutcome {
    pub(super) result: AttemptResult,
    /// The reason why an earlier attempt of the same request may have taken effect.
    pub(super) doubt: Option<String>,
}

impl SendOutcome {
    /// Decodes the response to a read or a call. `decode` returns the reason if a body does not fit.
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
        Err(match self.result {
            AttemptResult::Success { body, .. } => match decode(body) {
                Ok(value) => return Ok(value),
                Err(reason) => undecodable(reason),
            },
            AttemptResult::Error(error) => {
                let retry = if in_doubt {
                    Retry::AfterRead
                } else if is_busy(&error) {
                    Retry::SameRequest
                } else if leaves_outcome_open(&error) {
                    unknown
                } else {
                    Retry::Never
                };
                ClientError::Rejected { error, retry }
            }
            AttemptResult::Undecodable(reason) => undecodable(reason),
            AttemptResult::Lost(reason) => ClientError::NoAnswer {
                reason,
                retry: unknown,
            },
            AttemptResult::NotSent(reason) if in_doubt => ClientError::NoAnswer {
                reason,
                retry: Retry::AfterRead,
            },
            AttemptResult::NotSent(reason) => ClientError::NotSent(reason),
            AttemptResult::Impossible(error) => ClientError::Invalid(error.message),
        })
    }

    /// The outcome of a single write.
    pub(super) fn written(self, action: &Action) -> WriteOutcome {
        let outcome = match self.result {
            AttemptResult::Success { status, body } => match action {
                Action::Create { .. } if status != 201 => {
                    WriteOutcome::Unknown(format!("HTTP {status} instead of 201 for a create"))
                }
                _ => applied(action, body),
            },
            AttemptResult::Error(error) => refused(error),
            AttemptResult::Undecodable(reason) | AttemptResult::Lost(reason) => WriteOutcome::Unknown(reason),
            AttemptResult::NotSent(reason) => not_sent(&reason),
            AttemptResult::Impossible(error) => WriteOutcome::Rejected(error),
        };
        match (outcome, self.doubt) {
            // Only the success of a repetition tells something about the attempts before it. A 305 may be the trace of
            // an attempt that took effect, and a refusal refuses the repetition alone.
            (WriteOutcome::NotMatched | WriteOutcome::Rejected(_), Some(reason)) => {
                WriteOutcome::Unknown(format!("an earlier attempt may have taken effect: {reason}"))
            }
            (outcome, _) => outcome,
        }
    }

    /// The outcome of each write of a batch.
    ///
    /// A refusal of the batch as a whole (401, 413, …) comes before any element runs. A 429 gives no such certainty,
    /// since each element counts as a call of its own.
    pub(super) fn written_batch<'a>(
        self,
        actions: impl ExactSizeIterator<Item = &'a Action>,
    ) -> Vec<WriteOutcome> {
        let whole = match self.result {
            AttemptResult::Success {
                status: 200,
                body: Value::Array(elements),
            } if elements.len() == actions.len() => {
                return actions
                    .zip(elements)
                    .map(|(action, element)| match batch_element(element) {
                        BatchElement::Success(body) => applied(action, body),
                        BatchElement::Error(error) => refused(error),
                        BatchElement::Malformed(reason) => WriteOutcome::Unknown(reason),
                    })
                    .collect();
            }
            AttemptResult::Success { status, .. } => WriteOutcome::Unknown(format!(
                "HTTP {status} without one answer for each element of the batch"
            )),
            AttemptResult::Error(error) if is_busy(&error) || error.code == ErrorCode::NO_EFFECT => {
                WriteOutcome::Unknown(format!("the batch as a whole answered: {error}"))
            }
            AttemptResult::Error(error) => refused(error),
            AttemptResult::Undecodable(reason) | AttemptResult::Lost(reason) => WriteOutcome::Unknown(reason),
            AttemptResult::NotSent(reason) => not_sent(&reason),
            AttemptResult::Impossible(error) => WriteOutcome::Rejected(error),
        };
        actions.map(|_| whole.clone()).collect()
    }
}

/// A write whose connection was never established: it had no effect and will have none.
fn not_sent(reason: &str) -> WriteOutcome {
    WriteOutcome::Rejected(CloudError::new(
        ErrorCode::UNAVAILABLE,
        format!("The server was not reached, nothing was sent: {reason}"),
    ))
}

/// The outcome of a write that the server returned an error for.
fn refused(error: CloudError) -> WriteOutcome {
    if leaves_outcome_open(&error) {
        WriteOutcome::Unknown(format!("HTTP {}: {error}", error.status))
    } else if error.code == ErrorCode::NO_EFFECT {
        WriteOutcome::NotMatched
    } else {
        WriteOutcome::Rejected(error)
    }
}

/// The outcome of a success: applied if the body fits the write, otherwise unknown.
fn applied(action: &Action, body: Value) -> WriteOutcome {
    let Value::Object(fields) = body else {
        return WriteOutcome::Unknown("a success whose body is not an object".to_owned());
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
            // A create omits updatedAt: it equals createdAt.
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

/// Decodes one object; `None` for `{}`, LeanCloud's response for an absent object.
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
