//! The auditor of a run: checks each write that takes effect, for whose money moved, how often, and by which right.
//!
//! It knows only the writes and the documents. It trusts neither the machine nor its preconditions: a leg that is
//! applied twice, or by a log that has failed, shows as money that moves, not as a condition that is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use paylog::model::{ClassName, Document, ObjectId, Op, Update, Value};
use paylog::payment::protocol::ledger::legs_add_up;
use paylog::payment::protocol::leg::Leg;
use paylog::payment::protocol::log::{Log, LogState, Verdict};
use paylog::payment::protocol::mark::{MarkKind, PAY_EPOCH, PAYLOGS};
use paylog::payment::protocol::relocation::{Attempt, Decision, Resolution};
use paylog::payment::protocol::target::Target;
use paylog::payment::{Kind, SchemaNames};
use paylog::store::{Action, Write};

/// The state of one leg, as its writes have shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LegProgress {
    Applied,
    Refused,
    Reversed,
}

/// One write that took effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effect<'a> {
    pub(crate) write: &'a Write,
    /// The number of the store.
    pub(crate) store: usize,
    pub(crate) before: Option<&'a Document>,
    pub(crate) after: &'a Document,
    /// The log that was created in the same commit, if any.
    pub(crate) commit_log: Option<&'a ObjectId>,
}

/// Payments that gateways received: trade number → recharge number and amount.
pub(crate) type Trades = BTreeMap<String, (String, i64)>;

/// A situation that many runs together must reach; otherwise they prove little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Coverage {
    Refusal,
    Reversal,
    Pruned,
    /// A request arrived after a pruning had raised the epoch that it asks for.
    LateAfterPruning,
    Stuck,
    ExtraPayment,
    Crash,
    Restart,
    Stale,
    ClockJump,
    /// An order, a recharge or a hold.
    Expired,
    PolicyRefusal,
    Atomic,
    PerDocument,
    KeyReused,
    Replayed,
    /// A document was fenced for a move; the next two: given back, or opened at the destination.
    Fenced,
    RolledBack,
    Opened,
    MoverDied,
    Kind(Kind),
}

impl Coverage {
    pub(crate) const ALL: [Self; 29] = [
        Self::Refusal,
        Self::Reversal,
        Self::Pruned,
        Self::LateAfterPruning,
        Self::Stuck,
        Self::ExtraPayment,
        Self::Crash,
        Self::Restart,
        Self::Stale,
        Self::ClockJump,
        Self::Expired,
        Self::PolicyRefusal,
        Self::Atomic,
        Self::PerDocument,
        Self::KeyReused,
        Self::Replayed,
        Self::Fenced,
        Self::RolledBack,
        Self::Opened,
        Self::MoverDied,
        Self::Kind(Kind::Recharge),
        Self::Kind(Kind::Purchase),
        Self::Kind(Kind::Cancel),
        Self::Kind(Kind::Transfer),
        Self::Kind(Kind::Refund),
        Self::Kind(Kind::Withdraw),
        Self::Kind(Kind::Hold),
        Self::Kind(Kind::Settle),
        Self::Kind(Kind::Adjust),
    ];
}

/// The money and the marks of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holdings {
    money: BTreeMap<&'static str, i64>,
    marks: BTreeSet<(MarkKind, ObjectId)>,
}

pub(crate) struct Auditor {
    names: Arc<SchemaNames>,
    logs: BTreeMap<ObjectId, Log>,
    /// The log of each key, by store.
    keys: BTreeMap<(usize, String), ObjectId>,
    /// The holdings of each account and order when it was last in use, in either store.
    last_in_use: BTreeMap<Target, Holdings>,
    /// The store where a log was last in use, or was closed.
    stores: BTreeMap<ObjectId, usize>,
    legs: BTreeMap<(ObjectId, Target), LegProgress>,
    /// The log that credited each trade number.
    credited: BTreeMap<String, ObjectId>,
    /// Logs whose `afterPayment` returned without an error.
    notified: BTreeSet<ObjectId>,
    /// The sum of `account` and `frozen` over all users.
    total: i64,
    /// The same sum, from the legs.
    moved: i64,
    pub(crate) trades: Trades,
    pub(crate) coverage: BTreeSet<Coverage>,
}

