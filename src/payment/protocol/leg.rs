//! Legs: conditional changes of single documents, which make up a payment.

use std::collections::BTreeMap;

use serde_json::{Map, json};

use crate::model::value::as_integer;
use crate::model::{ClassName, Document, ErrorCode, Filter, ObjectId, Update, Value};
use crate::payment::protocol::error::{ProtocolError, Refusal};
use crate::payment::protocol::mark::{self, Epoch, MarkKind};
use crate::payment::protocol::money::{Balance, Delta};
use crate::payment::protocol::names::SchemaNames;
use crate::payment::protocol::target::Target;

/// The range of a field that a leg requires. An absent field counts as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bound {
    /// The lower bound, included.
    pub at_least: Option<i64>,
    /// The upper bound, included.
    pub at_most: Option<i64>,
}

impl Bound {
    /// A lower bound.
    #[must_use]
    pub fn at_least(units: i64) -> Self {
        Self {
            at_least: Some(units),
            at_most: None,
        }
    }

    /// An upper bound.
    #[must_use]
    pub fn at_most(units: i64) -> Self {
        Self {
            at_least: None,
            at_most: Some(units),
        }
    }

    fn is_met_by(self, balance: Balance) -> bool {
        self.at_least.is_none_or(|bound| balance.units() >= bound)
            && self.at_most.is_none_or(|bound| balance.units() <= bound)
    }

    /// Adds this bound on `field` to `filter`. A missing field counts as 0, which no comparison matches by itself.
    fn precondition(self, mut filter: Filter, field: &str) -> Filter {
        let or_absent = |bounded: Filter| vec![bounded, Filter::all().exists(field, false)];
        if let Some(bound) = self.at_least {
            filter = if bound > 0 {
                filter.gte(field, bound)
            } else {
                filter.and_any(or_absent(Filter::all().gte(field, bound)))
            };
        }
        if let Some(bound) = self.at_most {
            filter = if bound < 0 {
                filter.lte(field, bound)
            } else {
                filter.and_any(or_absent(Filter::all().lte(field, bound)))
            };
        }
        filter
    }

    /// Merges both bounds, the second of which holds after `delta` was added. The result is never weaker than either,
    /// so that every requirement is kept.
    fn merged(self, second: Self, delta: i64) -> Option<Self> {
        let shifted = |bound: i64| bound.checked_sub(delta);
        let at_least = match second.at_least {
            None => self.at_least,
            Some(bound) => Some(shifted(bound)?.max(bound).max(self.at_least.unwrap_or(i64::MIN))),
        };
        let at_most = match second.at_most {
            None => self.at_most,
            Some(bound) => Some(shifted(bound)?.min(bound).min(self.at_most.unwrap_or(i64::MAX))),
        };
        Some(Self { at_least, at_most })
    }
}

/// A conditional change of one document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leg {
    /// The document.
    pub target: Target,
    /// The changes, by field.
    pub add: BTreeMap<String, Delta>,
    /// The requirements, by field. A leg with a requirement is *conditional*: it may be refused.
    pub require: BTreeMap<String, Bound>,
}

/// The state of a leg on its document, after the leg or its refusal had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegStatus {
    /// The leg was applied before.
    Applied,
    /// The leg was refused before.
    Refused,
    /// The epoch has moved, or nothing stands in the way any more: start over from the epochs.
    Retry,
    /// A requirement is not met.
    Unmet,
}

