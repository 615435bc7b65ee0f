//! `paylog serve`.

use anyhow::Result;

use crate::app::serve::{self, ServeContext, ServeOptions};
use crate::cli::arguments::ServeArguments;
use crate::config::{Backend, Keys, Variables};
use crate::engine::App;
use crate::environment::Environment;
use crate::payment::{PaymentConfig, Payments};

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
    let context = ServeContext {
        app,
        keys: Keys::read(variables)?,
        options: options(arguments.clone()),
        payments,
        environment,
        variables,
    };
    serve::serve(context, &home).await?;
    Ok(true)
}

fn options(arguments: ServeArguments) -> ServeOptions {
    let ServeArguments {
        home: _,
        host,
        port,
        engine,
        cron,
        sandbox,
        allow_unsafe,
        trust_proxy,
        public_url,
        file_bytes_max,
        concurrent_requests_max,
        requests_per_second,
        request_log,
    } = arguments;
    ServeOptions {
        host,
        port,
        engine,
        cron,
        sandbox,
        allow_unsafe,
        trust_proxy,
        public_url,
        file_bytes_max,
        concurrent_requests_max,
        requests_per_second,
        request_log,
    }
}