type Checked = Result<(), String>;

impl Auditor {
    pub(crate) fn new(names: &Arc<SchemaNames>) -> Self {
        Self {
            names: Arc::clone(names),
            logs: BTreeMap::new(),
            keys: BTreeMap::new(),
            last_in_use: BTreeMap::new(),
            stores: BTreeMap::new(),
            legs: BTreeMap::new(),
            credited: BTreeMap::new(),
            notified: BTreeSet::new(),
            total: 0,
            moved: 0,
            trades: Trades::new(),
            coverage: BTreeSet::new(),
        }
    }

    pub(crate) fn logs(&self) -> impl Iterator<Item = &Log> {
        self.logs.values()
    }

    pub(crate) fn log(&self, id: &ObjectId) -> Option<&Log> {
        self.logs.get(id)
    }

    pub(crate) fn log_under(&self, store: usize, key: &str) -> Option<&Log> {
        self.logs.get(self.keys.get(&(store, key.to_owned()))?)
    }

    /// The store where the log was last in use, or was closed.
    pub(crate) fn store_of(&self, log: &ObjectId) -> Option<usize> {
        self.stores.get(log).copied()
    }

    /// True if a leg of the log is applied.
    pub(crate) fn has_moved_money(&self, log: &ObjectId) -> bool {
        self.legs
            .iter()
            .any(|((of, _), progress)| of == log && *progress == LegProgress::Applied)
    }

    /// True if a log of the order has an applied leg.
    pub(crate) fn has_paid(&self, order: &ObjectId) -> bool {
        self.logs
            .values()
            .any(|log| log.intent.order.as_ref() == Some(order) && self.has_moved_money(&log.id))
    }

    /// True if some log has credited the trade number.
    pub(crate) fn credited(&self, trade_no: &str) -> bool {
        self.credited.contains_key(trade_no)
    }

    /// Notes a call of `afterPayment` for `log`.
    pub(crate) fn after_payment(&mut self, log: &ObjectId, ended_well: bool) -> Checked {
        let known = self
            .logs
            .get(log)
            .ok_or("afterPayment of a log that is not there")?;
        if known.verdict != Some(Verdict::Succeeded) || known.state < LogState::Applied {
            return Err(format!("afterPayment of {log}, which has not succeeded"));
        }
        if ended_well {
            self.notified.insert(log.clone());
        }
        Ok(())
    }

    /// Checks a write. `elsewhere` holds the same document in the other stores; `decision` is the state of the move.
    pub(crate) fn observe(
        &mut self,
        effect: Effect<'_>,
        elsewhere: &[Document],
        decision: Option<Decision>,
    ) -> Checked {
        let class = &effect.write.class;
        let is_log = *class == self.names.log_class;
        if !is_log && *class != self.names.user_class && *class != self.names.order_class {
            return Ok(());
        }
        if is_live(effect.after, is_log) && elsewhere.iter().any(|document| is_live(document, is_log)) {
            return Err(format!(
                "{class}/{} is in use in two stores",
                effect.after.text("objectId").unwrap_or_default()
            ));
        }
        if self.observe_move(&effect, is_log, decision)? {
            return Ok(());
        }
        if is_log {
            self.log_written(effect)
        } else {
            match effect.before {
                Some(before) => self.document_changed(effect, before),
                None => self.document_created(effect),
            }
        }
    }

