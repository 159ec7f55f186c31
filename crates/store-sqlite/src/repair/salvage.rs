//! Reading tables of a damaged file: everything that can be read, around what cannot.
//!
//! Any failure of the source is damage and ends a scan there. Tables with a number as their key are taken up again behind the damaged
//! place, which is found by asking for ever later rows; others are read from their end as well. Whole rows that lie between two damaged
//! places of the same table may be missed.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, Statement};

use super::super::fault::Outcome;

/// Rows looked for one by one behind a damaged place, before the steps grow: a page holds fewer.
const STEPS: i64 = 1024;

/// What is known of a table, from the whole database that is being made.
#[derive(Debug, Clone)]
pub(super) struct Table {
    name: String,
    columns: Vec<String>,
    key: Vec<String>,
    numbered: bool,
}

/// How a scan ended.
enum Ended {
    Whole,
    /// With the key of the last row that was read, where it is a number.
    Damaged(Option<i64>),
}

impl Table {
    /// Learns the table's columns.
    pub(super) fn of(conn: &Connection, name: &str) -> Outcome<Self> {
        let mut statement = conn.prepare("SELECT name, pk, type FROM pragma_table_info(?1) ORDER BY cid")?;
        let rows = statement.query_map([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let all: Vec<(String, i64, String)> = rows.collect::<rusqlite::Result<_>>()?;
        let mut key: Vec<_> = all.iter().filter(|(_, place, _)| *place > 0).collect();
        key.sort_by_key(|(_, place, _)| *place);
        let numbered = key.len() == 1 && key[0].2 == "INTEGER";
        let key = key.into_iter().map(|(name, ..)| name.clone()).collect();
        Ok(Self { name: name.to_owned(), columns: all.into_iter().map(|(name, ..)| name).collect(), key, numbered })
    }

    /// Inserts a row as [`Self::read`] gives it; what is there already, or cannot be a row of this table, is passed over.
    pub(super) fn insert(&self) -> String {
        let marks = vec!["?"; self.columns.len()].join(", ");
        format!("INSERT OR IGNORE INTO {} ({}) VALUES ({marks})", self.name, self.columns.join(", "))
    }

    /// Gives every row that can be read to `each`, whose failure ends it. The number of damaged places.
    pub(super) fn read(&self, source: &Connection, mut each: impl FnMut(&[Value]) -> Outcome<()>) -> Outcome<u64> {
        if self.numbered {
            return self.read_numbered(source, &mut each);
        }
        let forwards = format!("{} ORDER BY {}", self.select(), self.key.join(", "));
        if matches!(self.scan(source, &forwards, None, &mut each)?, Ended::Whole) {
            return Ok(0);
        }
        let backwards = format!("{} ORDER BY {} DESC", self.select(), self.key.join(" DESC, "));
        self.scan(source, &backwards, None, &mut each)?;
        Ok(1)
    }

    fn read_numbered(&self, source: &Connection, each: &mut impl FnMut(&[Value]) -> Outcome<()>) -> Outcome<u64> {
        let sql = self.after();
        let (mut after, mut places) = (-1, 0);
        loop {
            match self.scan(source, &sql, Some(after), each)? {
                Ended::Whole => return Ok(places),
                Ended::Damaged(last) => {
                    places += 1;
                    after = last.map_or(after, |last| last.max(after));
                    match self.behind(source, after) {
                        Some(next) => after = next - 1,
                        None => return Ok(places),
                    }
                }
            }
        }
    }

    /// The first row behind the damaged place that begins after `after`.
    fn behind(&self, source: &Connection, after: i64) -> Option<i64> {
        let mut statement = source.prepare(&format!("{} LIMIT 1", self.after())).ok()?;
        let mut probe = |step: i64| self.probe(&mut statement, after.saturating_add(step));
        for step in 1..=STEPS {
            if let Ok(found) = probe(step) {
                return found;
            }
        }
        let (mut bad, mut good) = (STEPS, STEPS);
        let mut found = loop {
            good = good.checked_mul(2)?;
            match probe(good) {
                Ok(found) => break found,
                Err(_) => bad = good,
            }
        };
        while good - bad > 1 {
            let middle = bad + (good - bad) / 2;
            match probe(middle) {
                Ok(closer) => (good, found) = (middle, closer),
                Err(_) => bad = middle,
            }
        }
        found
    }

    /// The key of the first row after `after`; an error where that row cannot be read whole.
    fn probe(&self, statement: &mut Statement<'_>, after: i64) -> rusqlite::Result<Option<i64>> {
        let mut rows = statement.query([after])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let values = self.values(row)?;
        Ok(self.number(&values).filter(|key| *key > after))
    }

    fn scan(
        &self,
        source: &Connection,
        sql: &str,
        after: Option<i64>,
        each: &mut impl FnMut(&[Value]) -> Outcome<()>,
    ) -> Outcome<Ended> {
        let mut last = after;
        let Ok(mut statement) = source.prepare(sql) else { return Ok(Ended::Damaged(None)) };
        let Ok(mut rows) = statement.query(rusqlite::params_from_iter(after)) else { return Ok(Ended::Damaged(None)) };
        loop {
            let values = match rows.next() {
                Ok(Some(row)) => self.values(row),
                Ok(None) => return Ok(Ended::Whole),
                Err(error) => Err(error),
            };
            let Ok(values) = values else { return Ok(Ended::Damaged(last)) };
            if let (Some(number), Some(before)) = (self.number(&values), last) {
                // A page that was taken for another: what follows is not this table's.
                if number <= before {
                    return Ok(Ended::Damaged(last));
                }
                last = Some(number);
            }
            each(&values)?;
        }
    }

    fn values(&self, row: &Row<'_>) -> rusqlite::Result<Vec<Value>> {
        (0..self.columns.len()).map(|at| row.get(at)).collect()
    }

    fn number(&self, values: &[Value]) -> Option<i64> {
        let at = self.columns.iter().position(|column| Some(column) == self.key.first()).filter(|_| self.numbered)?;
        match values.get(at) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    fn select(&self) -> String {
        format!("SELECT {} FROM {} NOT INDEXED", self.columns.join(", "), self.name)
    }

    fn after(&self) -> String {
        let key = self.key.first().map_or("rowid", String::as_str);
        format!("{} WHERE {key} > ?1 ORDER BY {key}", self.select())
    }
}
