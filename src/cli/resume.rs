//! `paylog resume`: resumes one payment, through the running server if there is one.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::app::data_context::DataContext;
use crate::app::write_access::WriteAccess;
use crate::cli::arguments::DataArguments;
use crate::cli::payment_report;
use crate::engine::App;
use crate::payment::PaymentService;

/// `paylog resume`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ResumeArguments {
    /// The id of the payment's log, from `paylog stuck`
    #[arg(value_name = "LOG")]
    pub(crate) payment: String,
    /// Credit the money of a recharge whose paid amount differs from the requested one: the paid amount
    #[arg(long)]
    pub(crate) credit: bool,
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Print the outcome as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Resumes a payment; returns true if it is closed.
pub(crate) async fn run(
    app: App<PaymentService>,
    arguments: &ResumeArguments,
    context: &DataContext,
) -> Result<bool> {
    let log = payment_report::log_id(&arguments.payment)?;
    let credit = arguments.credit;
    let access = WriteAccess::open(app, context).await?;
    let operated = access
        .call(
            "resumePayment",
            &json!({"log": log, "credit": credit}),
            async |payments| payments.resume_payment(&log, credit).await,
        )
        .await;
    access.close().await;
    payment_report::print(&operated?, arguments.json)
}
