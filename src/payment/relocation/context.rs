//! The context of a relocation: the two stores and the settings.

use std::sync::Arc;
use std::time::Duration;

use crate::environment::Environment;
use crate::model::ClassName;
use crate::payment::relocation::import::ImportStore;
use crate::payment::relocation::report::{RelocationProgress, Side};
use crate::payment::{PaymentConfig, SchemaNames};
use crate::store::Store;

/// Called with the progress of a relocation.
pub(super) type Observer = Arc<dyn Fn(&RelocationProgress) + Send + Sync>;

/// The two stores of a relocation, and its settings.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) source: Arc<dyn Store>,
    pub(super) target: Arc<dyn ImportStore>,
    pub(super) environment: Environment,
    pub(super) config: PaymentConfig,
    pub(super) names: Arc<SchemaNames>,
    /// The class of the decision, at the source.
    pub(super) decision_class: ClassName,
    /// The time for which a step that gets nowhere is repeated.
    pub(super) timeout: Duration,
    pub(super) observer: Option<Observer>,
}

impl Context {
    pub(super) fn store(&self, side: Side) -> &dyn Store {
        match side {
            Side::Source => &*self.source,
            Side::Target => &*self.target,
        }
    }
}
