//! Filters on the fence of documents.

use crate::model::{ClassName, Filter};
use crate::payment::SchemaNames;
use crate::payment::protocol::log::{LogState, fields};
use crate::payment::protocol::mark::PAY_EPOCH;

/// Matches the documents of a payment class that are in use: logs that are open, accounts and orders that are not fenced.
#[must_use]
pub fn in_use(names: &SchemaNames, class: &ClassName) -> Filter {
    if *class == names.log_class {
        Filter::all().lt(fields::STATE, LogState::Closed.number())
    } else {
        Filter::all().and_any(vec![
            Filter::all().gte(PAY_EPOCH, 0),
            Filter::all().exists(PAY_EPOCH, false),
        ])
    }
}

/// Matches the documents of a payment class that are fenced.
#[must_use]
pub fn fenced(names: &SchemaNames, class: &ClassName) -> Filter {
    if *class == names.log_class {
        Filter::all().gte(fields::STATE, LogState::FENCE)
    } else {
        Filter::all().lt(PAY_EPOCH, 0)
    }
}
