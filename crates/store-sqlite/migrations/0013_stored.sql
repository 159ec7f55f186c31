-- The thirteenth layout: how many bytes the runs of each org take, records and payloads.

ALTER TABLE extent ADD COLUMN bytes INTEGER; -- NULL until src/stored.rs has counted them

-- The same of the open partition, as far as it was noted: what came after `to_seq` is counted by a start.
CREATE TABLE growing (
    org       INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    to_seq    INTEGER NOT NULL,
    bytes     INTEGER NOT NULL
);

-- Causes that many parked events share: `parked.cause` has the number of one of these, or a text of its own. Never used again, even after removal.
CREATE TABLE cause (
    num     INTEGER PRIMARY KEY AUTOINCREMENT,
    text    TEXT NOT NULL UNIQUE,
    used_at INTEGER NOT NULL                       -- within a day
);
