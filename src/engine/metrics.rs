//! Metrics of an engine, for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Content type of the text of [`Metrics::render`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the histogram in seconds: from a function that only computes to the longest call that LeanCloud
/// allows.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 15.0,
];

/// Outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    Ok,
    /// The function returned its own error.
    Refused,
    /// The function failed with an unforeseen error, or panicked.
    Failed,
    TimedOut,
}

impl CallOutcome {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::TimedOut => "timeout",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FunctionLabels {
    function: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    function: String,
    outcome: &'static str,
}

/// Metrics of an engine. Their labels are outcomes and the names of defined functions, so that their number is bounded.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    calls: Family<OutcomeLabels, Counter>,
    seconds: Family<FunctionLabels, Histogram>,
    under_way: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("leanengine");
        let calls = Family::default();
        let seconds = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        let under_way = Gauge::default();
        registry.register(
            "calls",
            "Calls of functions and hooks that have ended, by outcome: ok, refused (the function's own error), \
             failed (an unforeseen one), timeout",
            calls.clone(),
        );
        registry.register(
            "call_seconds",
            "How long calls of functions and hooks took",
            seconds.clone(),
        );
        registry.register(
            "calls_under_way",
            "Calls of functions and hooks that are running",
            under_way.clone(),
        );
        Self {
            registry,
            calls,
            seconds,
            under_way,
        }
    }
}

impl Metrics {
    /// Returns the metrics of one function or hook.
    pub(crate) fn of(&self, function: &str) -> Arc<CallMetrics> {
        let counter = |outcome: CallOutcome| {
            let (function, outcome) = (function.to_owned(), outcome.label());
            self.calls
                .get_or_create_owned(&OutcomeLabels { function, outcome })
        };
        let function = function.to_owned();
        Arc::new(CallMetrics {
            ok: counter(CallOutcome::Ok),
            refused: counter(CallOutcome::Refused),
            failed: counter(CallOutcome::Failed),
            timeout: counter(CallOutcome::TimedOut),
            seconds: self.seconds.get_or_create_owned(&FunctionLabels { function }),
            under_way: self.under_way.clone(),
        })
    }

    /// Returns all metrics as text.
    pub(crate) fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Metrics of one function or hook.
#[derive(Debug)]
pub(crate) struct CallMetrics {
    ok: Counter,
    refused: Counter,
    failed: Counter,
    timeout: Counter,
    seconds: Histogram,
    under_way: Gauge,
}

impl CallMetrics {
    pub(crate) fn begin(&self) -> InFlight {
        self.under_way.inc();
        InFlight(self.under_way.clone())
    }

    pub(crate) fn end(&self, outcome: CallOutcome, duration: Duration) {
        let counter = match outcome {
            CallOutcome::Ok => &self.ok,
            CallOutcome::Refused => &self.refused,
            CallOutcome::Failed => &self.failed,
            CallOutcome::TimedOut => &self.timeout,
        };
        counter.inc();
        self.seconds.observe(duration.as_secs_f64());
    }
}

/// Guard of a call in flight.
#[derive(Debug)]
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