    /// Checks a write of a mover, which must change no money. False if the write is not a mover's.
    fn observe_move(
        &mut self,
        effect: &Effect<'_>,
        is_log: bool,
        decision: Option<Decision>,
    ) -> Result<bool, String> {
        let fenced = |document: &Document| is_fenced(document, is_log);
        let was_fenced = effect.before.is_some_and(fenced);
        if fenced(effect.after) {
            if let (Some(before), false) = (effect.before, was_fenced) {
                self.coverage.insert(Coverage::Fenced);
                self.check_unchanged(effect, before, is_log)?;
            }
            return Ok(true);
        }
        if !was_fenced {
            return Ok(false);
        }
        let resolution = decision.map(|decision| decision.resolution);
        let allowed = match (effect.store, resolution) {
            (0, Some(Resolution::RolledBack)) => true,
            // A later attempt runs, and has not fenced this document yet.
            (0, Some(Resolution::Open)) => decision.is_some_and(|decision| decision.attempt > Attempt::FIRST),
            (_, resolution) => effect.store > 0 && resolution == Some(Resolution::Final),
        };
        if !allowed {
            return Err(format!(
                "{}/{} is opened in store {}, where the move is {resolution:?}",
                effect.write.class,
                effect.after.text("objectId").unwrap_or_default(),
                effect.store
            ));
        }
        self.coverage.insert(if effect.store == 0 {
            Coverage::RolledBack
        } else {
            Coverage::Opened
        });
        self.check_unchanged(effect, effect.after, is_log)?;
        if is_log {
            let log = self.read(effect.after)?;
            self.stores.insert(log.id.clone(), effect.store);
        }
        Ok(true)
    }

    /// Checks a copy that a mover places: fenced, or a closed log that is known.
    pub(crate) fn placed(&mut self, class: &ClassName, document: &Document, store: usize) -> Checked {
        if *class != self.names.log_class {
            let has_money = *class == self.names.user_class || *class == self.names.order_class;
            if has_money && is_live(document, false) {
                return Err(format!("{class}/{:?} is placed in use", document.object_id()));
            }
            return Ok(());
        }
        let id = document.object_id().ok_or("a log without an id")?;
        for field in ["key", "requestKey"] {
            if let Some(key) = document.text(field) {
                self.keys.insert((store, key.to_owned()), id.clone());
            }
        }
        if is_fenced(document, true) {
            return Ok(());
        }
        let log = self.read(document)?;
        if log.state != LogState::Closed || self.logs.get(&id) != Some(&log) {
            return Err(format!("{id} is placed as another than it was"));
        }
        self.stores.insert(id, store);
        Ok(())
    }

    /// Checks that a document which is fenced or opened equals the one last in use.
    fn check_unchanged(&self, effect: &Effect<'_>, document: &Document, is_log: bool) -> Checked {
        let id = document.object_id().ok_or("a document without an id")?;
        let target = Target::new(&effect.write.class, &id);
        let is_same = if is_log {
            let log = self.read(document)?;
            self.logs
                .get(&id)
                .is_some_and(|known| *known == log && known.state == log.state)
        } else {
            let found = self.holdings(&effect.write.class, document);
            self.last_in_use.get(&target).is_some_and(|known| *known == found)
        };
        if is_same {
            return Ok(());
        }
        Err(format!(
            "{target} is not what it was when it was last in use: {document:?}, and before {:?}",
            self.last_in_use.get(&target)
        ))
    }

    fn read(&self, document: &Document) -> Result<Log, String> {
        Log::from_document(document, &self.names)
            .map_err(|error| format!("a log that cannot be read is written: {error}"))
    }

    fn holdings(&self, class: &ClassName, document: &Document) -> Holdings {
        let fields = self.money_fields(class).iter();
        Holdings {
            money: fields.map(|field| (*field, integer(document, field))).collect(),
            marks: marks(document),
        }
    }

    fn document_created(&mut self, effect: Effect<'_>) -> Checked {
        for field in self.money_fields(&effect.write.class) {
            if integer(effect.after, field) != 0 {
                return Err(format!("a document is created with {field}"));
            }
        }
        self.record_in_use(&effect);
        Ok(())
    }

    fn record_in_use(&mut self, effect: &Effect<'_>) {
        let class = &effect.write.class;
        if let Some(id) = effect.after.object_id() {
            let has = self.holdings(class, effect.after);
            self.last_in_use.insert(Target::new(class, &id), has);
        }
    }

