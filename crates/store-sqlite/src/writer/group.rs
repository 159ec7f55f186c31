//! A group as one transaction. What one piece of it meets that cannot be read costs that piece, and the others are written all the same.

use rusqlite::ErrorCode;

use super::super::engine::Engine;
use super::super::fault::{Fault, Outcome, Verdict, is_damage};
use super::{Job, Lost};

/// How often a group is begun again, at most: each time may take as long as the state of the open partition takes to be read.
const AGAIN: usize = 8;

/// Runs a group in one transaction. On failure everything is rolled back and what the engine remembers is read anew.
pub(super) fn commit(engine: &mut Engine, group: &mut [Box<dyn Job>], poisoned: &mut bool) -> Option<Lost> {
    let error = match transact(engine, group) {
        Ok(()) => {
            engine.committed();
            note_growth(engine, poisoned);
            return None;
        }
        Err(error) => error,
    };
    let verdict = engine.verdict(&error);
    *poisoned = verdict == Verdict::Broken;
    // A full disk is told of once, when it begins.
    if verdict != Verdict::Full {
        tracing::error!(%error, poisoned = *poisoned, work = group.len(), "a group of writes failed and was rolled back");
    }
    if let Err(error) = engine.rolled_back() {
        tracing::error!(%error, "the state could not be read again after a failure; the store refuses writes until restart");
        *poisoned = true;
    }
    Some(if verdict == Verdict::Full { Lost::Full } else { Lost::Failed(error) })
}

/// Notes beside the group what a start would have to count. Nobody depends on it; but what a disk that fails says of itself counts here as well.
fn note_growth(engine: &mut Engine, poisoned: &mut bool) {
    let Err(error) = engine.note_growth() else { return };
    *poisoned = engine.is_broken(&error);
    tracing::warn!(%error, "the bytes that the newest events of each org take could not be noted: the next start counts them, and takes longer");
}

/// Appends first: what they wrote is then written as one run for each org, and the rest of the group sees it.
fn transact(engine: &mut Engine, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    engine.begin()?;
    let mut again = 0..AGAIN;
    let (appends, mut others): (Vec<_>, Vec<_>) = group.iter_mut().partition(|job| job.appends());
    for job in appends {
        let before = engine.effects.events.len();
        if let Err(error) = job.run(engine) {
            let error = if again.next().is_some() { stored(error)? } else { return Err(error) };
            job.leave_out(&error);
            whole(engine.accept_again(before))?;
        }
    }
    if let Err(error) = whole(engine.write_pending()) {
        // If the open partition takes no more rows, the next one does.
        stored(error)?;
        whole(engine.write_again(true))?;
        whole(engine.write_pending())?;
    }
    if let Err(error) = whole(engine.take_up_offers()) {
        // Streams that were promised a part of it open it themselves, as ever.
        stored(error)?;
        whole(engine.write_again(false))?;
        whole(engine.write_pending())?;
    }
    while let Some((error, job)) = others.iter_mut().find_map(|job| Some((job.run(engine).err()?, job))) {
        let error = stored(error)?;
        job.leave_out(&error);
        if again.next().is_none() {
            // Events wait for no more of it.
            for job in &mut others {
                job.leave_out(&error);
            }
        }
        whole(engine.accept_again(usize::MAX))?;
        whole(engine.write_pending())?;
    }
    whole(engine.commit())
}

/// The error again, if it is of what is stored, and says nothing of the disk.
fn stored(error: rusqlite::Error) -> rusqlite::Result<rusqlite::Error> {
    if !is_damage(&error) && error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
        return Err(error);
    }
    tracing::error!(
        %error,
        "a piece of work met what is stored and cannot be read any more: the others of its group are written without it; check the disk"
    );
    Ok(error)
}

/// Nothing of the writer's own work is refused, but where what is stored cannot be read.
fn whole(outcome: Outcome<()>) -> rusqlite::Result<()> {
    outcome.map_err(|fault| match fault {
        Fault::Failed(error) => error,
        Fault::Refused(error) => rusqlite::Error::ToSqlConversionFailure(error.into()),
    })
}
