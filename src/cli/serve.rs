//! `paylog serve`: the app's functions, and with the embedded store LeanCloud's storage API, on one port.

mod banner;
pub(crate) mod embedded;
mod health;
pub(crate) mod leancloud;
pub(crate) mod listen;
pub(crate) mod sessions;

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Result, bail};

use crate::cli::arguments::ServeArguments;
use crate::cli::counting::CountingStore;
use crate::cli::doctor::{self, Finding};
#[cfg(debug_assertions)]
use crate::cli::{halting, terminal};
use crate::config::{Backend, ClassNames, Keys, Variables};
use crate::engine::{App, Engine};
use crate::environment::Environment;
use crate::model::{CloudError, Document, Value};
use crate::payment::{PaymentConfig, Payments};
use crate::store::Store;
use crate::telemetry::Counters;

/// What every home is served with.
pub(crate) struct Setting<'a> {
    pub(crate) app: App<Payments>,
    pub(crate) arguments: &'a ServeArguments,
    pub(crate) keys: Keys,
    pub(crate) payments: PaymentConfig,
    pub(crate) environment: Environment,
    pub(crate) variables: &'a Variables,
}

/// Serves until the process is told to stop.
pub(crate) async fn run(
    app: App<Payments>,
    arguments: &ServeArguments,
    payments: PaymentConfig,
    variables: &Variables,
    environment: Environment,
) -> Result<bool> {
    let home = Backend::choose(
        arguments.home.data.clone(),
        arguments.home.database.as_deref(),
        variables,
    )?;
    let setting = Setting {
        app,
        arguments,
        keys: Keys::read(variables)?,
        payments,
        environment,
        variables,
    };
    match home {
        Backend::Embedded(data) => embedded::serve(setting, &data).await,
        Backend::LeanCloud(server) => leancloud::serve(setting, &server).await,
    }?;
    Ok(true)
}

/// The payment flow's settings, with the class names that the environment gives.
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

/// `store` as the payment flow sees it: every call is counted.
#[cfg_attr(
    not(debug_assertions),
    expect(
        clippy::unnecessary_wraps,
        unused_variables,
        reason = "a debug build may be told to stop somewhere"
    )
)]
fn counted(store: Arc<dyn Store>, counters: &Arc<Counters>, variables: &Variables) -> Result<Arc<dyn Store>> {
    let store: Arc<dyn Store> = Arc::new(CountingStore::new(store, Arc::clone(counters)));
    #[cfg(debug_assertions)]
    if let Some(folder) = variables.get(halting::VARIABLE)? {
        terminal::warn(format!(
            "WARNING: this is a build for tests, and {} is set: it stops for ever at the write that {folder}/halt names",
            halting::VARIABLE
        ));
        return Ok(Arc::new(halting::HaltingStore::new(store, folder.into())));
    }
    Ok(store)
}

/// Stops a start at which clients could write money, unless it is wanted.
fn refuse_unsafe(findings: &[Finding], allow: bool) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    let list = doctor::describe(findings);
    if !doctor::is_unsafe(findings) || allow {
        tracing::warn!("the set-up is not as it must be:\n{list}");
        return Ok(());
    }
    bail!("money would not be safe, so paylog does not start:\n{list}\nTo start all the same: --allow-unsafe")
}

/// The cloud function that an app may define to be told of payments.
const AFTER_PAYMENT: &str = "afterPayment";

/// Has `afterPayment` called, where the app has it, for every payment that has succeeded.
pub(crate) fn connect_after_payment(engine: &Engine, payments: &Payments) {
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

fn host(arguments: &ServeArguments, default: IpAddr) -> IpAddr {
    arguments.host.unwrap_or(default)
}
