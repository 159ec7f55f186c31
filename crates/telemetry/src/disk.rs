//! What the embedded database says of itself.

use toktra_siem_store::{Disk, Shortage, Vitals};

use super::page::Page;

/// Of the thread that writes.
pub(super) fn writer(page: &mut Page, vitals: &Vitals) {
    page.gauge("toktra_siem_store_queued_events", "Events that wait to be written.").value(vitals.queued_events);
    page.gauge("toktra_siem_store_queued_bytes", "Their size.").value(vitals.queued_bytes);
    page.gauge("toktra_siem_store_queued_operations", "Other writes that wait: deliveries, configuration.")
        .value(vitals.queued_others);
    page.gauge("toktra_siem_store_poisoned", "1 after the disk failed: nothing is written until a restart.")
        .value(u8::from(vitals.poisoned));
    page.gauge(
        "toktra_siem_store_log_lost_pages",
        "Pages of the write-ahead log that were damaged at the last start: events that were acknowledged before it are lost.",
    )
    .value(vitals.log_lost);
    page.gauge(
        "toktra_siem_clock_ahead_seconds",
        "By how much the clock is ahead of the time by which events age: it has jumped, or nothing ran for so long. Nothing expires because of it.",
    )
    .value(vitals.clock_ahead.as_secs_f64());
    let help =
        "1 while new events are refused (507) for want of room, by what there is not enough of: budget, file_system.";
    let mut refusing = page.gauge("toktra_siem_store_refusing", help);
    for cause in Shortage::ALL {
        refusing.with(&[("cause", cause.word())], u8::from(vitals.refusing == Some(cause)));
    }
    page.histogram("toktra_siem_store_group_size", "Events and other writes that were committed together.")
        .reading(&[], &vitals.group_size);
    page.histogram("toktra_siem_store_commit_duration_seconds", "How long a transaction took, until it was on disk.")
        .reading(&[], &vitals.commit_seconds);
}

/// Of the disk budget.
pub(super) fn space(page: &mut Page, disk: &Disk) {
    page.gauge("toktra_siem_store_database_bytes", "Size of the database file.").value(disk.database);
    page.gauge("toktra_siem_store_log_bytes", "Size of its write-ahead log.").value(disk.log);
    page.gauge("toktra_siem_store_used_bytes", "What counts against the disk budget: pages in use, and the log.")
        .value(disk.used);
    if let Some(budget) = disk.budget {
        page.gauge(
            "toktra_siem_store_budget_bytes",
            "How much of the disk events may fill: TOKTRA_SIEM_MAX_DISK, less what is kept for recording deliveries.",
        )
        .value(budget.saturating_sub(disk.reserve));
    }
}
