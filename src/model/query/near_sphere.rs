//! Sorting by the distance from the point of a `$nearSphere`, or by `order`.

use std::cmp::Ordering;
use std::convert::Infallible;

use crate::model::filter::{Area, PathMatch, visit};
use crate::model::{Document, Filter, GeoPoint, KeyPath, OrderKey, Query, Test};

/// The sort order of a `$nearSphere`: by distance from a point.
#[derive(Clone, Copy, Debug)]
pub struct Near<'a> {
    /// The key of the points.
    pub path: &'a KeyPath,
    /// The point from which distances are measured.
    pub centre: GeoPoint,
    /// Maximum distance of results in radians; π if unbounded.
    pub radians_max: f64,
}

impl Near<'_> {
    /// The distance of the document's point in radians; infinite without a point. Of several points the nearest
    /// counts.
    #[must_use]
    pub fn distance(&self, document: &Document) -> f64 {
        let mut nearest = f64::INFINITY;
        let seen: Result<bool, Infallible> = visit(document, self.path, &mut |place| {
            if let PathMatch::Whole(value) | PathMatch::Element(value) = place
                && let Ok(point) = GeoPoint::parse(value)
            {
                nearest = nearest.min(self.centre.radians_to(point));
            }
            Ok(false)
        });
        match seen {
            Ok(_) => nearest,
        }
    }
}

impl Query {
    /// The sort order if `order` is empty: the first `$nearSphere` that every result must satisfy.
    #[must_use]
    pub fn near(&self) -> Option<Near<'_>> {
        if !self.order.is_empty() {
            return None;
        }
        near(&self.filter)
    }

    /// Sorts documents in the query's order. Ties are broken by `objectId`.
    pub fn sort(&self, documents: &mut Vec<Document>) {
        let Some(near) = self.near() else {
            documents.sort_by(|a, b| OrderKey::compare(&self.order, a, b).then_with(|| by_id(a, b)));
            return;
        };
        let mut measured: Vec<(f64, Document)> = std::mem::take(documents)
            .into_iter()
            .map(|document| (near.distance(&document), document))
            .collect();
        measured.sort_by(|(a, first), (b, second)| a.total_cmp(b).then_with(|| by_id(first, second)));
        documents.extend(measured.into_iter().map(|(_, document)| document));
    }
}

fn by_id(a: &Document, b: &Document) -> Ordering {
    a.text("objectId").cmp(&b.text("objectId"))
}

fn near(filter: &Filter) -> Option<Near<'_>> {
    match filter {
        Filter::And(parts) => parts.iter().find_map(near),
        Filter::Key(path, test @ Test::Geo(_)) => match test.area() {
            Some(Area::Circle { centre, radians }) => Some(Near {
                path,
                centre,
                radians_max: radians,
            }),
            _ => None,
        },
        Filter::Key(..) | Filter::Or(_) | Filter::Nor(_) | Filter::RelatedTo { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn query(filter: &Value) -> Query {
        Query::new(Filter::parse(filter).unwrap())
    }

    fn point(latitude: f64, longitude: f64) -> Value {
        json!({"__type": "GeoPoint", "latitude": latitude, "longitude": longitude})
    }

    #[test]
    fn near_sphere_sorts_by_distance_unless_order_is_given() {
        let near = query(&json!({"at": {"$nearSphere": point(0.0, 0.0)}}));
        let mut found: Vec<Document> = [
            ("far", 50.0),
            ("b", 1.0),
            ("none", f64::NAN),
            ("a", -1.0),
            ("here", 0.0),
        ]
        .into_iter()
        .map(|(id, longitude)| {
            let mut document = Document::new();
            document.insert("objectId".to_owned(), id.into());
            if !longitude.is_nan() {
                document.insert("at".to_owned(), point(0.0, longitude));
            }
            document
        })
        .collect();
        near.sort(&mut found);
        let ids = |found: &[Document]| -> Vec<String> {
            found
                .iter()
                .map(|document| document.text("objectId").unwrap().to_owned())
                .collect()
        };
        assert_eq!(ids(&found), ["here", "a", "b", "far", "none"]);
        let ordered = near.clone().order_by("-objectId");
        assert!(ordered.near().is_none());
        ordered.sort(&mut found);
        assert_eq!(ids(&found), ["none", "here", "far", "b", "a"]);
    }

    #[test]
    fn near_sphere_in_disjunction_does_not_sort() {
        let near = json!({"at": {"$nearSphere": point(1.0, 2.0), "$maxDistanceInKilometers": 6371.0}});
        let found = query(&json!({"$and": [{"n": 1}, near.clone()]}));
        assert!((found.near().unwrap().radians_max - 1.0).abs() < 1e-12);
        for other in [
            json!({"$or": [near, {"n": 1}]}),
            json!({"at": {"$within": {"$box": [point(0.0, 0.0), point(1.0, 1.0)]}}}),
        ] {
            assert!(query(&other).near().is_none(), "{other}");
        }
    }
}
