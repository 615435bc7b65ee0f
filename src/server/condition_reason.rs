//! The reason of a 305, for the master key and on request. LeanCloud's 305 has none.

use super::context::Context;
use crate::model::{ClassName, Filter, ObjectId};

/// Finds the reason why a conditional write had no effect, if the caller asks for it, and keeps it in the context.
///
/// The object is read after the write. So the reason is that of the moment after; there is none if the condition holds by
/// then.
pub(super) async fn note(context: &Context, class: &ClassName, id: &ObjectId, condition: Option<&Filter>) {
    let Some(condition) = condition.filter(|_| context.wants_reason()) else {
        return;
    };
    let reason = match context.database().get(class, id).await {
        Ok(None) => Some("absent".to_owned()),
        Ok(Some(object)) => match condition.first_unmet(&object) {
            Ok(unmet) => unmet.map(|key| format!("condition:{key}")),
            Err(_) => None,
        },
        Err(_) => None,
    };
    if let Some(reason) = reason {
        context.note_reason(reason);
    }
}
