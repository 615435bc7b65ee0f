//! Logs: the record of one payment, from the intent to its end.

pub mod fields;
mod state;

use crate::model::{Document, ObjectId, Timestamp, Value};
use crate::payment::protocol::error::{ProtocolError, Refusal};
use crate::payment::protocol::intent::Intent;
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::names::SchemaNames;

pub use state::{LogState, Verdict};

/// A stored log, after its check.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Log {
    /// The id, which is also the log's mark.
    pub id: ObjectId,
    /// The state.
    pub state: LogState,
    /// The intent.
    pub intent: Intent,
    /// The outcome, once it is decided.
    pub verdict: Option<Verdict>,
    /// The reason of a failure. In an undecided log that an operator cancels: the reason with which it will fail.
    pub refusal: Option<Refusal>,
    /// The gateway's number of the money that has arrived.
    pub trade_no: Option<String>,
    /// The number of times that recovery has taken the log up.
    pub claims: i64,
    /// The end of a worker's lease. It saves work; no guarantee rests on it.
    pub claimed_until: Option<Timestamp>,
    /// The reason for which it waits for an operator.
    pub stuck: Option<String>,
    /// The time of its creation.
    pub created_at: Option<Timestamp>,
}

impl Log {
    /// The log that a successful create of `intent` made.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`] where the store answered no id.
    pub fn created(intent: Intent, state: LogState, answer: &Document) -> Result<Self, ProtocolError> {
        Ok(Self {
            id: answer
                .object_id()
                .ok_or_else(|| ProtocolError::malformed("objectId", "the id of the log just created"))?,
            state,
            intent,
            verdict: verdict_of(state),
            refusal: None,
            trade_no: None,
            claims: 0,
            claimed_until: None,
            stuck: None,
            created_at: answer.created_at(),
        })
    }

    /// Reads and checks a stored log. No value is trusted, however impossible it looks.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`]; [`ProtocolError::Moved`] where its state is fenced.
    pub fn from_document(document: &Document, names: &SchemaNames) -> Result<Self, ProtocolError> {
        let state = document
            .integer(fields::STATE)
            .ok_or_else(|| ProtocolError::malformed(fields::STATE, "an integer from 0 to 5"))
            .and_then(LogState::try_from)?;
        let verdict = match document.text(fields::OUTCOME) {
            None => None,
            Some("succeeded") => Some(Verdict::Succeeded),
            Some("failed") => Some(Verdict::Failed),
            Some(_) => return Err(ProtocolError::malformed(fields::OUTCOME, "succeeded or failed")),
        };
        let consistent = match state {
            LogState::Created | LogState::Ordered | LogState::Funded => verdict.is_none(),
            LogState::Applied | LogState::Settled => verdict == Some(Verdict::Succeeded),
            LogState::Closed => verdict.is_some(),
        };
        if !consistent {
            return Err(ProtocolError::malformed(fields::OUTCOME, "what the state says"));
        }
        Ok(Self {
            id: document
                .object_id()
                .ok_or_else(|| ProtocolError::malformed("objectId", "the id of the log"))?,
            state,
            intent: Intent::from_document(document, names)?,
            verdict,
            refusal: match verdict {
                Some(Verdict::Succeeded) => None,
                Some(Verdict::Failed) => Some(Refusal::from_reason(
                    document.text(fields::REASON).unwrap_or_default(),
                )),
                None => document.text(fields::CANCEL).map(Refusal::from_reason),
            },
            trade_no: document.text(fields::TRADE_NO).map(ToOwned::to_owned),
            claims: document.integer(fields::CLAIMS).unwrap_or(0),
            claimed_until: date_of(document.get(fields::CLAIMED_UNTIL)),
            stuck: document.text(fields::STUCK).map(ToOwned::to_owned),
            created_at: document.created_at(),
        })
    }

    /// Adopts a state that a write has returned, and the outcome that it implies.
    pub fn reached(&mut self, state: LogState) {
        self.state = state;
        if self.verdict.is_none() {
            self.verdict = verdict_of(state);
        }
    }

    /// Returns true if the payment is decided and has failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.verdict == Some(Verdict::Failed)
    }

    /// Returns true for a recharge that waits for its gateway.
    #[must_use]
    pub fn waits_for_gateway(&self) -> bool {
        self.intent.kind == Kind::Recharge && self.state <= LogState::Ordered
    }

    /// Returns true for money that a gateway has confirmed and that is not credited yet. It is kept, whatever happens
    /// to its credit.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.intent.kind == Kind::Recharge && self.state == LogState::Funded && self.trade_no.is_some()
    }
}

/// Reads the time of a `Date`.
fn date_of(value: Option<&Value>) -> Option<Timestamp> {
    Timestamp::parse(value?.get("iso")?.as_str()?).ok()
}

