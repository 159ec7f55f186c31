//! What a start sets right before anything is read: which partition is open, and whose streams are whose. One flipped bit in these rows would
//! give sequences a second time, stop a stream without a word, or send the events of one org to the endpoint of another.
//!
//! Each of these values can also be derived from other rows. If both disagree and nothing tells which one is damaged, neither is changed.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_core::connector::Connector;

use super::codec::{keys_of, uuid};
use super::convert;
use super::fault::Outcome;
use super::standin;

/// Sets right what is found, in one transaction.
pub(super) fn set_right(conn: &Connection) -> Outcome<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let done = partitions(conn).and_then(|()| heads(conn)).and_then(|()| streams(conn));
    conn.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    done
}

/// The newest partition is open, unless it was sealed, which wrote its extents. All others are sealed.
fn partitions(conn: &Connection) -> Outcome<()> {
    // The index has those that are open, and perhaps not what the rows say.
    let all: Vec<(i64, i64)> = conn
        .prepare("SELECT number, sealed FROM partition NOT INDEXED ORDER BY number")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let Some((newest, _)) = all.last() else { return Ok(()) };
    let mut wrong = Vec::new();
    for (number, sealed) in &all {
        let is = if number < newest { 1 } else { i64::from(was_sealed(conn, *number, *sealed)?) };
        if *sealed != is {
            wrong.push((*number, is));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    conn.execute_batch("DROP INDEX partition_open")?;
    for (number, is) in wrong {
        conn.execute("UPDATE partition SET sealed = ?2 WHERE number = ?1", params![number, is])?;
        tracing::error!(
            partition = number,
            sealed = is,
            "whether a partition is open was damaged: it was set right; check the disk"
        );
    }
    conn.execute_batch("CREATE UNIQUE INDEX partition_open ON partition (sealed) WHERE sealed = 0")?;
    Ok(())
}

/// Whether the newest partition was sealed. One without events of a present org has no extents either way, and is what it says.
fn was_sealed(conn: &Connection, number: i64, sealed: i64) -> Outcome<bool> {
    if conn.prepare("SELECT 1 FROM extent WHERE partition = ?1")?.exists([number])? {
        return Ok(true);
    }
    if !convert::has(conn, &format!("head_{number}"))? {
        return Ok(sealed != 0);
    }
    let mut statement = conn.prepare(&format!("SELECT 1 FROM head_{number} WHERE key BETWEEN ?1 AND ?2"))?;
    let orgs: Vec<i64> =
        conn.prepare("SELECT num FROM org")?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for (first, last) in orgs.into_iter().map(keys_of) {
        if statement.exists([first, last])? {
            return Ok(false);
        }
    }
    Ok(sealed != 0)
}

/// The head of an org is not before the end of what it has in a sealed partition: no sequence is given again.
fn heads(conn: &Connection) -> Outcome<()> {
    let behind = "UPDATE org SET head = (SELECT max(last_seq) FROM extent WHERE org = num)
         WHERE head < (SELECT max(last_seq) FROM extent WHERE org = num)";
    let orgs = conn.execute(behind, [])?;
    if orgs > 0 {
        tracing::error!(orgs, "the last sequence of an org was damaged: it was set right; check the disk");
    }
    Ok(())
}

/// What is stored of a stream.
struct Found {
    num: i64,
    org: i64,
    removed: i64,
}

/// A connector, as its row and its record say.
struct Owner {
    num: i64,
    id: [u8; 16],
    org: i64,
    record: Option<Connector>,
}

/// A change of one row: the statement, the row, and what it is set to.
type Change = (&'static str, i64, Value);

/// The newest stream of each kind of a present connector is present, and its org's; every other one is removed.
fn streams(conn: &Connection) -> Outcome<()> {
    let mut found: HashMap<[u8; 16], BTreeMap<i64, Found>> = HashMap::new();
    let mut present = Vec::new();
    let mut statement =
        conn.prepare("SELECT num, connector, kind, org, removed FROM stream NOT INDEXED ORDER BY num")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (num, connector, kind) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let stream = Found { num, org: row.get(3)?, removed: row.get(4)? };
        if stream.removed != 1 {
            present.push((num, connector));
        }
        // The newest one of each kind stays.
        found.entry(connector).or_default().insert(kind, stream);
    }
    let mut owners = Vec::new();
    let mut statement = conn.prepare("SELECT num, id, org, record FROM connector NOT INDEXED")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let record = standin::read(row.get_ref(3)?.as_bytes().map_err(rusqlite::Error::from)?);
        owners.push(Owner { num: row.get(0)?, id: row.get(1)?, org: row.get(2)?, record });
    }
    let ids: HashSet<[u8; 16]> = owners.iter().map(|owner| owner.id).collect();
    let is_stray =
        |(id, of): &(&[u8; 16], &BTreeMap<i64, Found>)| !ids.contains(*id) && of.values().any(|s| s.removed != 1);
    let strays: Vec<[u8; 16]> = found.iter().filter(is_stray).map(|(id, _)| *id).collect();
    let mut wrong: Vec<Change> = Vec::new();
    let mut kept = HashSet::new();
    for owner in owners {
        let own = owner.streams(&mut found, &strays, &mut wrong);
        kept.extend(own.iter().map(|stream| stream.num));
        let said = "SELECT num FROM org WHERE id = ?1";
        let said: Option<i64> = match &owner.record {
            Some(record) => {
                conn.prepare_cached(said)?.query_row([record.org.0.as_bytes()], |row| row.get(0)).optional()?
            }
            None => None,
        };
        let Some(org) = most(said.into_iter().chain([owner.org]).chain(own.iter().map(|stream| stream.org))) else {
            tracing::error!(
                connector = %uuid(owner.id),
                "whose this connector is was damaged, and cannot be told: delete it, or restore a backup"
            );
            continue;
        };
        if owner.org != org {
            wrong.push(("UPDATE connector SET org = ?2 WHERE num = ?1", owner.num, org.into()));
        }
        for stream in own {
            if stream.org != org {
                wrong.push(("UPDATE stream SET org = ?2 WHERE num = ?1", stream.num, org.into()));
            }
            if stream.removed != 0 {
                wrong.push(("UPDATE stream SET removed = ?2 WHERE num = ?1", stream.num, 0.into()));
            }
        }
    }
    let mut others: Vec<(i64, [u8; 16])> = present.into_iter().filter(|(num, _)| !kept.contains(num)).collect();
    let mut lost = HashSet::new();
    others.retain(|(_, id)| {
        // Whoever deletes a connector removes its revisions with it: those that are there tell that it is the connector that is missing.
        let revisions = "SELECT 1 FROM connector_revision WHERE connector = ?1";
        let is_lost = !ids.contains(id)
            && conn.prepare_cached(revisions).and_then(|mut asked| asked.exists([id])).unwrap_or(true);
        if is_lost {
            lost.insert(*id);
        }
        !is_lost
    });
    for id in lost {
        tracing::error!(
            connector = %uuid(id),
            "this connector is not there any more although nobody deleted it, and its events wait: stop the server and restore a backup, or make it anew; \
             check the disk"
        );
    }
    wrong.extend(others.into_iter().map(|(num, _)| ("UPDATE stream SET removed = ?2 WHERE num = ?1", num, 1.into())));
    if wrong.is_empty() {
        return Ok(());
    }
    // The indexes still have the old values.
    conn.execute_batch("REINDEX stream; REINDEX connector;")?;
    for (sql, num, is) in wrong {
        conn.execute(sql, params![num, is])?;
        tracing::error!(
            row = num,
            "whose a stream is, or whether it is removed, was damaged: it was set right; check the disk"
        );
    }
    Ok(())
}

impl Owner {
    /// The newest streams of this connector. What bears an id that differs in one bit and is nobody's belongs to it too: the record says which of the
    /// two ids is right.
    fn streams(
        &self,
        all: &mut HashMap<[u8; 16], BTreeMap<i64, Found>>,
        strays: &[[u8; 16]],
        wrong: &mut Vec<Change>,
    ) -> Vec<Found> {
        let mut own = all.remove(&self.id).unwrap_or_default();
        let is_near = |id: &&[u8; 16]| id.iter().zip(self.id).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>() == 1;
        let renamed = |record: &Connector, id: [u8; 16]| record.id.0.into_bytes() == id;
        for id in strays.iter().filter(is_near).copied() {
            if self.record.as_ref().is_some_and(|record| renamed(record, id)) {
                wrong.push(("UPDATE connector SET id = ?2 WHERE num = ?1", self.num, id.to_vec().into()));
            } else {
                let streams = all.get(&id).into_iter().flat_map(BTreeMap::values);
                let set = "UPDATE stream SET connector = ?2 WHERE num = ?1";
                wrong.extend(streams.map(|stream| (set, stream.num, self.id.to_vec().into())));
            }
            for (kind, stream) in all.remove(&id).unwrap_or_default() {
                own.entry(kind).or_insert(stream);
            }
        }
        own.into_values().collect()
    }
}

/// The org that most of what names it says: the record, the row, and the streams.
fn most(of: impl Iterator<Item = i64>) -> Option<i64> {
    let mut said: BTreeMap<i64, usize> = BTreeMap::new();
    for org in of {
        *said.entry(org).or_default() += 1;
    }
    let most = *said.values().max()?;
    let mut first = said.into_iter().filter(|(_, times)| *times == most).map(|(org, _)| org);
    first.next().filter(|_| first.next().is_none())
}