impl Leg {
    /// A leg without changes and requirements: a mark alone.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            add: BTreeMap::new(),
            require: BTreeMap::new(),
        }
    }

    /// Adds `delta` to `field`.
    #[must_use]
    pub fn adding(mut self, field: &str, delta: Delta) -> Self {
        self.add.insert(field.to_owned(), delta);
        self
    }

    /// Requires `bound` of `field`.
    #[must_use]
    pub fn requiring(mut self, field: &str, bound: Bound) -> Self {
        self.require.insert(field.to_owned(), bound);
        self
    }

    /// Returns true if the leg may be refused.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        !self.require.is_empty()
    }

    /// The requirements alone, as a condition.
    #[must_use]
    pub fn requirements(&self) -> Filter {
        self.require.iter().fold(Filter::all(), |filter, (field, bound)| {
            bound.precondition(filter, field)
        })
    }

    /// The condition under which `log` may apply this leg: not marked, same epoch, requirements met.
    #[must_use]
    pub fn precondition(&self, log: &ObjectId, epoch: Epoch) -> Filter {
        mark::unmarked(MarkKind::Taken, log)
            .and(epoch.precondition())
            .and(self.requirements())
    }

    /// The condition inside a commit that creates the log as applied. It needs no mark, because no lower state of that
    /// log ever exists; it always needs the epoch.
    #[must_use]
    pub fn precondition_unmarked(&self, epoch: Epoch) -> Filter {
        epoch.precondition().and(self.requirements())
    }

    /// The money without the mark.
    #[must_use]
    pub fn update_unmarked(&self) -> Update {
        self.add.iter().fold(Update::new(), |update, (field, delta)| {
            update.increment(field, delta.units())
        })
    }

    /// The money and the mark, in one update.
    #[must_use]
    pub fn update(&self, log: &ObjectId) -> Update {
        mark::with_marks(self.update_unmarked(), &[MarkKind::Taken], log)
    }

    /// The condition for refusing this leg: still undecided, same epoch.
    #[must_use]
    pub fn refusal_precondition(log: &ObjectId, epoch: Epoch) -> Filter {
        mark::unmarked(MarkKind::Taken, log).and(epoch.precondition())
    }

    /// The tombstone of a refused leg. After it no late request of this leg can take effect.
    #[must_use]
    pub fn refusal_update(log: &ObjectId) -> Update {
        mark::with_marks(Update::new(), &[MarkKind::Taken, MarkKind::Void], log)
    }

    /// The condition for reversing the applied leg: not reversed before, same epoch.
    #[must_use]
    pub fn reversal_precondition(log: &ObjectId, epoch: Epoch) -> Filter {
        mark::unmarked(MarkKind::Undo, log).and(epoch.precondition())
    }

    /// The reversed money, under its own mark.
    #[must_use]
    pub fn reversal_update(&self, log: &ObjectId) -> Update {
        let money = self.add.iter().fold(Update::new(), |update, (field, delta)| {
            update.increment(field, delta.reversed().units())
        });
        mark::with_marks(money, &[MarkKind::Undo], log)
    }

    /// Reads the state of this leg from `document`, after the leg or its refusal had no effect (305).
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`], [`ProtocolError::Moved`].
    pub fn status(
        &self,
        document: &Document,
        log: &ObjectId,
        epoch: Epoch,
    ) -> Result<LegStatus, ProtocolError> {
        if mark::has_mark(document, MarkKind::Taken, log)? {
            return Ok(if mark::has_mark(document, MarkKind::Void, log)? {
                LegStatus::Refused
            } else {
                LegStatus::Applied
            });
        }
        self.status_unmarked(document, epoch)
    }

    /// Reads the state of this leg from `document` inside a commit, where no mark can stand yet.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`], [`ProtocolError::Moved`].
    pub fn status_unmarked(&self, document: &Document, epoch: Epoch) -> Result<LegStatus, ProtocolError> {
        if Epoch::of(document, &self.target)? != epoch {
            return Ok(LegStatus::Retry);
        }
        for (field, bound) in &self.require {
            if !bound.is_met_by(Balance::of(document, field)?) {
                return Ok(LegStatus::Unmet);
            }
        }
        Ok(LegStatus::Retry)
    }

    /// The refusal of this leg. It depends on the leg alone, so that every worker that closes the log writes the same
    /// reason.
    #[must_use]
    pub fn refusal(&self, names: &SchemaNames) -> Refusal {
        if self.require.contains_key(&names.account) {
            Refusal::insufficient_balance()
        } else if self.target.class == names.order_class {
            Refusal::new(
                ErrorCode::AMOUNT_EXCEEDS_REST,
                "More than what is left of the order.",
            )
        } else {
            Refusal::new(ErrorCode::NOT_PAYABLE, "Not payable in this state.")
        }
    }

    /// The wire form in `Log.legs`. No key starts with `$`, which stored objects may not hold.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let add: Map<String, Value> = self
            .add
            .iter()
            .map(|(field, delta)| (field.clone(), Value::from(*delta)))
            .collect();
        let mut leg = json!({"class": self.target.class.as_str(), "id": self.target.id.as_str(), "add": add});
        if let (Some(leg), true) = (leg.as_object_mut(), self.is_conditional()) {
            let require: Map<String, Value> = self
                .require
                .iter()
                .map(|(field, bound)| {
                    let mut bounds = Map::new();
                    if let Some(units) = bound.at_least {
                        bounds.insert("atLeast".into(), units.into());
                    }
                    if let Some(units) = bound.at_most {
                        bounds.insert("atMost".into(), units.into());
                    }
                    (field.clone(), Value::Object(bounds))
                })
                .collect();
            leg.insert("require".into(), Value::Object(require));
        }
        leg
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`].
    pub fn from_value(value: &Value) -> Result<Self, ProtocolError> {
        let malformed = || ProtocolError::malformed("legs", "an array of {class, id, add, require?}");
        let text = |key: &str| value.get(key).and_then(Value::as_str).ok_or_else(malformed);
        let class = ClassName::parse(text("class")?).map_err(|_| malformed())?;
        let id = ObjectId::parse(text("id")?).map_err(|_| malformed())?;
        let mut leg = Self::new(Target { class, id });
        for (field, delta) in value
            .get("add")
            .and_then(Value::as_object)
            .ok_or_else(malformed)?
        {
            let delta = as_integer(delta).and_then(Delta::new).ok_or_else(malformed)?;
            leg.add.insert(field.clone(), delta);
        }
        let require = match value.get("require") {
            None => return Ok(leg),
            Some(require) => require.as_object().ok_or_else(malformed)?,
        };
        for (field, bounds) in require {
            let bounds = bounds.as_object().ok_or_else(malformed)?;
            let mut bound = Bound::default();
            for (name, units) in bounds {
                let units = as_integer(units).ok_or_else(malformed)?;
                match name.as_str() {
                    "atLeast" => bound.at_least = Some(units),
                    "atMost" => bound.at_most = Some(units),
                    unknown => return Err(ProtocolError::malformed(unknown, "atLeast or atMost")),
                }
            }
            if bound == Bound::default() {
                return Err(malformed());
            }
            leg.require.insert(field.clone(), bound);
        }
        Ok(leg)
    }

    /// Merges this leg and `second` on the same document: the deltas are added, every requirement is kept.
    fn merged(mut self, second: Self) -> Option<Self> {
        for (field, bound) in second.require {
            let delta = self.add.get(&field).map_or(0, |delta| delta.units());
            let merged = self
                .require
                .get(&field)
                .copied()
                .unwrap_or_default()
                .merged(bound, delta)?;
            self.require.insert(field, merged);
        }
        for (field, delta) in second.add {
            let sum = match self.add.get(&field) {
                None => delta,
                Some(first) => first.checked_add(delta)?,
            };
            self.add.insert(field, sum);
        }
        Some(self)
    }
}

/// The legs of a payment: at most one per document, conditional ones first, each group in the order written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Legs(Vec<Leg>);

impl Legs {
    /// The maximum number of legs. Each leg is a write, and a log must stay small.
    pub const COUNT_MAX: usize = 64;

    /// Merges legs on the same document and puts the conditional ones first.
    ///
    /// # Errors
    /// [`ProtocolError::Overflow`] where a sum is beyond 2^53 − 1, or there are more than [`Legs::COUNT_MAX`].
    pub fn new(parts: Vec<Leg>) -> Result<Self, ProtocolError> {
        let mut merged: Vec<Leg> = Vec::with_capacity(parts.len());
        for part in parts {
            match merged.iter_mut().find(|leg| leg.target == part.target) {
                None => merged.push(part),
                Some(leg) => *leg = leg.clone().merged(part).ok_or(ProtocolError::Overflow)?,
            }
        }
        if merged.len() > Self::COUNT_MAX {
            return Err(ProtocolError::Overflow);
        }
        // The sort is stable: it moves the conditional legs to the front and keeps each group's order.
        merged.sort_by_key(|leg| !leg.is_conditional());
        Ok(Self(merged))
    }

    /// Reads `Log.legs`, which must have the form that [`Legs::new`] gives.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`].
    pub fn from_value(value: Option<&Value>) -> Result<Self, ProtocolError> {
        let malformed =
            || ProtocolError::malformed("legs", "legs on different documents, conditional ones first");
        let values = value.and_then(Value::as_array).ok_or_else(malformed)?;
        let legs = values
            .iter()
            .map(Leg::from_value)
            .collect::<Result<Vec<_>, _>>()?;
        let ordered = Self::new(legs.clone())?;
        if ordered.0 == legs {
            Ok(ordered)
        } else {
            Err(malformed())
        }
    }

    /// The wire form.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Array(self.0.iter().map(Leg::to_value).collect())
    }

    /// All legs, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Leg] {
        &self.0
    }

    /// The number of conditional legs; they come first.
    #[must_use]
    pub fn conditional_count(&self) -> usize {
        self.0.iter().take_while(|leg| leg.is_conditional()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> Target {
        Target::new(&ClassName::user(), &ObjectId::parse(id).unwrap())
    }

    fn add(id: &str, units: i64) -> Leg {
        Leg::new(user(id)).adding("account", Delta::new(units).unwrap())
    }

    fn take(id: &str, units: i64) -> Leg {
        add(id, -units).requiring("account", Bound::at_least(units))
    }

    #[test]
    fn legs_on_one_document_are_merged() {
        let legs = Legs::new(vec![add("b", 5), take("a", 100), add("a", 100), add("b", 6)]).unwrap();
        assert_eq!(
            legs.as_slice(),
            [
                add("a", 0).requiring("account", Bound::at_least(100)),
                add("b", 11)
            ]
        );
        assert_eq!(legs.conditional_count(), 1);
    }

    #[test]
    fn merged_debits_require_the_sum() {
        let legs = Legs::new(vec![take("a", 60), take("a", 50)]).unwrap();
        assert_eq!(
            legs.as_slice(),
            [add("a", -110).requiring("account", Bound::at_least(110))]
        );
    }

    #[test]
    fn credit_before_debit_keeps_the_full_requirement() {
        let legs = Legs::new(vec![add("a", 60), take("a", 50)]).unwrap();
        assert_eq!(
            legs.as_slice(),
            [add("a", 10).requiring("account", Bound::at_least(50))]
        );
    }

    #[test]
    fn legs_wire_form_round_trips() {
        let legs = Legs::new(vec![
            take("a", 100),
            Leg::new(user("o"))
                .adding("refunded", Delta::new(5).unwrap())
                .requiring("refunded", Bound::at_most(95)),
            add("c", 3),
            Leg::new(user("d")),
        ])
        .unwrap();
        assert_eq!(Legs::from_value(Some(&legs.to_value())).unwrap(), legs);
    }

    #[test]
    fn malformed_legs_are_refused() {
        let twice = json!([add("a", 1).to_value(), add("a", 2).to_value()]);
        let late = json!([add("a", 1).to_value(), take("b", 2).to_value()]);
        let fraction = json!([{"class": "_User", "id": "a", "add": {"account": 0.5}}]);
        for bad in [twice, late, fraction, json!({}), json!([1])] {
            assert!(Legs::from_value(Some(&bad)).is_err(), "{bad}");
        }
        assert!(Legs::from_value(None).is_err());
    }

    #[test]
    fn leg_precondition_and_updates() {
        let log = ObjectId::parse("G").unwrap();
        let leg = take("a", 100);
        assert_eq!(
            leg.precondition(&log, Epoch::default()),
            Filter::all()
                .ne("paylogs", "G")
                .and_any(vec![
                    Filter::all().eq("payEpoch", 0),
                    Filter::all().exists("payEpoch", false)
                ])
                .gte("account", 100)
        );
        assert_eq!(
            leg.update(&log),
            Update::new()
                .increment("account", -100)
                .add_unique("paylogs", vec!["G".into()])
        );
        assert_eq!(
            Leg::refusal_update(&log),
            Update::new().add_unique("paylogs", vec!["G".into(), "void:G".into()])
        );
        assert_eq!(
            leg.reversal_update(&log),
            Update::new()
                .increment("account", 100)
                .add_unique("paylogs", vec!["undo:G".into()])
        );
    }

    /// A condition decides, and a read says why it was not met: both must mean the same.
    #[test]
    fn bound_means_the_same_in_filter_and_on_balance() {
        let document = |balance: Option<i64>| {
            let account = balance.map(|units| ("account".to_owned(), json!(units)));
            Document::from_iter(account)
        };
        let bounds = (-2..=2).flat_map(|units| {
            let at_least = Bound::at_least(units);
            let at_most = Bound::at_most(units);
            let between = Bound {
                at_most: Some(1),
                ..at_least
            };
            [at_least, at_most, between]
        });
        for bound in bounds {
            let leg = Leg::new(user("a")).requiring("account", bound);
            for balance in [
                None,
                Some(-3),
                Some(-2),
                Some(-1),
                Some(0),
                Some(1),
                Some(2),
                Some(3),
            ] {
                let units = balance.unwrap_or(0);
                let meant = bound.at_least.is_none_or(|least| units >= least)
                    && bound.at_most.is_none_or(|most| units <= most);
                let document = document(balance);
                let epoch = Epoch::default();
                let expected = if meant { LegStatus::Retry } else { LegStatus::Unmet };
                assert_eq!(
                    leg.requirements().matches(&document),
                    Ok(meant),
                    "{bound:?} {balance:?}"
                );
                assert_eq!(
                    leg.status_unmarked(&document, epoch),
                    Ok(expected),
                    "{bound:?} {balance:?}"
                );
            }
        }
    }

    #[test]
    fn leg_refusal_code_by_requirement() {
        let names = SchemaNames::default();
        let order = Target::new(&names.order_class, &ObjectId::parse("o").unwrap());
        let code = |leg: Leg| leg.refusal(&names).code;
        assert_eq!(code(take("a", 5)), ErrorCode::INSUFFICIENT_BALANCE);
        assert_eq!(
            code(Leg::new(order).requiring("refunded", Bound::at_most(5))),
            ErrorCode::AMOUNT_EXCEEDS_REST
        );
        assert_eq!(
            code(Leg::new(user("a")).requiring("frozen", Bound::at_least(5))),
            ErrorCode::NOT_PAYABLE
        );
    }

    #[test]
    fn legs_beyond_the_maximum_overflow() {
        let legs = |count: usize| Legs::new((0..count).map(|n| add(&format!("u{n}"), 1)).collect());
        assert_eq!(legs(Legs::COUNT_MAX).unwrap().as_slice().len(), Legs::COUNT_MAX);
        assert_eq!(legs(Legs::COUNT_MAX + 1), Err(ProtocolError::Overflow));
        let most = 9_007_199_254_740_991;
        assert_eq!(
            Legs::new(vec![add("a", most), add("a", 1)]),
            Err(ProtocolError::Overflow)
        );
    }
}