fn verdict_of(state: LogState) -> Option<Verdict> {
    match state {
        LogState::Created | LogState::Ordered | LogState::Funded | LogState::Closed => None,
        LogState::Applied | LogState::Settled => Some(Verdict::Succeeded),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::payment::protocol::intent::tests::{id, intent, object};

    fn stored(fields: Value) -> Document {
        let names = SchemaNames::default();
        let mut document = Document::from_iter([("objectId".to_owned(), json!("G"))]);
        let update = intent(Kind::Recharge, None).to_update(&names, LogState::Ordered);
        update.apply(&mut document).unwrap();
        document.0.extend(object(fields));
        document
    }

    fn read(fields: Value) -> Log {
        Log::from_document(&stored(fields), &SchemaNames::default()).unwrap()
    }

    #[test]
    fn stored_log_is_read_and_inconsistent_one_refused() {
        let until = Timestamp::from_millis(1_000_000_000_000);
        let log = read(json!({
            "claims": 3,
            "claimedUntil": until.to_date(),
            "stuck": "why",
            "tradeNo": "T",
            "createdAt": until.to_string(),
        }));
        assert_eq!((log.id.as_str(), log.state), ("G", LogState::Ordered));
        assert_eq!(log.intent, intent(Kind::Recharge, None));
        assert_eq!((log.claims, log.claimed_until), (3, Some(until)));
        assert_eq!(
            (log.stuck.as_deref(), log.trade_no.as_deref()),
            (Some("why"), Some("T"))
        );
        assert_eq!(log.created_at, Some(until));
        let bare = read(json!({}));
        assert_eq!(
            (bare.claims, bare.claimed_until, bare.created_at),
            (0, None, None)
        );
        let names = SchemaNames::default();
        for (state, outcome) in [
            (json!(1), json!("succeeded")),
            (json!(2), json!("failed")),
            (json!(3), json!("failed")),
            (json!(4), Value::Null),
            (json!(5), Value::Null),
            (json!(5), json!("perhaps")),
        ] {
            let document = stored(json!({"state": state, "outcome": outcome}));
            let read = Log::from_document(&document, &names);
            assert!(matches!(read, Err(ProtocolError::Malformed { .. })), "{read:?}");
        }
        for state in 10..=15 {
            let fenced = Log::from_document(&stored(json!({"state": state})), &names);
            assert_eq!(fenced, Err(ProtocolError::Moved("the log".into())));
            assert_eq!(LogState::without_fence(state), state - 10);
            assert_eq!(LogState::without_fence(state - 10), state - 10);
        }
    }

    #[test]
    fn recharge_has_arrived_in_state_2_with_trade_no() {
        for (fields, waits, has_arrived) in [
            (json!({"state": 0}), true, false),
            (json!({"state": 1}), true, false),
            (json!({"state": 1, "tradeNo": "T"}), true, false),
            (json!({"state": 2}), false, false),
            (json!({"state": 2, "tradeNo": "T"}), false, true),
            (
                json!({"state": 2, "tradeNo": "T", "kind": "transfer"}),
                false,
                false,
            ),
            (json!({"state": 1, "kind": "transfer"}), false, false),
            (
                json!({"state": 3, "outcome": "succeeded", "tradeNo": "T"}),
                false,
                false,
            ),
        ] {
            let log = read(fields);
            assert_eq!(log.waits_for_gateway(), waits, "{log:?}");
            assert_eq!(log.has_arrived(), has_arrived, "{log:?}");
        }
    }

    #[test]
    fn intent_round_trips_and_malformed_one_is_refused() {
        let names = SchemaNames::default();
        let whole = Intent {
            number: Some("N".into()),
            order: Some(id("o")),
            ..intent(Kind::Purchase, Some("k"))
        };
        let bare = Intent {
            amount: None,
            params: Map::new(),
            ..intent(Kind::Cancel, None)
        };
        for intent in [whole, bare] {
            let mut document = Document::from_iter([("objectId".to_owned(), json!("G"))]);
            let update = intent.to_update(&names, LogState::Funded);
            update.apply(&mut document).unwrap();
            let log = Log::from_document(&document, &names).unwrap();
            assert_eq!((log.state, &log.intent), (LogState::Funded, &intent));
            // Whose it is may read it, and nobody writes it.
            assert_eq!(document.get("ACL"), Some(&json!({"u": {"read": true}})));
        }
        for (field, value) in [
            ("kind", json!("gift")),
            ("key", json!(7)),
            ("user", json!("u")),
            ("user", names.order_pointer(&id("u"))),
            ("order", names.user_pointer(&id("o"))),
            ("amount", json!(0)),
            ("params", json!([])),
            ("legs", json!(null)),
            ("state", json!("1")),
        ] {
            let read = Log::from_document(&stored(json!({ (field): value })), &names);
            assert!(
                matches!(&read, Err(ProtocolError::Malformed { field: found, .. }) if found == field),
                "{field}: {read:?}"
            );
        }
    }
}
