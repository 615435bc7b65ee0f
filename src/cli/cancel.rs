//! `paylog cancel`: cancels one payment, by way of the running server if there is one.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::app::write_access::WriteAccess;
use crate::cli::arguments::HomeArguments;
use crate::cli::payment_report;
use crate::config::{Backend, Keys, Variables};
use crate::engine::App;
use crate::environment::Environment;
use crate::payment::{PaymentConfig, Payments};

/// `paylog cancel`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CancelArguments {
    /// The id of the payment's log, from `paylog stuck`
    #[arg(value_name = "LOG")]
    pub(crate) payment: String,
    /// Why; told to whoever asks for the payment again
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Write off money that has arrived with another amount than was asked for: it has been given back at the gateway
    #[arg(long)]
    pub(crate) returned: bool,
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// Print how it ended as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Cancels a payment, and answers whether it is at its end.
pub(crate) async fn run(
    app: App<Payments>,
    arguments: &CancelArguments,
    home: &Backend,
    config: PaymentConfig,
    variables: &Variables,
    environment: &Environment,
) -> Result<bool> {
    let log = payment_report::log_id(&arguments.payment)?;
    let (reason, returned) = (arguments.reason.as_deref(), arguments.returned);
    let mut asked = json!({"log": log, "returned": returned});
    if let (Some(reason), Some(asked)) = (reason, asked.as_object_mut()) {
        asked.insert("reason".to_owned(), reason.into());
    }
    let access = WriteAccess::open(app, home, config, Keys::read(variables)?, environment).await?;
    let operated = access
        .ask("cancelPayment", &asked, async |payments| {
            payments.cancel_payment(&log, reason, returned).await
        })
        .await;
    access.close().await;
    payment_report::print(&operated?, arguments.json)
}
