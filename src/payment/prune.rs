//! Pruning: forgetting the marks of closed logs, so that documents stay small.
//!
//! One update removes the marks and raises the epoch. Every request still under way carries an older epoch and can no
//! longer take effect, which is what makes forgetting safe without clocks.

use std::collections::BTreeSet;

use crate::model::{Document, Filter, ObjectId, Update, Value};
use crate::payment::ProtocolError;
use crate::payment::effect::Write;
use crate::payment::leg::Target;
use crate::payment::mark::{self, Epoch, MarkKind, PAY_EPOCH, PAYLOGS};

/// Marks beyond which a document is pruned.
pub const THRESHOLD: usize = 64;

/// The logs that left marks on the document.
///
/// # Errors
/// [`ProtocolError::Malformed`] where `paylogs` is no array.
pub fn logs(document: &Document) -> Result<BTreeSet<ObjectId>, ProtocolError> {
    Ok(mark::list(document)?
        .iter()
        .filter_map(|held| MarkKind::parse(held.as_str()?))
        .map(|(_, log)| log)
        .collect())
}

/// The update that forgets the marks of the `closed` logs; `None` where there are none.
///
/// # Errors
/// [`ProtocolError::Malformed`]; [`ProtocolError::Moved`] where the epoch is negative.
pub fn prune(
    target: &Target,
    document: &Document,
    closed: &BTreeSet<ObjectId>,
) -> Result<Option<Write>, ProtocolError> {
    let epoch = Epoch::of(document, target)?;
    let forgotten: Vec<Value> = mark::list(document)?
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
    Ok(Some(Write::Update {
        target: target.clone(),
        guard: Filter::all().and(epoch.guard()),
        update: Update::new().remove(PAYLOGS, forgotten).increment(PAY_EPOCH, 1),
    }))
}
