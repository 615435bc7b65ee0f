//! A finding of the checks: a problem, its severity and its remedy.

use serde::Serialize;

/// A finding of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Severity of the problem.
    pub(crate) severity: Severity,
    /// Description of the problem.
    pub(crate) problem: String,
    /// Setting to change, and its place.
    pub(crate) remedy: String,
}

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Money can be made, lost or counted twice: `serve` refuses to start.
    Unsafe,
    /// Needs attention; `serve` starts all the same.
    Warning,
}

impl Finding {
    pub(crate) fn money_at_risk(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Unsafe,
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    pub(crate) fn warning(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

/// True if a finding puts money at risk.
pub(crate) fn is_unsafe(findings: &[Finding]) -> bool {
    findings
        .iter()
        .any(|finding| finding.severity == Severity::Unsafe)
}

/// Formats the findings as a list for people.
pub(crate) fn describe(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| {
            let severity = match finding.severity {
                Severity::Unsafe => "UNSAFE ",
                Severity::Warning => "warning",
            };
            format!("{severity}  {}\n         {}", finding.problem, finding.remedy)
        })
        .collect::<Vec<_>>()
        .join("\n")
}
