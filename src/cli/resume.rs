//! `paylog resume`: takes one payment up again, by way of the running server if there is one.

use anyhow::Result;
use serde_json::json;

use crate::app::write_access::WriteAccess;
use crate::cli::arguments::ResumeArguments;
use crate::cli::payment_report;
use crate::config::{Backend, Keys, Variables};
use crate::engine::App;
use crate::environment::Environment;
use crate::payment::{PaymentConfig, Payments};

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
