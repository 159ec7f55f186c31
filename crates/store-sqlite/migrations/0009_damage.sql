-- The ninth layout: events whose stored bytes do not match their checksum any more.

-- Each of them, from when that was found out until its compact record goes. Its sequence is certain, and perhaps nothing else.
CREATE TABLE damage (
    org      INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    found_at INTEGER NOT NULL,
    PRIMARY KEY (org, seq)
) WITHOUT ROWID;

-- The streams that count one as damaged: it was undelivered when that was found out.
CREATE TABLE damage_outcome (
    stream   INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    found_at INTEGER NOT NULL,
    PRIMARY KEY (stream, seq)
) WITHOUT ROWID;
CREATE INDEX damage_outcome_found ON damage_outcome (stream, found_at, seq);
ALTER TABLE stream ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;
