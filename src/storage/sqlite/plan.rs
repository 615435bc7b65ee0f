//! Plans of queries: the rows that SQLite finds, and the part left to the evaluator.

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, params_from_iter};

use crate::model::filter::Area;
use crate::model::query::Near;
use crate::model::{Document, GeoPoint, Principal, Query};
use crate::storage::sql::{self, Condition};
use crate::storage::sqlite::catalogue::Table;
use crate::storage::sqlite::row;
use crate::storage::sqlite::sql_error::{SqlError, too_slow};
use crate::store::Found;

/// Rows evaluated between two checks of the deadline.
const ROWS_PER_DEADLINE_CHECK: usize = 64;

/// Rows after which a scan is judged: does the client see enough of them?
const ROWS_BEFORE_SWITCH: usize = 64;

/// Readable rows beyond which scanning all rows is not worse than the index of readers.
const READABLE_MAX: u32 = 10_000;

/// Radius in radians of the first circle searched for the nearest: a kilometre. Doubled until enough are found.
const FIRST_RADIUS: f64 = 1.0 / GeoPoint::EARTH_KILOMETERS;

/// The plan of a query.
#[derive(Debug)]
pub(super) struct Plan {
    condition: Condition,
    /// `None` if the evaluator must sort.
    order: Option<String>,
    /// True if it asks for one document by a unique key.
    pub(super) is_point: bool,
    /// The column of geo cells, if the nearest come first.
    cell: Option<String>,
}

/// The rows to scan.
#[derive(Clone, Copy, Debug)]
enum Scope {
    /// All rows that satisfy the condition.
    Matching,
    /// Those of them that the principal may read, by the index of readers.
    Readable,
}

/// Outcome of a scan that asks the evaluator about each row.
enum Scan {
    Complete(Found),
    /// Too many rows that the client may not read: the index of readers finds the others sooner.
    SwitchToReaderIndex,
}

/// Filters the scanned rows by the query, the ACLs and the deadline.
struct RowFilter<'r> {
    query: &'r Query,
    principal: &'r Principal,
    is_late: &'r dyn Fn() -> bool,
    /// True if SQL has already decided which rows match.
    exact: bool,
    seen: usize,
    hidden: usize,
}

impl RowFilter<'_> {
    /// The document of a row, if it matches and is readable.
    fn matches(&mut self, row: &rusqlite::Row<'_>) -> Result<Option<Document>, SqlError> {
        self.seen += 1;
        if self.seen.is_multiple_of(ROWS_PER_DEADLINE_CHECK) && (self.is_late)() {
            return Err(SqlError::Refused(too_slow()));
        }
        let document = row::document(row)?;
        if !self.exact && !self.query.filter.matches(&document).map_err(SqlError::Refused)? {
            return Ok(None);
        }
        if !self.principal.may_read(&document) {
            self.hidden += 1;
            return Ok(None);
        }
        Ok(Some(document))
    }

    fn wanted(&self) -> usize {
        (self.query.skip as usize).saturating_add(self.query.limit as usize)
    }

    /// Sorts the results so far, and drops those beyond the page, once there are many.
    fn cut(&self, results: &mut Vec<Document>) {
        let wanted = self.wanted();
        if results.len() > wanted.saturating_mul(2).saturating_add(1000) {
            self.query.sort(results);
            results.truncate(wanted);
        }
    }

    /// The requested page of unsorted results.
    fn page(&self, mut results: Vec<Document>) -> Vec<Document> {
        self.query.sort(&mut results);
        results
            .into_iter()
            .skip(self.query.skip as usize)
            .take(self.query.limit as usize)
            .collect()
    }
}

impl Plan {
    pub(super) fn of(query: &Query, table: &Table) -> Self {
        let columns = table.columns();
        let cell = query.near().and_then(|near| columns.geo_cell(near.path));
        let columns = match cell {
            // Each round of the search then adds its own condition on points.
            Some(_) => columns.without_points(),
            None => columns,
        };
        let condition = sql::condition(&query.filter, &columns);
        let is_sorted_by_distance = query.near().is_some();
        Self {
            order: (!is_sorted_by_distance)
                .then(|| sql::order_by(&query.order, &columns, &condition))
                .flatten(),
            condition,
            is_point: sql::is_point(&query.filter, &columns),
            cell,
        }
    }

    fn select(&self, table: &Table) -> String {
        let condition = &self.condition.sql;
        match &self.order {
            Some(order) => format!("{} WHERE {condition} ORDER BY {order}", table.select),
            None => format!("{} WHERE {condition}", table.select),
        }
    }

