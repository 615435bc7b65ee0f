//! Comparison of one class: objects page by page, then its relations.

use std::collections::{BTreeMap, BTreeSet};

use crate::migration::canonical_form::SetHash;
use crate::migration::link_pages::LinkPages;
use crate::migration::pull::{PullError, Source};
use crate::migration::verification::class_report::{
    ClassReport, DifferenceKind, Differences, RelationReport,
};
use crate::migration::verification::comparison_rules::ComparisonRules;
use crate::migration::verification::dangling_pointers::DanglingPointerCounter;
use crate::migration::verification::{LoginReport, MoneyTotals};
use crate::model::{ClassName, Document, ObjectId, Pointer, Timestamp};
use crate::store::load::{Link, Loader};

/// Totals over all classes.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) here: MoneyTotals,
    pub(super) there: MoneyTotals,
    pub(super) logins: LoginReport,
    pub(super) dangling: DanglingPointerCounter,
}

/// Comparison of one class on both sides.
pub(super) struct ClassComparison<'a> {
    store: &'a dyn Loader,
    class: &'a ClassName,
    /// The source, if there is one and it has the class.
    source: Option<&'a Source>,
    options: ComparisonOptions<'a>,
    here: SetHash,
    there: SetHash,
    here_links: SetHash,
    there_links: SetHash,
    differences: Differences,
    relations: Vec<(String, ClassName, RelationReport)>,
}

/// Options that all classes share.
#[derive(Clone, Copy, Debug)]
pub(super) struct ComparisonOptions<'a> {
    pub(super) rules: &'a ComparisonRules<'a>,
    /// True if there is a source; without one nothing is compared.
    pub(super) has_source: bool,
    /// True if relations are compared.
    pub(super) compares_relations: bool,
    /// Time of the move: objects written here afterwards are not compared.
    pub(super) moved_at: Option<Timestamp>,
}

impl ComparisonOptions<'_> {
    /// True if an object was written here after the app has moved.
    fn is_written_since_move(&self, here: &Document) -> bool {
        self.moved_at.is_some() && here.updated_at() > self.moved_at
    }
}

impl<'a> ClassComparison<'a> {
    pub(super) fn new(
        store: &'a dyn Loader,
        class: &'a ClassName,
        source: Option<&'a Source>,
        options: ComparisonOptions<'a>,
    ) -> Self {
        let schema = store.schema();
        let relations = schema
            .classes
            .get(class)
            .into_iter()
            .flat_map(|class| class.relations())
            .map(|(key, target)| (key.to_owned(), target.clone(), RelationReport::default()))
            .collect();
        Self {
            store,
            class,
            source,
            options,
            here: SetHash::default(),
            there: SetHash::default(),
            here_links: SetHash::default(),
            there_links: SetHash::default(),
            differences: Differences::default(),
            relations,
        }
    }

    /// Compares the objects of a range of ids.
    pub(super) async fn add_page(
        &mut self,
        here: Vec<Document>,
        there: Vec<Document>,
        totals: &mut Totals,
    ) -> Result<(), PullError> {
        let names = self.options.rules.names;
        for document in &here {
            totals.here.add(names, self.class, document);
            if *self.class == names.user_class {
                totals.logins.add(document);
            }
        }
        totals.dangling.add_page(self.store, self.class, &here).await?;
        for document in &there {
            totals.there.add(names, self.class, document);
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
            self.compare_relations(&ids, &here, &there).await?;
        }
        for id in ids {
            self.compare_object(&id, here.remove(&id), there.remove(&id));
        }
        Ok(())
    }

    fn compare_object(&mut self, id: &ObjectId, here: Option<Document>, there: Option<Document>) {
        let is_written_since = here
            .as_ref()
            .is_some_and(|document| self.options.is_written_since_move(document));
        let rules = self.options.rules;
        let hashed = |document: Option<Document>| {
            document.map(|document| {
                let unfenced = rules.unfenced(self.class, document);
                (rules.hash(self.class, &unfenced), unfenced)
            })
        };
        let (here, there) = (hashed(here), hashed(there));
        if let Some((hash, _)) = &here {
            self.here.add_hash(*hash);
        }
        if let Some((hash, _)) = &there {
            self.there.add_hash(*hash);
        }
        if !self.options.has_source {
            return;
        }
        match (here, there) {
            (Some((one, _)), Some((other, _))) if one == other => {}
            (Some(_), _) if is_written_since => self.differences.written_since += 1,
            (Some((_, here)), Some((_, there))) => {
                let keys = rules.differing_keys(self.class, &here, &there);
                self.differences.add(id, DifferenceKind::Differs, keys);
            }
            (Some(_), None) => self.differences.add(id, DifferenceKind::OnlyHere, Vec::new()),
            (None, Some(_)) => self.differences.add(id, DifferenceKind::OnlyThere, Vec::new()),
            (None, None) => {}
        }
    }

    /// Compares the relations of the objects that are on both sides.
    async fn compare_relations(
        &mut self,
        ids: &BTreeSet<ObjectId>,
        here: &BTreeMap<ObjectId, Document>,
        there: &BTreeMap<ObjectId, Document>,
    ) -> Result<(), PullError> {
        let Some(source) = self.source.filter(|_| self.options.compares_relations) else {
            return Ok(());
        };
        let owners: Vec<ObjectId> = ids
            .iter()
            .filter(|id| here.contains_key(*id) && there.contains_key(*id))
            .cloned()
            .collect();
        for (key, targets, relation) in &mut self.relations {
            let at_source = source.related_all(self.class, &owners, key, targets).await?;
            for (id, ids) in owners.iter().zip(at_source) {
                let owner = Pointer {
                    class_name: self.class.clone(),
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
                let mut here_links = self.store.related(&owner, key).await?;
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
                let is_written_since = here
                    .get(id)
                    .is_some_and(|here| self.options.is_written_since_move(here));
                if here_links != there && !is_written_since {
                    self.differences
                        .add(id, DifferenceKind::Relation, vec![key.clone()]);
                }
            }
        }
        Ok(())
    }

    /// Counts all links here, and those that dangle, and returns the report.
    pub(super) async fn finish(mut self) -> Result<ClassReport, PullError> {
        for (key, _, relation) in &mut self.relations {
            let mut pages = LinkPages::new(self.store, self.class, key);
            while let Some(links) = pages.next().await? {
                let targets: Vec<Pointer> = links.iter().map(|link| link.target.clone()).collect();
                let exist = self.store.exist(&targets).await?;
                relation.here += links.len() as u64;
                relation.dangling += exist.iter().filter(|exists| !**exists).count() as u64;
            }
        }
        let has_source = self.options.has_source;
        Ok(ClassReport {
            class: self.class.clone(),
            here: self.here.count(),
            there: has_source.then(|| self.there.count()),
            hash_here: self.here.to_string(),
            hash_there: has_source.then(|| self.there.to_string()),
            links_hash_here: (self.here_links.count() > 0).then(|| self.here_links.to_string()),
            links_hash_there: (self.there_links.count() > 0).then(|| self.there_links.to_string()),
            relations: self
                .relations
                .into_iter()
                .map(|(key, _, relation)| (key, relation))
                .collect(),
            differing: self.differences.count,
            written_since: self.differences.written_since,
            differences: self.differences.listed,
        })
    }
}
