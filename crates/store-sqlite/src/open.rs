//! Pinning batches: what is taken, from where, and that every sequence passed is accounted for (invariant D3).

use rusqlite::Connection;
use toktra_siem_core::delivery::Delivery;
use toktra_siem_core::members::Members;
use toktra_siem_store::deliveries::{Lease, Open, Taken};
use toktra_siem_store::rules;
use toktra_siem_store::rules::count;
use toktra_siem_store::rules::parked::{ParkState, Taking};

use super::damage;
use super::engine::Engine;
use super::fault::Outcome;
use super::jobs;
use super::rows;
use super::streams::{self, StreamRow};

/// Applies `open`. Everything is checked before the first write.
pub(super) fn open(engine: &mut Engine, lease: &Lease, open: &Open) -> Outcome<()> {
    let mut stream = streams::leased(&engine.conn, lease)?;
    let job = jobs::check_step(&engine.conn, &stream, open.job.as_ref(), &open.deliveries)?;
    let found = stream.found();
    let known = rows::known(&engine.conn, stream.num, &open.deliveries)?;
    rules::open::check_deliveries(found, open, &known)?;
    let pinned = count(rules::open::events(&open.deliveries));
    let members: Vec<&Members> = open.deliveries.iter().map(|delivery| &delivery.members).collect();
    match &open.taken {
        Taken::Live { from, to, passed, revision } => {
            let head = engine.org(stream.org)?.head;
            let newest = streams::revision_at(&engine.conn, stream.id.connector, *to)?;
            rules::open::check_live(found, (*from, *to), head, newest, *revision)?;
            rules::open::check_windows(found, &open.deliveries, engine.now())?;
            rules::open::check_move(&open.deliveries, (*from, *to), *passed)?;
            stream.cursor = *to;
            let window = open.deliveries.iter().rev().find_map(|delivery| delivery.window.as_ref());
            stream.last_window = window.map(|window| window.start).or(stream.last_window);
            damage::pass(&engine.conn, &mut stream, (*from, *to), *passed, &members)?;
            stream.counts.pending += pinned;
        }
        Taken::Range { id, from, to, passed } => {
            let range = rules::open::range(rows::ranges(&engine.conn, stream.num)?, *id, (*from, *to))?;
            rules::open::check_move(&open.deliveries, (*from, *to), *passed)?;
            rows::advance_range(&engine.conn, &range, *to)?;
            damage::pass(&engine.conn, &mut stream, (*from, *to), *passed, &members)?;
            stream.counts.pending -= count(passed.filtered + passed.expired);
        }
        Taken::Parked(members) => take_parked(&engine.conn, &mut stream, members, &open.deliveries)?,
        Taken::Beside => {}
    }
    let root = matches!(open.taken, Taken::Live { .. } | Taken::Range { .. });
    for delivery in &open.deliveries {
        rows::insert_delivery(&engine.conn, stream.num, delivery, root)?;
    }
    if let (Some(job), Some(step)) = (job, &open.job) {
        jobs::advance(&engine.conn, job, step, &open.deliveries, engine.now())?;
    }
    stream.store(&engine.conn)
}

/// Moves parked events to pending.
fn take_parked(conn: &Connection, stream: &mut StreamRow, members: &Members, deliveries: &[Delivery]) -> Outcome<()> {
    let mut taking = Taking::new(deliveries);
    for seq in members.iter() {
        taking.take(seq, rows::parked_row(conn, stream.num, seq)?)?;
    }
    let (counts, links) = taking.done()?;
    for (seq, link) in links {
        rows::set_parked(conn, stream.num, seq, ParkState::OnItsWay, Some(link))?;
    }
    stream.counts += counts;
    Ok(())
}
