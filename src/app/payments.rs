//! The payments of an app: their settings, their store, and the call of `afterPayment`.

use std::sync::Arc;

use anyhow::Result;

use crate::app::metered_store::MeteredStore;
#[cfg(all(feature = "failpoints", debug_assertions))]
use crate::app::{failpoint_store, terminal};
use crate::config::{ClassNames, Variables};
use crate::engine::Engine;
use crate::model::{CloudError, Document, Value};
use crate::payment::{PaymentConfig, PaymentService};
use crate::store::Store;
use crate::telemetry::Counters;

/// Returns the payment flow's settings, with the class names of the environment.
///
/// # Errors
/// A variable that holds no class name.
pub(crate) fn payment_config(variables: &Variables) -> Result<PaymentConfig> {
    let names = ClassNames::read(variables)?;
    let mut config = PaymentConfig::new();
    if let Some(class) = names.log {
        config.log_class = class;
    }
    if let Some(class) = names.order {
        config.order_class = class;
    }
    Ok(config)
}

/// Wraps `store` for the payment flow: calls are counted, and failpoints apply in a build that has them.
#[cfg_attr(
    not(all(feature = "failpoints", debug_assertions)),
    expect(
        clippy::unnecessary_wraps,
        unused_variables,
        reason = "a build with failpoints reads a variable"
    )
)]
pub(crate) fn metered(
    store: Arc<dyn Store>,
    counters: &Arc<Counters>,
    variables: &Variables,
) -> Result<Arc<dyn Store>> {
    let store: Arc<dyn Store> = Arc::new(MeteredStore::new(store, Arc::clone(counters)));
    #[cfg(all(feature = "failpoints", debug_assertions))]
    if let Some(folder) = variables.get(failpoint_store::VARIABLE)? {
        terminal::eprint_line(format!(
            "WARNING: this is a test build, and {} is set: it stops for ever at the write that {folder}/halt names",
            failpoint_store::VARIABLE
        ));
        return Ok(Arc::new(failpoint_store::FailpointStore::new(
            store,
            folder.into(),
        )));
    }
    Ok(store)
}

/// Name of the cloud function that is called for each succeeded payment, if the app defines it.
const AFTER_PAYMENT: &str = "afterPayment";

/// Registers `afterPayment` of the app, if it has one, to be called for every succeeded payment.
pub(crate) fn connect_after_payment(engine: &Engine, payments: &PaymentService) {
    if !engine.has_function(AFTER_PAYMENT) {
        return;
    }
    let engine = engine.clone();
    // The clone shares its settings with every other.
    let _ = payments.clone().with_after_payment(move |receipt| {
        let engine = engine.clone();
        async move {
            match serde_json::to_value(receipt) {
                Ok(Value::Object(payment)) => engine
                    .call_function(AFTER_PAYMENT, Document(payment))
                    .await
                    .map(drop),
                other => Err(CloudError::other(format!(
                    "a payment that is no object: {other:?}"
                ))),
            }
        }
    });
}
