//! `paylog cancel`: cancels one payment, through the running server if there is one.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::app::data_context::DataContext;
use crate::app::write_access::WriteAccess;
use crate::cli::arguments::DataArguments;
use crate::cli::payment_report;
use crate::engine::App;
use crate::payment::PaymentService;

/// `paylog cancel`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CancelArguments {
    /// The id of the payment's log, from `paylog stuck`
    #[arg(value_name = "LOG")]
    pub(crate) payment: String,
    /// Reason, shown to callers that ask for the payment again
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Write off a recharge whose paid amount differs from the requested one: it has been refunded at the gateway
    #[arg(long)]
    pub(crate) returned: bool,
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Print the outcome as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Cancels a payment; returns true if it is closed.
pub(crate) async fn run(
    app: App<PaymentService>,
    arguments: &CancelArguments,
    context: &DataContext,
) -> Result<bool> {
    let log = payment_report::log_id(&arguments.payment)?;
    let (reason, returned) = (arguments.reason.as_deref(), arguments.returned);
    let mut asked = json!({"log": log, "returned": returned});
    if let (Some(reason), Some(asked)) = (reason, asked.as_object_mut()) {
        asked.insert("reason".to_owned(), reason.into());
    }
    let access = WriteAccess::open(app, context).await?;
    let operated = access
        .call("cancelPayment", &asked, async |payments| {
            payments.cancel_payment(&log, reason, returned).await
        })
        .await;
    access.close().await;
    payment_report::print(&operated?, arguments.json)
}
