//! Pruning: the removal of marks of closed logs, so that documents stay small.
//!
//! One update removes the marks and raises the epoch. Every request still under way carries an older epoch and can no
//! longer take effect, which is what makes forgetting safe without clocks.

use std::collections::BTreeSet;

use crate::model::write::Write;
use crate::model::{Document, Filter, ObjectId, Update, Value};
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::mark::{self, Epoch, MarkKind, PAY_EPOCH, PAYLOGS};
use crate::payment::protocol::target::Target;

/// The number of marks beyond which a document is pruned.
pub const THRESHOLD: usize = 64;

/// Returns the logs that have left marks on the document.
///
/// # Errors
/// [`ProtocolError::Malformed`] where `paylogs` is no array.
pub fn logs(document: &Document) -> Result<BTreeSet<ObjectId>, ProtocolError> {
    Ok(mark::marks(document)?
        .iter()
        .filter_map(|held| MarkKind::parse(held.as_str()?))
        .map(|(_, log)| log)
        .collect())
}

/// The update that removes the marks of the `closed` logs and raises the epoch; `None` if there are none.
///
/// # Errors
/// [`ProtocolError::Malformed`]; [`ProtocolError::Moved`] where the epoch is negative.
pub fn prune(
    target: &Target,
    document: &Document,
    closed: &BTreeSet<ObjectId>,
) -> Result<Option<Write>, ProtocolError> {
    let epoch = Epoch::of(document, target)?;
    let forgotten: Vec<Value> = mark::marks(document)?
        .iter()
        .filter(|held| {
            held.as_str()
                .and_then(MarkKind::parse)
                .is_some_and(|(_, log)| closed.contains(&log))
        })
        .cloned()
        .collect();
    if forgotten.is_empty() {
        return Ok(None);
    }
    Ok(Some(target.update(
        Filter::all().and(epoch.precondition()),
        Update::new().remove(PAYLOGS, forgotten).increment(PAY_EPOCH, 1),
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::ClassName;
    use crate::model::write::Action;

    fn ids(names: &[&str]) -> BTreeSet<ObjectId> {
        names.iter().map(|name| ObjectId::parse(name).unwrap()).collect()
    }

    fn account(epoch: i64, marks: Value) -> Document {
        Document::from_iter([
            ("payEpoch".to_owned(), json!(epoch)),
            ("paylogs".to_owned(), marks),
        ])
    }

    #[test]
    fn pruning_removes_marks_of_closed_logs_and_raises_epoch() {
        let target = Target::new(&ClassName::user(), &ObjectId::parse("u").unwrap());
        let before = account(3, json!(["a", "b", "void:b", "c", "undo:c", "move:1", 7]));
        assert_eq!(logs(&before).unwrap(), ids(&["a", "b", "c"]));
        let write = prune(&target, &before, &ids(&["a", "b", "x"])).unwrap();
        let Some(Action::Update {
            precondition, update, ..
        }) = write.map(|write| write.action)
        else {
            panic!("nothing to prune")
        };
        // A document that was pruned meanwhile is left alone.
        assert_eq!(precondition.matches(&before), Ok(true));
        assert_eq!(precondition.matches(&account(4, json!([]))), Ok(false));
        let mut after = before;
        update.apply(&mut after).unwrap();
        assert_eq!(after, account(4, json!(["c", "undo:c", "move:1", 7])));
        assert_eq!(prune(&target, &after, &ids(&["a", "b"])), Ok(None));
        let moved = account(-4, json!(["a"]));
        assert_eq!(
            prune(&target, &moved, &ids(&["a"])),
            Err(ProtocolError::Moved("_User/u".into()))
        );
    }
}
