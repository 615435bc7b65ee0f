//! Reads both sides and compares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::migration::canonical_form::SetHash;
use crate::migration::pull::deletions::between;
use crate::migration::pull::observer::NoObserver;
use crate::migration::pull::source::OrderedScan;
use crate::migration::pull::{Event, Observer, PullError, Source};
use crate::migration::verification::class_report::{DifferenceKind, Differences, Relation};
use crate::migration::verification::comparison_rules::ComparisonRules;
use crate::migration::verification::dangling_pointers::DanglingPointerCounter;
use crate::migration::verification::report::BothMoneyTotals;
use crate::migration::verification::{ClassReport, LoginReport, MoneyTotals, VerificationReport};
use crate::model::{ClassName, Document, Filter, ObjectId, Pointer, Query, Timestamp};
use crate::payment::Rules;
use crate::store::load::{Link, Loader};

/// What proves.
#[derive(Clone, Debug)]
pub struct Verifier {
    store: Arc<dyn Loader>,
    rules: Arc<Rules>,
    source: Option<Source>,
    left_out: Vec<ClassName>,
    relations: bool,
    moved_at: Option<Timestamp>,
    moved: bool,
    observer: Arc<dyn Observer>,
}

/// What is gathered while the classes are read.
#[derive(Debug, Default)]
struct Gathered {
    here: MoneyTotals,
    there: MoneyTotals,
    logins: LoginReport,
    dangling: DanglingPointerCounter,
}

impl Verifier {
    /// Of what is in `store` alone.
    #[must_use]
    pub fn new(store: Arc<dyn Loader>, rules: Arc<Rules>) -> Self {
        Self {
            store,
            rules,
            source: None,
            left_out: Vec::new(),
            relations: true,
            moved_at: None,
            moved: false,
            observer: Arc::new(NoObserver),
        }
    }

    /// Against this source, but for these classes.
    #[must_use]
    pub fn against(mut self, source: Source, left_out: Vec<ClassName>) -> Self {
        self.source = Some(source);
        self.left_out = left_out;
        self
    }

    /// Without the relations of the source: each costs a request for every object that could have one.
    #[must_use]
    pub fn without_relations(mut self) -> Self {
        self.relations = false;
        self
    }

    /// After the app has moved, at this time: what was written here since is counted and not compared.
    #[must_use]
    pub fn after_move(mut self, at: Option<Timestamp>) -> Self {
        self.moved = true;
        self.moved_at = at;
        self
    }

