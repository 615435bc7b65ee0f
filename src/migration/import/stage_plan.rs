//! Facts about the store and the files that a stage needs before it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::migration::file_names::FileContent;
use crate::migration::import::ImportError;
use crate::migration::import::input_files::InputFiles;
use crate::migration::import::records::{self, Position, RecordContent};
use crate::migration::import::stage::Stage;
use crate::model::{Class, ClassName, ColumnType, ObjectId, Pointer};
use crate::store::load::Loader;

/// Most rows of a relation file that are sampled to find the relation's target class.
const SAMPLE_ROWS: usize = 100;

/// Facts that a stage needs before it is read.
#[derive(Clone, Debug, Default)]
pub(super) struct StagePlan {
    /// Classes that contained objects before the import.
    pub(super) occupied: BTreeSet<ClassName>,
    /// Target class of each relation, by owning class and column.
    pub(super) targets: BTreeMap<(ClassName, String), ClassName>,
}

impl StagePlan {
    pub(super) async fn new(
        store: &dyn Loader,
        input: &InputFiles,
        stage: Stage,
        occupied: &BTreeSet<ClassName>,
    ) -> Result<Self, ImportError> {
        let mut plan = Self {
            occupied: occupied.clone(),
            targets: BTreeMap::new(),
        };
        if stage != Stage::Links {
            return Ok(plan);
        }
        let schema = store.schema();
        for (class, key, sample) in link_samples(input)? {
            let column = schema
                .classes
                .get(&class)
                .and_then(|class| class.columns.get(&key).cloned());
            let initial = || Class::initial(class.clone()).columns.get(&key).cloned();
            let target = match column.or_else(initial).map(|column| column.column_type) {
                Some(ColumnType::Relation { class_name }) => Some(class_name),
                _ => only_class_with(store, schema.classes.keys(), &sample).await?,
            };
            if let Some(target) = target {
                plan.targets.insert((class, key), target);
            }
        }
        Ok(plan)
    }
}

/// Returns the first target ids of each relation file.
fn link_samples(input: &InputFiles) -> Result<Vec<(ClassName, String, Vec<ObjectId>)>, ImportError> {
    let mut samples = Vec::new();
    input.for_each(
        |file| Stage::Links.reads(&file.content),
        None,
        |file, reader| {
            let FileContent::Links(format, class, key) = &file.content else {
                return Ok::<_, ImportError>(ControlFlow::Continue(()));
            };
            let mut records = records::open(reader, *format, Position::default())?;
            let mut ids = Vec::new();
            while ids.len() < SAMPLE_ROWS
                && let Some(record) = records.next()?
            {
                if let RecordContent::Object(document) = record.content
                    && let Some(id) = document.text("relatedId").and_then(|id| ObjectId::parse(id).ok())
                {
                    ids.push(id);
                }
            }
            samples.push((class.clone(), key.clone(), ids));
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(samples)
}

/// Returns the only class that contains any of these objects; `None` if no class does, or several do.
async fn only_class_with(
    store: &dyn Loader,
    classes: impl Iterator<Item = &ClassName>,
    ids: &[ObjectId],
) -> Result<Option<ClassName>, ImportError> {
    let mut found = Vec::new();
    for class in classes {
        let pointers: Vec<Pointer> = ids
            .iter()
            .map(|id| Pointer {
                class_name: class.clone(),
                object_id: id.clone(),
            })
            .collect();
        if store.exist(&pointers).await?.contains(&true) {
            found.push(class.clone());
        }
    }
    Ok((found.len() == 1).then(|| found.remove(0)))
}
