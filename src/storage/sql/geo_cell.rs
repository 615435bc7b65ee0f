//! Geo cells: numbers of points for an index. The earth is divided into four cells, each of them again, and so on; a
//! point's number names its cell at every level. An area is then a few ranges of numbers.

use crate::model::GeoPoint;
use crate::model::filter::Area;

/// Number of levels: halvings of the earth in each direction, down to cells of less than a metre.
const LEVELS: u32 = 26;

/// Maximum number of ranges of one area. More ranges follow the border more closely, and each costs a search.
const RANGES_MAX: usize = 20;

/// Margin of a circle's radius against rounding: some millimetres.
const MARGIN_RADIANS: f64 = 1e-9;

/// The number of a point's smallest cell.
pub(in crate::storage) fn geo_cell(point: GeoPoint) -> i64 {
    interleaved(column(point.longitude), row(point.latitude))
}

/// The ranges of cell numbers, inclusive, that contain all points of the area, and possibly others.
pub(in crate::storage) fn ranges(area: &Area) -> Vec<(i64, i64)> {
    let rectangles = rectangles(area);
    if rectangles.is_empty() {
        return Vec::new();
    }
    let mut done: Vec<(i64, i64)> = Vec::new();
    let mut open = vec![Cell::WHOLE];
    while let Some(next) = halve(&open, &rectangles, &mut done) {
        open = next;
    }
    done.extend(open.iter().map(Cell::range));
    done.sort_unstable();
    let mut merged: Vec<(i64, i64)> = Vec::with_capacity(done.len());
    for (from, to) in done {
        match merged.last_mut() {
            Some((_, end)) if *end + 1 >= from => *end = to.max(*end),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// Divides each cell by four. Moves the parts inside the area to `done` and drops those outside. `None` if further
/// division is impossible.
fn halve(open: &[Cell], rectangles: &[Rectangle], done: &mut Vec<(i64, i64)>) -> Option<Vec<Cell>> {
    let mut next = Vec::new();
    let mut inside = Vec::new();
    for cell in open {
        for part in cell.parts()? {
            if rectangles.iter().any(|rectangle| rectangle.contains(&part)) {
                inside.push(part.range());
            } else if rectangles.iter().any(|rectangle| rectangle.meets(&part)) {
                next.push(part);
            }
        }
    }
    if next.is_empty() && inside.is_empty() || done.len() + inside.len() + next.len() > RANGES_MAX {
        return None;
    }
    done.append(&mut inside);
    Some(next)
}

/// A cell at a level.
#[derive(Clone, Copy, Debug)]
struct Cell {
    level: u32,
    column: u32,
    row: u32,
}

impl Cell {
    const WHOLE: Self = Self {
        level: 0,
        column: 0,
        row: 0,
    };

    fn parts(&self) -> Option<[Self; 4]> {
        let level = self.level + 1;
        let part = |right: u32, upper: u32| Self {
            level,
            column: self.column * 2 + right,
            row: self.row * 2 + upper,
        };
        (level <= LEVELS).then(|| [part(0, 0), part(1, 0), part(0, 1), part(1, 1)])
    }

    /// The bounds of its smallest cells.
    fn ends(&self) -> (u32, u32, u32, u32) {
        let shift = LEVELS - self.level;
        let last = |first: u32| first + ((1 << shift) - 1);
        let (column, row) = (self.column << shift, self.row << shift);
        (column, last(column), row, last(row))
    }

    fn range(&self) -> (i64, i64) {
        let (left, right, lower, upper) = self.ends();
        (interleaved(left, lower), interleaved(right, upper))
    }
}

/// A rectangle of smallest cells, bounds included.
#[derive(Clone, Copy, Debug)]
struct Rectangle {
    left: u32,
    right: u32,
    lower: u32,
    upper: u32,
}

impl Rectangle {
    fn new(west: f64, east: f64, south: f64, north: f64) -> Self {
        Self {
            left: column(west),
            right: column(east),
            lower: row(south),
            upper: row(north),
        }
    }

    fn contains(&self, cell: &Cell) -> bool {
        let (left, right, lower, upper) = cell.ends();
        self.left <= left && right <= self.right && self.lower <= lower && upper <= self.upper
    }

    fn meets(&self, cell: &Cell) -> bool {
        let (left, right, lower, upper) = cell.ends();
        self.left <= right && left <= self.right && self.lower <= upper && lower <= self.upper
    }
}

/// Rectangles that cover the area; two if it crosses the date line.
fn rectangles(area: &Area) -> Vec<Rectangle> {
    let (west, east, south, north) = match area {
        Area::Box { southwest, northeast } => (
            southwest.longitude,
            northeast.longitude,
            southwest.latitude,
            northeast.latitude,
        ),
        Area::Circle { centre, radians } => circle_bounds(*centre, radians + MARGIN_RADIANS),
    };
    if south > north {
        return Vec::new();
    }
    if west <= east {
        return vec![Rectangle::new(west, east, south, north)];
    }
    vec![
        Rectangle::new(west, 180.0, south, north),
        Rectangle::new(-180.0, east, south, north),
    ]
}

/// West, east, south and north of a circle. A circle with a pole in it spans all longitudes.
fn circle_bounds(centre: GeoPoint, radians: f64) -> (f64, f64, f64, f64) {
    let degrees = radians.to_degrees();
    let (south, north) = (centre.latitude - degrees, centre.latitude + degrees);
    if south <= -90.0 || north >= 90.0 {
        return (-180.0, 180.0, south.max(-90.0), north.min(90.0));
    }
    // The meridians touch the circle at points nearer to the pole than its centre.
    let sine = radians.sin() / centre.latitude.to_radians().cos();
    if sine >= 1.0 {
        return (-180.0, 180.0, south, north);
    }
    let width = sine.asin().to_degrees();
    let wrap = |longitude: f64| {
        if longitude < -180.0 {
            longitude + 360.0
        } else if longitude > 180.0 {
            longitude - 360.0
        } else {
            longitude
        }
    };
    (
        wrap(centre.longitude - width),
        wrap(centre.longitude + width),
        south,
        north,
    )
}

fn column(longitude: f64) -> u32 {
    scaled((longitude + 180.0) / 360.0)
}

fn row(latitude: f64) -> u32 {
    scaled((latitude + 90.0) / 180.0)
}

/// Converts a fraction from 0 to 1 to a smallest cell. Monotonic.
fn scaled(fraction: f64) -> u32 {
    const CELLS: u32 = 1 << LEVELS;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 2^26: a cast of a double saturates, and the fraction is cut on purpose"
    )]
    let cell = (fraction * f64::from(CELLS)) as u32;
    cell.min(CELLS - 1)
}

/// Interleaves the bits of both numbers, the row's first.
fn interleaved(column: u32, row: u32) -> i64 {
    (spread(row) << 1) | spread(column)
}

/// Inserts a zero bit before each bit.
fn spread(number: u32) -> i64 {
    let mut bits = i64::from(number);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | (bits << shift)) & mask;
    }
    bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points() -> impl Strategy<Value = GeoPoint> {
        let latitude = prop_oneof![4 => -90.0..=90.0, 1 => prop::sample::select(vec![-90.0, 0.0, 90.0])];
        let longitude = prop_oneof![4 => -180.0..=180.0, 1 => prop::sample::select(vec![-180.0, 0.0, 180.0])];
        (latitude, longitude).prop_map(|(latitude, longitude)| GeoPoint { latitude, longitude })
    }

    fn holds(ranges: &[(i64, i64)], point: GeoPoint) -> bool {
        let cell = geo_cell(point);
        ranges.iter().any(|(from, to)| (*from..=*to).contains(&cell))
    }

    proptest! {
        #[test]
        fn ranges_of_circle_contain_its_points(centre in points(), point in points(), more in 0.0..0.1_f64) {
            let radians = centre.radians_to(point) + more;
            let ranges = ranges(&Area::Circle { centre, radians });
            prop_assert!(ranges.len() <= RANGES_MAX);
            prop_assert!(holds(&ranges, point), "{centre:?} {point:?} {radians}");
        }

        #[test]
        fn ranges_of_small_circle_contain_its_points(
            centre in points(),
            (north, east) in (-0.01..0.01_f64, -0.01..0.01_f64),
        ) {
            let point = GeoPoint {
                latitude: (centre.latitude + north).clamp(-90.0, 90.0),
                longitude: (centre.longitude + east).clamp(-180.0, 180.0),
            };
            let radians = centre.radians_to(point);
            let found = holds(&ranges(&Area::Circle { centre, radians }), point);
            prop_assert!(found);
        }

        #[test]
        fn ranges_of_box_contain_its_points(a in points(), b in points(), across in 0.0..=1.0_f64, up in 0.0..=1.0_f64) {
            let (south, north) = (a.latitude.min(b.latitude), a.latitude.max(b.latitude));
            let southwest = GeoPoint { latitude: south, longitude: a.longitude };
            let northeast = GeoPoint { latitude: north, longitude: b.longitude };
            let width = (b.longitude - a.longitude).rem_euclid(360.0);
            let mut longitude = a.longitude + width * across;
            if longitude > 180.0 {
                longitude -= 360.0;
            }
            let point = GeoPoint { latitude: (south + (north - south) * up).min(north), longitude };
            let inside = if a.longitude <= b.longitude {
                (a.longitude..=b.longitude).contains(&longitude)
            } else {
                longitude >= a.longitude || longitude <= b.longitude
            };
            prop_assume!(inside);
            let found = holds(&ranges(&Area::Box { southwest, northeast }), point);
            prop_assert!(found);
        }
    }

    /// A small area has small ranges.
    #[test]
    fn ranges_of_small_area_are_small() {
        let centre = GeoPoint {
            latitude: 39.9,
            longitude: 116.4,
        };
        let kilometres = |radius: f64| Area::Circle {
            centre,
            radians: radius / GeoPoint::EARTH_KILOMETERS,
        };
        let size = |area: &Area| -> i64 { ranges(area).iter().map(|(from, to)| to - from + 1).sum() };
        let whole = 1_i64 << (2 * LEVELS);
        // A square of 2 km at this latitude, of the 510 million square kilometres in which cells are not equally wide.
        assert!(
            size(&kilometres(1.0)) < whole / 20_000_000,
            "{}",
            size(&kilometres(1.0))
        );
        assert_eq!(size(&kilometres(30_000.0)), whole);
        assert!(ranges(&kilometres(1.0)).len() > 1);
    }
}