    /// Who is told how far it is.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Reads everything, on both sides where there are two. Objects that are written meanwhile may count as different:
    /// look again.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn verify(&self) -> Result<VerificationReport, PullError> {
        let schema = self.store.schema();
        let mut names: BTreeSet<ClassName> = schema.classes.keys().cloned().collect();
        let mut shows_logins = true;
        let mut there: BTreeMap<ClassName, Document> = BTreeMap::new();
        if let Some(source) = &self.source {
            shows_logins = source.shows_logins().await?;
            there = source.classes().await?;
            // What a server keeps for itself (the tasks of its queue) no API shows.
            names.retain(ClassName::is_reachable);
            names.extend(there.keys().cloned());
            names.retain(|name| !self.left_out.contains(name));
        }
        let view = ComparisonRules {
            rules: &self.rules,
            shows_logins,
            moved: self.moved,
        };
        let mut gathered = Gathered::default();
        let mut classes = Vec::new();
        for name in &names {
            self.observer.on_event(Event::ClassStarted {
                class: name,
                total: None,
            });
            let source = self.source.as_ref().filter(|_| there.contains_key(name));
            classes.push(self.class(name, source, &view, &mut gathered).await?);
            self.observer.on_event(Event::ClassFinished { class: name });
        }
        let mut left_out = Vec::new();
        if self.source.is_some() {
            left_out = view.left_out();
            if !self.relations {
                left_out.push("relations of the source".to_owned());
            }
            left_out.extend(self.left_out.iter().map(|class| format!("the class {class}")));
        }
        let there = self.source.as_ref().map(|_| gathered.there);
        let side = BothMoneyTotals {
            here: gathered.here,
            there,
            moved: self.moved,
        };
        Ok(VerificationReport::new(
            classes,
            side,
            gathered.logins,
            gathered.dangling.finish(),
            left_out,
        ))
    }

    async fn class(
        &self,
        name: &ClassName,
        source: Option<&Source>,
        view: &ComparisonRules<'_>,
        gathered: &mut Gathered,
    ) -> Result<ClassReport, PullError> {
        let mut both = ClassComparison {
            prover: self,
            name,
            source,
            view,
            here: SetHash::default(),
            there: SetHash::default(),
            here_links: SetHash::default(),
            there_links: SetHash::default(),
            found: Differences::default(),
            relations: self.relation_columns(name),
        };
        let mut scan = source.map(|source| source.in_order(name, Filter::all(), None));
        let mut last: Option<ObjectId> = None;
        loop {
            let (page, upto) = next_page(&mut scan).await?;
            let is_end = page.is_none();
            let here = match (&upto, is_end) {
                // What is behind the last object of the source, or all of it, a page at a time.
                (None, _) | (_, true) => {
                    let filter = Filter::all().after_id(last.as_ref());
                    let query = Query::new(filter).order_by("objectId").limit(Query::LIMIT_MAX);
                    self.store.find(name, &query).await?
                }
                (Some(upto), false) => between(&*self.store, name, last.as_ref(), Some(upto)).await?,
            };
            let read = here.len();
            let end_here = here.last().and_then(Document::object_id);
            both.page(here, page.unwrap_or_default(), gathered).await?;
            self.observer.on_event(Event::RowsRead {
                class: name,
                rows: read,
            });
            if is_end && read < Query::LIMIT_MAX as usize {
                break;
            }
            last = if is_end { end_here } else { upto };
        }
        both.finish().await
    }

    /// Whether an object here was written after the app has moved.
    fn is_written_since(&self, here: &Document) -> bool {
        self.moved && self.moved_at.is_some() && here.updated_at() > self.moved_at
    }

    fn relation_columns(&self, name: &ClassName) -> Vec<(String, ClassName, Relation)> {
        let schema = self.store.schema();
        let class = schema.classes.get(name).into_iter();
        let relations = class.flat_map(|class| class.relations());
        relations
            .map(|(key, target)| (key.to_owned(), target.clone(), Relation::default()))
            .collect()
    }
}

/// The next page of the source and the id that it ends with; nothing without a source, or at its end.
async fn next_page(
    scan: &mut Option<OrderedScan>,
) -> Result<(Option<Vec<Document>>, Option<ObjectId>), PullError> {
    let Some(reading) = scan else {
        return Ok((None, None));
    };
    let page = reading.next().await?;
    if page.is_none() {
        *scan = None;
    }
    let upto = page.iter().flatten().last().and_then(Document::object_id);
    Ok((page, upto))
}

/// A class, as it is compared.
struct ClassComparison<'a> {
    prover: &'a Verifier,
    name: &'a ClassName,
    source: Option<&'a Source>,
    view: &'a ComparisonRules<'a>,
    here: SetHash,
    there: SetHash,
    here_links: SetHash,
    there_links: SetHash,
    found: Differences,
    relations: Vec<(String, ClassName, Relation)>,
}