    fn money_fields(&self, class: &ClassName) -> &'static [&'static str] {
        if *class == self.names.user_class {
            &["account", "frozen"]
        } else {
            &["refunded"]
        }
    }

    fn document_changed(&mut self, effect: Effect<'_>, before: &Document) -> Checked {
        let Action::Update { id, update, .. } = &effect.write.action else {
            return Err("a document with money is deleted".into());
        };
        let target = Target::new(&effect.write.class, id);
        let diff: BTreeMap<&str, i64> = self
            .money_fields(&effect.write.class)
            .iter()
            .map(|field| (*field, integer(effect.after, field) - integer(before, field)))
            .filter(|(_, diff)| *diff != 0)
            .collect();
        if effect.write.class == self.names.user_class {
            self.total += diff.values().sum::<i64>();
        }
        self.check_unchanged(&effect, before, false)?;
        self.record_in_use(&effect);
        self.bounds(&target, effect.after)?;
        match marks_added(update)?.as_slice() {
            [] => self.unmarked(&target, &effect, before, &diff)?,
            [(MarkKind::Taken, log)] => {
                self.coverage.insert(Coverage::PerDocument);
                self.applied(log, &target, before, &diff, effect.commit_log == Some(log))?;
            }
            [(MarkKind::Taken, log), (MarkKind::Void, void)] if log == void => {
                self.nothing_moved(&target, &diff)?;
                self.refused(log, &target)?;
            }
            [(MarkKind::Undo, log)] => self.reversed(log, &target, &diff)?,
            other => return Err(format!("{target} gets the marks {other:?} at once")),
        }
        if self.total != self.moved {
            return Err(format!(
                "money is not conserved: {} on all accounts, the legs sum up to {}",
                self.total, self.moved
            ));
        }
        Ok(())
    }

    fn bounds(&self, target: &Target, after: &Document) -> Checked {
        let most = if target.class == self.names.order_class {
            integer(after, "amount")
        } else {
            i64::MAX
        };
        for field in ["account", "frozen", "refunded"] {
            let units = integer(after, field);
            if units < 0 || units > most {
                return Err(format!("{field} of {target} is {units}"));
            }
        }
        Ok(())
    }

    fn nothing_moved(&self, target: &Target, diff: &BTreeMap<&str, i64>) -> Checked {
        if diff.is_empty() {
            return Ok(());
        }
        Err(format!("money on {target} moves for no payment: {diff:?}"))
    }

    /// Checks a write that adds no mark: a leg of a commit, an order's status, a pruning.
    fn unmarked(
        &mut self,
        target: &Target,
        effect: &Effect<'_>,
        before: &Document,
        diff: &BTreeMap<&str, i64>,
    ) -> Checked {
        if let Some(log) = effect.commit_log
            && (!diff.is_empty() || self.is_taken_from(log, target))
        {
            self.coverage.insert(Coverage::Atomic);
            return self.applied(log, target, before, diff, true);
        }
        self.nothing_moved(target, diff)?;
        let gone: BTreeSet<(MarkKind, ObjectId)> =
            marks(before).difference(&marks(effect.after)).cloned().collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.coverage.insert(Coverage::Pruned);
        if let Some((_, log)) = gone
            .iter()
            .find(|(_, log)| self.logs.get(log).is_none_or(|log| log.state < LogState::Closed))
        {
            return Err(format!(
                "the mark of {log}, which is open, is pruned from {target}"
            ));
        }
        if integer(effect.after, PAY_EPOCH) <= integer(before, PAY_EPOCH) {
            return Err(format!(
                "marks of {target} are pruned, and its epoch is not raised"
            ));
        }
        Ok(())
    }

    /// True if the leg is conditional. A log that is created as failed changes nothing: its commit only shows that the
    /// document is the same as when the payment was refused.
    fn is_taken_from(&self, log: &ObjectId, target: &Target) -> bool {
        !self.logs.get(log).is_some_and(Log::failed)
            && self.leg(log, target).is_ok_and(|leg| leg.is_conditional())
    }

    fn leg(&self, log: &ObjectId, target: &Target) -> Result<Leg, String> {
        let known = self
            .logs
            .get(log)
            .ok_or(format!("{target} gets a mark of {log}, which is not there"))?;
        let mut legs = known.intent.legs.as_slice().iter();
        legs.find(|leg| leg.target == *target)
            .cloned()
            .ok_or(format!("{log} has no leg on {target}"))
    }

    fn applied(
        &mut self,
        log: &ObjectId,
        target: &Target,
        before: &Document,
        diff: &BTreeMap<&str, i64>,
        commit_log: bool,
    ) -> Checked {
        let leg = self.leg(log, target)?;
        let progress = self.legs.get(&(log.clone(), target.clone())).copied();
        let known = &self.logs[log];
        if let Some(progress) = progress {
            return Err(format!(
                "the leg of {log} on {target} is applied again: it was {progress:?}"
            ));
        }
        if known.failed() {
            return Err(format!(
                "the leg of {log} on {target} is applied after the payment has failed"
            ));
        }
        if !commit_log && known.state > LogState::Funded {
            return Err(format!("a leg of {log} is applied in state {:?}", known.state));
        }
        check_moved(
            log,
            target,
            diff,
            leg.add.iter().map(|(field, add)| (field.as_str(), add.units())),
        )?;
        for (field, bound) in &leg.require {
            let units = integer(before, field);
            if bound.at_least.is_some_and(|least| units < least)
                || bound.at_most.is_some_and(|most| units > most)
            {
                return Err(format!(
                    "{log} takes from {target}, whose {field} is {units}: {bound:?}"
                ));
            }
        }
        if known.intent.kind == Kind::Recharge {
            self.money_came_in(&known.clone())?;
        }
        self.count_moved(target, diff);
        self.legs
            .insert((log.clone(), target.clone()), LegProgress::Applied);
        Ok(())
    }

    /// Checks that a gateway was paid for the recharge, and that no payment of a gateway is credited twice.
    fn money_came_in(&mut self, log: &Log) -> Checked {
        let trade_no = log
            .trade_no
            .as_ref()
            .ok_or(format!("{} is credited without tradeNo", log.id))?;
        let (_, paid) = self
            .trades
            .get(trade_no)
            .ok_or(format!("{trade_no} is credited, and no gateway was paid"))?;
        if log.intent.amount.map(paylog::payment::Amount::units) != Some(*paid) {
            return Err(format!(
                "{} is credited with another amount than was paid",
                log.id
            ));
        }
        match self.credited.insert(trade_no.clone(), log.id.clone()) {
            Some(before) if before != log.id => Err(format!(
                "{trade_no} is credited twice: by {before} and by {}",
                log.id
            )),
            _ => Ok(()),
        }
    }

    fn count_moved(&mut self, target: &Target, diff: &BTreeMap<&str, i64>) {
        if target.class == self.names.user_class {
            self.moved += diff.values().sum::<i64>();
        }
    }

    fn refused(&mut self, log: &ObjectId, target: &Target) -> Checked {
        let leg = self.leg(log, target)?;
        if !leg.is_conditional() {
            return Err(format!(
                "the leg of {log} on {target} is refused, and asks for nothing"
            ));
        }
        self.coverage.insert(Coverage::Refusal);
        match self
            .legs
            .insert((log.clone(), target.clone()), LegProgress::Refused)
        {
            None => Ok(()),
            Some(before) => Err(format!(
                "the leg of {log} on {target} is refused: it was {before:?}"
            )),
        }
    }

    fn reversed(&mut self, log: &ObjectId, target: &Target, diff: &BTreeMap<&str, i64>) -> Checked {
        let leg = self.leg(log, target)?;
        check_moved(
            log,
            target,
            diff,
            leg.add.iter().map(|(field, add)| (field.as_str(), -add.units())),
        )?;
        self.coverage.insert(Coverage::Reversal);
        self.count_moved(target, diff);
        match self
            .legs
            .insert((log.clone(), target.clone()), LegProgress::Reversed)
        {
            Some(LegProgress::Applied) => Ok(()),
            before => Err(format!(
                "the leg of {log} on {target} is reversed: it was {before:?}"
            )),
        }
    }

    fn log_written(&mut self, effect: Effect<'_>) -> Checked {
        let log = self.read(effect.after)?;
        self.stores.insert(log.id.clone(), effect.store);
        let before = self.logs.get(&log.id).cloned();
        self.logs.insert(log.id.clone(), log.clone());
        match (before, effect.before) {
            (None, None) => self.log_created(&log, effect.store, effect.commit_log)?,
            (Some(before), Some(_)) => self.log_changed(&before, &log)?,
            _ => {
                return Err(format!(
                    "{} is created twice, or changed before it was created",
                    log.id
                ));
            }
        }
        if log.stuck.is_some() {
            self.coverage.insert(Coverage::Stuck);
        }
        // The other writes of a commit follow the log's.
        if effect.commit_log.is_none() {
            self.consistent(&log)?;
        }
        Ok(())
    }

    fn log_created(&mut self, log: &Log, store: usize, commit_log: Option<&ObjectId>) -> Checked {
        self.coverage.insert(Coverage::Kind(log.intent.kind));
        let how = |name: &str| log.intent.params.get(name).and_then(Value::as_str) == Some("expired");
        if how("to") || how("how") {
            self.coverage.insert(Coverage::Expired);
        }
        if let Some(other) = self.keys.insert((store, log.intent.key.clone()), log.id.clone()) {
            return Err(format!("{other} and {} have the key {}", log.id, log.intent.key));
        }
        if let Some(key) = &log.intent.request_key
            && let Some(other) = self.keys.insert((store, key.clone()), log.id.clone())
            && other != log.id
        {
            return Err(format!("{other} and {} have the request key {key}", log.id));
        }
        if !log.failed() && !legs_add_up(&log.intent, &self.names) {
            return Err(format!("the legs of {} do not add up: {:?}", log.id, log.intent));
        }
        if log.intent.key.starts_with("trade:") {
            self.coverage.insert(Coverage::ExtraPayment);
        }
        if commit_log.is_none() && log.state >= LogState::Applied && !log.failed() {
            return Err(format!("{} is created as applied, and not in a commit", log.id));
        }
        self.one_attempt_at_a_time(log, store)?;
        self.ends_what_succeeded(log)
    }

    /// Checks that an attempt at an order begins only after all earlier attempts have failed.
    fn one_attempt_at_a_time(&self, log: &Log, store: usize) -> Checked {
        let Some((stem, n)) = log
            .intent
            .key
            .strip_prefix("order:")
            .and_then(|key| key.rsplit_once(':'))
        else {
            return Ok(());
        };
        let n: u32 = n.parse().map_err(|_| format!("the key {}", log.intent.key))?;
        for earlier in 1..n {
            let key = format!("order:{stem}:{earlier}");
            if self.log_under(store, &key).is_none_or(|log| !log.failed()) {
                return Err(format!(
                    "attempt {n} at order {stem} while attempt {earlier} has not failed"
                ));
            }
        }
        Ok(())
    }

    /// Checks that a settlement ends a hold, or a withdrawal, that succeeded.
    fn ends_what_succeeded(&self, log: &Log) -> Checked {
        let Some(held) = log.intent.key.strip_prefix("settle:") else {
            return Ok(());
        };
        let held = ObjectId::parse(held).ok().and_then(|id| self.logs.get(&id));
        if held.is_some_and(|held| {
            matches!(held.intent.kind, Kind::Hold | Kind::Withdraw)
                && held.verdict == Some(Verdict::Succeeded)
        }) {
            return Ok(());
        }
        Err(format!("{} ends a hold that has not succeeded", log.id))
    }

    fn log_changed(&self, before: &Log, after: &Log) -> Checked {
        let id = &after.id;
        if before.intent != after.intent {
            return Err(format!(
                "{id} is another payment than before: {before:?} {after:?}"
            ));
        }
        if after.state < before.state {
            return Err(format!("{id} falls from {:?} to {:?}", before.state, after.state));
        }
        if before.verdict.is_some() && before.verdict != after.verdict {
            return Err(format!("the outcome of {id} changes"));
        }
        if before.trade_no.is_some() && before.trade_no != after.trade_no {
            return Err(format!("the tradeNo of {id} changes"));
        }
        if before.state == LogState::Closed && before != after {
            return Err(format!("{id} is changed after it was closed"));
        }
        Ok(())
    }

    /// Checks that the legs of a log are in the condition that its state claims.
    pub(crate) fn consistent(&self, log: &Log) -> Checked {
        let id = &log.id;
        let legs = log.intent.legs.as_slice();
        let progress = |leg: &Leg| self.legs.get(&(id.clone(), leg.target.clone())).copied();
        if log.failed() {
            let applied = legs
                .iter()
                .find(|leg| progress(leg) == Some(LegProgress::Applied));
            return match applied {
                Some(leg) => Err(format!("{id} has failed, and its leg on {} stands", leg.target)),
                None => Ok(()),
            };
        }
        if log.state >= LogState::Funded && log.intent.kind == Kind::Recharge && log.trade_no.is_none() {
            return Err(format!("{id} is funded without tradeNo"));
        }
        let needed = match log.state {
            LogState::Created | LogState::Ordered => 0,
            LogState::Funded => log.intent.legs.conditional_count(),
            LogState::Applied | LogState::Settled | LogState::Closed => legs.len(),
        };
        for leg in &legs[..needed] {
            // An unconditional leg of a commit that adds nothing leaves no trace.
            let traceless = leg.add.values().all(|add| add.units() == 0) && !leg.is_conditional();
            if progress(leg) != Some(LegProgress::Applied) && !traceless {
                return Err(format!(
                    "{id} is in state {:?}, and its leg on {} is {:?}",
                    log.state,
                    leg.target,
                    progress(leg)
                ));
            }
        }
        if log.state == LogState::Closed && log.intent.kind != Kind::Cancel && !self.notified.contains(id) {
            return Err(format!("{id} is closed, and afterPayment was not called"));
        }
        Ok(())
    }

    /// True if a document has more marks than are allowed once no payment is under way.
    pub(crate) fn is_crowded(&self, document: &Document, threshold: usize) -> bool {
        let held = marks(document);
        let logs: BTreeSet<&ObjectId> = held.iter().map(|(_, log)| log).collect();
        let open = logs
            .iter()
            .filter(|log| {
                self.logs
                    .get(**log)
                    .is_some_and(|log| log.state < LogState::Closed)
            })
            .count();
        held.len() > threshold + 3 * open
    }
}

