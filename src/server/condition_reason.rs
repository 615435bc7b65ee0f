//! A 305 that explains itself, to the master key and on request: LeanCloud's says only that a condition was not met.

use super::context::Context;
use crate::model::{ClassName, Filter, ObjectId};

/// Finds out why a write under a condition had no effect, where the caller wants to know.
///
/// The object is read after the write. So the reason is that of the moment after, and there is none where the condition
/// holds by then.
pub(super) async fn note(context: &Context, class: &ClassName, id: &ObjectId, guard: Option<&Filter>) {
    let Some(guard) = guard.filter(|_| context.wants_reason()) else {
        return;
    };
    let reason = match context.database().get(class, id).await {
        Ok(None) => Some("absent".to_owned()),
        Ok(Some(object)) => match guard.first_unmet(&object) {
            Ok(unmet) => unmet.map(|key| format!("condition:{key}")),
            Err(_) => None,
        },
        Err(_) => None,
    };
    if let Some(reason) = reason {
        context.note_reason(reason);
    }
}