    /// As [`Plan::select`], but scans only rows that the principal may read; with its parameters.
    fn select_readable(&self, table: &Table, principal: &Principal) -> Option<(String, Vec<SqlValue>)> {
        let (number, private) = (table.number, table.private_column()?);
        let keys = principal.acl_keys().into_iter().map(SqlValue::Text).collect();
        let is_reader = sql::is_one_of("reader", keys);
        // CROSS JOIN fixes the order of the loops. DISTINCT, since a client may have several ACL keys of one object.
        let mut sql = format!(
            "SELECT doc, id, created, updated FROM (
                SELECT rowid AS number FROM c{number} WHERE k{private} IS NULL
                UNION ALL
                SELECT c{number}.rowid FROM
                    (SELECT DISTINCT id AS readable FROM reader WHERE class = {number} AND {})
                    CROSS JOIN c{number} ON c{number}.id = readable
             ) CROSS JOIN c{number} ON c{number}.rowid = number
             WHERE {}",
            is_reader.sql, self.condition.sql
        );
        if let Some(order) = &self.order {
            sql.push_str(" ORDER BY ");
            sql.push_str(order);
        }
        let parameters = is_reader.parameters.into_iter();
        Some((sql, parameters.chain(self.condition.parameters.clone()).collect()))
    }

    /// True if the principal may read so few rows that the index of readers finds them sooner.
    fn few_are_readable(
        connection: &Connection,
        table: &Table,
        principal: &Principal,
    ) -> Result<bool, SqlError> {
        let Some(private) = table.private_column() else {
            return Ok(false);
        };
        let number = table.number;
        let keys = principal.acl_keys().into_iter().map(SqlValue::Text).collect();
        let is_reader = sql::is_one_of("reader", keys);
        let sql = format!(
            "SELECT (SELECT count(*) FROM (SELECT 1 FROM c{number} WHERE k{private} IS NULL LIMIT {READABLE_MAX}))
                  + (SELECT count(*) FROM (SELECT 1 FROM reader WHERE class = {number} AND {} LIMIT {READABLE_MAX}))",
            is_reader.sql
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let readable: u32 = statement.query_row(params_from_iter(&is_reader.parameters), |row| row.get(0))?;
        Ok(readable < READABLE_MAX)
    }

    fn statement(&self, table: &Table, principal: &Principal, scope: Scope) -> (String, Vec<SqlValue>) {
        let readable = match scope {
            Scope::Readable => self.select_readable(table, principal),
            Scope::Matching => None,
        };
        readable.unwrap_or_else(|| (self.select(table), self.condition.parameters.clone()))
    }

    /// SQLite's query plan; for a client, the plan by the index of readers.
    pub(super) fn explain(
        &self,
        connection: &Connection,
        table: &Table,
        query: &Query,
        principal: &Principal,
    ) -> Result<Vec<String>, SqlError> {
        let (sql, parameters) = match (&self.cell, query.near()) {
            (Some(cell), Some(near)) => self.round(table, cell, &near, FIRST_RADIUS),
            _ if principal.is_master() => self.statement(table, principal, Scope::Matching),
            _ => self.statement(table, principal, Scope::Readable),
        };
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let rows = statement.query_map(params_from_iter(parameters), |row| row.get(3))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Executes the query.
    pub(super) fn run(
        &self,
        connection: &Connection,
        table: &Table,
        query: &Query,
        principal: &Principal,
        is_late: &dyn Fn() -> bool,
    ) -> Result<Found, SqlError> {
        if self.condition.exact && principal.is_master() && self.order.is_some() {
            return self.run_in_sql(connection, table, query);
        }
        let mut rows = RowFilter {
            query,
            principal,
            is_late,
            exact: self.condition.exact,
            seen: 0,
            hidden: 0,
        };
        if let (Some(cell), Some(near)) = (&self.cell, query.near()) {
            return self.run_by_distance(connection, table, cell, &near, &mut rows);
        }
        match self.run_with_evaluator(connection, table, &mut rows, Scope::Matching)? {
            Scan::Complete(found) => Ok(found),
            Scan::SwitchToReaderIndex => {
                match self.run_with_evaluator(connection, table, &mut rows, Scope::Readable)? {
                    Scan::Complete(found) => Ok(found),
                    Scan::SwitchToReaderIndex => Err(SqlError::Refused(too_slow())),
                }
            }
        }
    }

    fn run_in_sql(&self, connection: &Connection, table: &Table, query: &Query) -> Result<Found, SqlError> {
        // Rows and count are two statements that must see one snapshot.
        let snapshot = if query.count && connection.is_autocommit() {
            Some(connection.unchecked_transaction()?)
        } else {
            None
        };
        let mut results = Vec::new();
        if query.limit > 0 {
            let sql = format!("{} LIMIT ? OFFSET ?", self.select(table));
            let mut statement = connection.prepare_cached(&sql)?;
            let window = [
                SqlValue::Integer(query.limit.into()),
                SqlValue::Integer(query.skip.into()),
            ];
            let mut rows =
                statement.query(params_from_iter(self.condition.parameters.iter().chain(&window)))?;
            while let Some(row) = rows.next()? {
                results.push(row::document(row)?);
            }
        }
        let count = if query.count {
            Some(self.count(connection, table)?)
        } else {
            None
        };
        if let Some(snapshot) = snapshot {
            snapshot.commit()?;
        }
        Ok(Found { results, count })
    }

    fn count(&self, connection: &Connection, table: &Table) -> Result<u64, SqlError> {
        let sql = format!(
            "SELECT count(*) FROM c{} WHERE {}",
            table.number, self.condition.sql
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let count: i64 =
            statement.query_row(params_from_iter(&self.condition.parameters), |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Scans the rows that SQL finds, and asks the evaluator about each.
    fn run_with_evaluator(
        &self,
        connection: &Connection,
        table: &Table,
        rows: &mut RowFilter<'_>,
        scope: Scope,
    ) -> Result<Scan, SqlError> {
        let query = rows.query;
        let (sql, parameters) = self.statement(table, rows.principal, scope);
        let mut statement = connection.prepare_cached(&sql)?;
        let mut found = statement.query(params_from_iter(parameters))?;
        let mut results: Vec<Document> = Vec::new();
        let mut matching = 0_usize;
        let may_switch = matches!(scope, Scope::Matching) && table.private_column().is_some();
        while let Some(row) = found.next()? {
            let Some(document) = rows.matches(row)? else {
                let is_judged = may_switch && rows.seen == ROWS_BEFORE_SWITCH;
                if is_judged
                    && rows.hidden * 10 >= rows.seen * 9
                    && Self::few_are_readable(connection, table, rows.principal)?
                {
                    return Ok(Scan::SwitchToReaderIndex);
                }
                continue;
            };
            matching += 1;
            if self.order.is_none() {
                results.push(document);
                rows.cut(&mut results);
                continue;
            }
            if matching > query.skip as usize && results.len() < query.limit as usize {
                results.push(document);
            }
            if !query.count && matching >= rows.wanted() {
                break;
            }
        }
        if self.order.is_none() {
            results = rows.page(results);
        }
        Ok(Scan::Complete(Found {
            results,
            count: query.count.then_some(matching as u64),
        }))
    }

    /// SQL and parameters for the rows of one circle.
    fn round(&self, table: &Table, cell: &str, near: &Near<'_>, radians: f64) -> (String, Vec<SqlValue>) {
        let area = Area::Circle {
            centre: near.centre,
            radians,
        };
        let condition = Condition::all([sql::within(cell, &area), self.condition.clone()]);
        let sql = format!("{} WHERE {}", table.select, condition.sql);
        (sql, condition.parameters)
    }

    /// Finds the nearest in circles that grow until they hold enough.
    fn run_by_distance(
        &self,
        connection: &Connection,
        table: &Table,
        cell: &str,
        near: &Near<'_>,
        rows: &mut RowFilter<'_>,
    ) -> Result<Found, SqlError> {
        let count = rows.query.count;
        let mut radians = FIRST_RADIUS;
        loop {
            let is_last = count || radians >= near.radians_max;
            if is_last {
                radians = near.radians_max;
            }
            let (sql, parameters) = self.round(table, cell, near, radians);
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = statement.query(params_from_iter(parameters))?;
            let mut results = Vec::new();
            let mut matching = 0_usize;
            while let Some(row) = found.next()? {
                let Some(document) = rows.matches(row)? else {
                    continue;
                };
                // The cells also hold points beyond the circle, and nearer ones may lie outside of them.
                if is_last || near.distance(&document) <= radians {
                    matching += 1;
                    results.push(document);
                    rows.cut(&mut results);
                }
            }
            if is_last || matching >= rows.wanted() {
                return Ok(Found {
                    results: rows.page(results),
                    count: count.then_some(matching as u64),
                });
            }
            radians *= 2.0;
        }
    }
}
