//! Report of a verification, for people and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::migration::verification::{
    ClassReport, DanglingPointers, DifferenceKind, LoginReport, MoneyTotals,
};

/// Most differences of a class in the text.
const TEXT_DIFFERENCES_MAX: usize = 20;

/// Report of a verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationReport {
    /// True if no problem was found.
    pub clean: bool,
    /// Descriptions of the problems; empty if the report is clean.
    pub problems: Vec<String>,
    /// Reports about the classes.
    pub classes: Vec<ClassReport>,
    /// Money here.
    pub money_here: MoneyTotals,
    /// Money at the source; absent without a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money_there: Option<MoneyTotals>,
    /// Users by their way to log in.
    pub logins: LoginReport,
    /// Dangling pointers. They are not a difference: the source has them too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dangling: Vec<DanglingPointers>,
    /// Descriptions of the parts that were not compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// Money of both sides.
#[derive(Debug)]
pub(super) struct BothMoneyTotals {
    pub(super) here: MoneyTotals,
    pub(super) there: Option<MoneyTotals>,
    /// True if the app has moved.
    pub(super) moved: bool,
}

impl VerificationReport {
    pub(super) fn new(
        classes: Vec<ClassReport>,
        money: BothMoneyTotals,
        logins: LoginReport,
        dangling: Vec<DanglingPointers>,
        left_out: Vec<String>,
    ) -> Self {
        let mut problems = Vec::new();
        let differing: u64 = classes.iter().map(|class| class.differing).sum();
        if differing > 0 {
            problems.push(format!("{differing} objects are not the same on both sides"));
        }
        // After a move payments continue and change the sums; each document is compared all the same.
        if let Some(there) = money.there.as_ref().filter(|_| !money.moved) {
            if (money.here.account, money.here.frozen) != (there.account, there.frozen) {
                problems.push("the sums of the money differ".to_owned());
            }
            if money.here.open != there.open || money.here.stuck != there.stuck {
                problems.push("the payments that are not closed differ".to_owned());
            }
        }
        if money.here.malformed > 0 {
            problems.push(format!(
                "{} documents hold money or states that are no integers: paylog doctor says which",
                money.here.malformed
            ));
        }
        if logins.lost() > 0 {
            problems.push(format!("{} users have lost their login", logins.lost()));
        }
        Self {
            clean: problems.is_empty(),
            problems,
            classes,
            money_here: money.here,
            money_there: money.there,
            logins,
            dangling,
            left_out,
        }
    }

    /// True if all compared objects and sums are equal; logins do not count.
    #[must_use]
    pub fn is_same(&self) -> bool {
        let there = self.money_there.as_ref();
        self.classes.iter().all(|class| class.differing == 0)
            && self.money_here.malformed == 0
            && there.is_none_or(|there| {
                (there.account, there.frozen) == (self.money_here.account, self.money_here.frozen)
            })
    }

    /// The report as text.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = String::new();
        self.describe_classes(&mut text);
        self.describe_money(&mut text);
        let logins = &self.logins;
        let _ = writeln!(
            text,
            "\n{} users: {} log in with a password, {} through a third party or anonymously",
            logins.users, logins.with_password, logins.with_auth_data
        );
        for (reason, count) in &logins.cannot {
            let _ = writeln!(text, "  {count} {}", reason.describe());
        }
        for dangling in &self.dangling {
            let _ = writeln!(
                text,
                "{} pointers in {}.{} lead to no {} (such as that of {})",
                dangling.count, dangling.class, dangling.key, dangling.target, dangling.example
            );
        }
        if !self.left_out.is_empty() {
            let _ = writeln!(text, "\nNot compared: {}.", self.left_out.join("; "));
        }
        if self.clean {
            text.push_str("\nCLEAN: nothing differs, nothing is missing.");
        } else {
            let _ = write!(text, "\nNOT CLEAN: {}.", self.problems.join("; "));
        }
        text
    }

    fn describe_classes(&self, text: &mut String) {
        let there = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let _ = writeln!(
            text,
            "{:<28} {:>12} {:>12} {:>10}  hash",
            "class", "here", "there", "differing"
        );
        for class in &self.classes {
            let _ = writeln!(
                text,
                "{:<28} {:>12} {:>12} {:>10}  {}",
                class.class.as_str(),
                class.here,
                there(class.there),
                class.differing,
                class.hash_here.get(..16).unwrap_or_default()
            );
            for (key, relation) in &class.relations {
                let _ = writeln!(
                    text,
                    "  {:<26} {:>12} {:>12} {:>10}  links, {} of them to nothing",
                    key,
                    relation.here,
                    there(relation.there),
                    "",
                    relation.dangling
                );
            }
            if class.written_since > 0 {
                let _ = writeln!(
                    text,
                    "  {} written here since the move: not compared",
                    class.written_since
                );
            }
            for difference in class.differences.iter().take(TEXT_DIFFERENCES_MAX) {
                let what = match difference.kind {
                    DifferenceKind::OnlyHere => "only here".to_owned(),
                    DifferenceKind::OnlyThere => "only there".to_owned(),
                    DifferenceKind::Differs => format!("differs in {}", difference.keys.join(", ")),
                    DifferenceKind::Relation => {
                        format!("the relation {} differs", difference.keys.join(", "))
                    }
                };
                let _ = writeln!(text, "  {}: {what}", difference.id);
            }
        }
    }

    fn describe_money(&self, text: &mut String) {
        let sides = [
            ("here", Some(&self.money_here)),
            ("there", self.money_there.as_ref()),
        ];
        let _ = writeln!(text);
        for (side, money) in sides {
            let Some(money) = money else { continue };
            let open: Vec<String> = money
                .open
                .iter()
                .map(|(state, count)| format!("{count} in state {state}"))
                .collect();
            let open = if open.is_empty() {
                "none".to_owned()
            } else {
                open.join(", ")
            };
            let _ = writeln!(
                text,
                "money {side:<5}  account {}, frozen {} (minor units); payments not closed: {open}; stuck: {}",
                money.account, money.frozen, money.stuck
            );
        }
    }
}