/// True if the document is in use in its store. A closed log never is.
pub(crate) fn is_live(document: &Document, is_log: bool) -> bool {
    if is_log {
        integer(document, "state") < i64::from(LogState::Closed.number())
    } else {
        integer(document, PAY_EPOCH) >= 0
    }
}

pub(crate) fn is_fenced(document: &Document, is_log: bool) -> bool {
    if is_log {
        integer(document, "state") >= LogState::FENCE
    } else {
        integer(document, PAY_EPOCH) < 0
    }
}

/// Checks that exactly the amounts of the leg have moved.
fn check_moved<'a>(
    log: &ObjectId,
    target: &Target,
    diff: &BTreeMap<&str, i64>,
    wanted: impl Iterator<Item = (&'a str, i64)>,
) -> Checked {
    let wanted: BTreeMap<&str, i64> = wanted.filter(|(_, units)| *units != 0).collect();
    if *diff == wanted {
        return Ok(());
    }
    Err(format!(
        "{log} moves {diff:?} on {target}, its leg says {wanted:?}"
    ))
}

pub(crate) fn integer(document: &Document, field: &str) -> i64 {
    document.integer(field).unwrap_or(0)
}

pub(crate) fn marks(document: &Document) -> BTreeSet<(MarkKind, ObjectId)> {
    let Some(Value::Array(marks)) = document.get(PAYLOGS) else {
        return BTreeSet::new();
    };
    marks
        .iter()
        .filter_map(|mark| MarkKind::parse(mark.as_str()?))
        .collect()
}

/// The marks that an update adds, in order.
fn marks_added(update: &Update) -> Result<Vec<(MarkKind, ObjectId)>, String> {
    let mut added = Vec::new();
    for (path, op) in &update.ops {
        let (PAYLOGS, Op::AddUnique(marks)) = (path.as_str(), op) else {
            continue;
        };
        for mark in marks {
            let parsed = mark.as_str().and_then(MarkKind::parse);
            added.push(parsed.ok_or(format!("{mark} is no mark"))?);
        }
    }
    Ok(added)
}
