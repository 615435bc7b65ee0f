//! `paylog resume`: takes one payment up again, by way of the running server if there is one.

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

/// `paylog resume`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ResumeArguments {
    /// The id of the payment's log, from `paylog stuck`
    #[arg(value_name = "LOG")]
    pub(crate) payment: String,
    /// Credit money that has arrived with another amount than was asked for: as much as has arrived
    #[arg(long)]
    pub(crate) credit: bool,
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// Print how it ended as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Takes a payment up again, and answers whether it is at its end.
pub(crate) async fn run(
    app: App<Payments>,
    arguments: &ResumeArguments,
    home: &Backend,
    config: PaymentConfig,
    variables: &Variables,
    environment: &Environment,
) -> Result<bool> {
    let log = payment_report::log_id(&arguments.payment)?;
    let credit = arguments.credit;
    let access = WriteAccess::open(app, home, config, Keys::read(variables)?, environment).await?;
    let operated = access
        .ask(
            "resumePayment",
            &json!({"log": log, "credit": credit}),
            async |payments| payments.resume_payment(&log, credit).await,
        )
        .await;
    access.close().await;
    payment_report::print(&operated?, arguments.json)
}
