//! A finding of the checks: a problem, its severity and its remedy.

use serde::Serialize;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What is wrong.
    pub(crate) problem: String,
    /// What to set, and where.
    pub(crate) remedy: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Money can be made, lost or counted twice: `serve` refuses to start.
    Unsafe,
    /// To be looked at.
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

/// Whether money is at risk.
pub(crate) fn is_unsafe(findings: &[Finding]) -> bool {
    findings
        .iter()
        .any(|finding| finding.severity == Severity::Unsafe)
}

/// The findings as a list for people.
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