impl ClassComparison<'_> {
    /// Compares the objects of a range of ids.
    async fn page(
        &mut self,
        here: Vec<Document>,
        there: Vec<Document>,
        gathered: &mut Gathered,
    ) -> Result<(), PullError> {
        let prover = self.prover;
        let rules = &prover.rules;
        for document in &here {
            gathered.here.look(rules, self.name, document);
            if *self.name == rules.user_class {
                gathered.logins.look(document);
            }
        }
        gathered.dangling.look(&*prover.store, self.name, &here).await?;
        for document in &there {
            gathered.there.look(rules, self.name, document);
        }
        let by_id = |documents: Vec<Document>| -> BTreeMap<ObjectId, Document> {
            documents
                .into_iter()
                .filter_map(|document| Some((document.object_id()?, document)))
                .collect()
        };
        let (mut here, mut there) = (by_id(here), by_id(there));
        let ids: BTreeSet<ObjectId> = here.keys().chain(there.keys()).cloned().collect();
        if self.source.is_some() {
            self.links(&ids, &here, &there).await?;
        }
        for id in ids {
            self.object(&id, here.remove(&id), there.remove(&id));
        }
        Ok(())
    }

    fn object(&mut self, id: &ObjectId, here: Option<Document>, there: Option<Document>) {
        let is_since = here
            .as_ref()
            .is_some_and(|document| self.prover.is_written_since(document));
        let seen = |document: Option<Document>| {
            document.map(|document| {
                let opened = self.view.opened(self.name, document);
                (self.view.hash(self.name, &opened), opened)
            })
        };
        let (here, there) = (seen(here), seen(there));
        if let Some((hash, _)) = &here {
            self.here.add_hash(*hash);
        }
        if let Some((hash, _)) = &there {
            self.there.add_hash(*hash);
        }
        if self.source.is_none() && self.prover.source.is_none() {
            return;
        }
        match (here, there) {
            (Some((one, _)), Some((other, _))) if one == other => {}
            (Some(_), _) if is_since => self.found.written_since += 1,
            (Some((_, here)), Some((_, there))) => {
                let keys = self.view.differing_keys(self.name, &here, &there);
                self.found.add(id, DifferenceKind::Differs, keys);
            }
            (Some(_), None) => self.found.add(id, DifferenceKind::OnlyHere, Vec::new()),
            (None, Some(_)) => self.found.add(id, DifferenceKind::OnlyThere, Vec::new()),
            (None, None) => {}
        }
    }

    /// Compares the relations of a page of objects.
    async fn links(
        &mut self,
        ids: &BTreeSet<ObjectId>,
        here: &BTreeMap<ObjectId, Document>,
        there: &BTreeMap<ObjectId, Document>,
    ) -> Result<(), PullError> {
        let Some(source) = self.source.filter(|_| self.prover.relations) else {
            return Ok(());
        };
        let owners: Vec<ObjectId> = ids
            .iter()
            .filter(|id| here.contains_key(*id) && there.contains_key(*id))
            .cloned()
            .collect();
        for (key, targets, relation) in &mut self.relations {
            let at_source = source.related_all(self.name, &owners, key, targets).await?;
            for (id, ids) in owners.iter().zip(at_source) {
                let owner = Pointer {
                    class_name: self.name.clone(),
                    object_id: id.clone(),
                };
                let there: BTreeSet<Pointer> = ids
                    .into_iter()
                    .map(|object_id| Pointer {
                        class_name: targets.clone(),
                        object_id,
                    })
                    .collect();
                let there: Vec<Pointer> = there.into_iter().collect();
                let mut here_links = self.prover.store.related(&owner, key).await?;
                here_links.sort();
                *relation.there.get_or_insert(0) += there.len() as u64;
                let link = |target: &Pointer| Link {
                    owner: owner.clone(),
                    key: key.clone(),
                    target: target.clone(),
                };
                there
                    .iter()
                    .for_each(|target| self.there_links.add_link(&link(target)));
                here_links
                    .iter()
                    .for_each(|target| self.here_links.add_link(&link(target)));
                let is_since = here
                    .get(id)
                    .is_some_and(|here| self.prover.is_written_since(here));
                if here_links != there && !is_since {
                    self.found.add(id, DifferenceKind::Relation, vec![key.clone()]);
                }
            }
        }
        Ok(())
    }

    /// Counts the links here, all of them, and those that lead nowhere.
    async fn finish(mut self) -> Result<ClassReport, PullError> {
        let store = &*self.prover.store;
        for (key, _, relation) in &mut self.relations {
            let mut after: Option<Link> = None;
            loop {
                let links = store
                    .links(self.name, key, after.as_ref(), Query::LIMIT_MAX)
                    .await?;
                let targets: Vec<Pointer> = links.iter().map(|link| link.target.clone()).collect();
                let exist = store.exist(&targets).await?;
                relation.here += links.len() as u64;
                relation.dangling += exist.iter().filter(|there| !**there).count() as u64;
                let is_last = links.len() < Query::LIMIT_MAX as usize;
                after = links.into_iter().next_back();
                if is_last {
                    break;
                }
            }
        }
        let source = self.prover.source.as_ref();
        Ok(ClassReport {
            class: self.name.clone(),
            here: self.here.count(),
            there: source.map(|_| self.there.count()),
            hash_here: self.here.to_string(),
            hash_there: source.map(|_| self.there.to_string()),
            links_hash_here: (self.here_links.count() > 0).then(|| self.here_links.to_string()),
            links_hash_there: (self.there_links.count() > 0).then(|| self.there_links.to_string()),
            relations: self
                .relations
                .into_iter()
                .map(|(key, _, relation)| (key, relation))
                .collect(),
            differing: self.found.count,
            written_since: self.found.written_since,
            differences: self.found.named,
        })
    }
}
