-- The first layout. Times are milliseconds since 1970 UTC, ids are 16-byte blobs, words are stored as their number in the
-- declaration of their enum. The tables of a partition (event_<n>, record_<n>, lookup_<n>) are made when it opens.

CREATE TABLE org (
    num        INTEGER PRIMARY KEY AUTOINCREMENT, -- high bits of an event's key; never used again, even after removal
    id         BLOB NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    is_default INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    head       INTEGER NOT NULL DEFAULT 0,         -- as of the last sealed partition; the open one knows the rest
    accepted_at INTEGER NOT NULL DEFAULT 0         -- of the event at the head, as of the same
);
CREATE UNIQUE INDEX org_default ON org (is_default) WHERE is_default = 1;

-- Removed orgs whose events are still to be deleted, in small pieces.
CREATE TABLE removed_org (num INTEGER PRIMARY KEY);

CREATE TABLE partition (
    number    INTEGER PRIMARY KEY,
    sealed    INTEGER NOT NULL,
    first_at  INTEGER NOT NULL,                    -- acceptance time of its first event
    last_at   INTEGER NOT NULL,                    -- and of its last
    rows      INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,                    -- of payload
    indexed   INTEGER NOT NULL DEFAULT 0,          -- whether lookup_<n> is complete
    accounted INTEGER NOT NULL DEFAULT 0,          -- whether its undelivered events were counted as expired
    payload   INTEGER NOT NULL DEFAULT 1,          -- whether event_<n> is there
    filter    BLOB                                 -- for its ids, once indexed
);
CREATE UNIQUE INDEX partition_open ON partition (sealed) WHERE sealed = 0;

-- Which sequences of an org a sealed partition holds.
CREATE TABLE extent (
    org       INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    PRIMARY KEY (org, partition)
) WITHOUT ROWID;
CREATE INDEX extent_partition ON extent (partition);

CREATE TABLE api_key (
    id         BLOB PRIMARY KEY,
    org        INTEGER,                            -- NULL: a platform key
    name       TEXT NOT NULL,
    prefix     TEXT NOT NULL,
    hash       BLOB NOT NULL UNIQUE,
    scopes     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) WITHOUT ROWID;
CREATE INDEX api_key_org ON api_key (org, created_at);

CREATE TABLE connector (
    num            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             BLOB NOT NULL UNIQUE,
    org            INTEGER NOT NULL,
    name           TEXT NOT NULL,
    record         TEXT NOT NULL,                  -- settings and all the rest as JSON, without secrets
    rotation_until INTEGER,
    activated      INTEGER NOT NULL,               -- whether it was ever active
    UNIQUE (org, name)
);
CREATE INDEX connector_rotation ON connector (rotation_until) WHERE rotation_until IS NOT NULL;

CREATE TABLE connector_revision (
    connector      BLOB NOT NULL,
    revision       INTEGER NOT NULL,
    effective_from INTEGER NOT NULL,
    filter         TEXT NOT NULL,
    send_metrics   INTEGER NOT NULL,
    PRIMARY KEY (connector, revision)
) WITHOUT ROWID;

CREATE TABLE secret (
    connector  BLOB NOT NULL,
    field      TEXT NOT NULL,
    key_id     INTEGER NOT NULL,
    nonce      BLOB NOT NULL,
    ciphertext BLOB NOT NULL,
    PRIMARY KEY (connector, field)
) WITHOUT ROWID;

-- A stream outlives its connector (removed = 1) until its history is gone.
CREATE TABLE stream (
    num          INTEGER PRIMARY KEY AUTOINCREMENT,
    connector    BLOB NOT NULL,
    kind         INTEGER NOT NULL,
    org          INTEGER NOT NULL,
    removed      INTEGER NOT NULL DEFAULT 0,
    epoch        INTEGER NOT NULL DEFAULT 0,
    starts_after INTEGER NOT NULL,
    cursor       INTEGER NOT NULL,
    last_window  INTEGER,
    breaker      TEXT NOT NULL,
    last_success INTEGER,
    delivered    INTEGER NOT NULL DEFAULT 0,
    rejected     INTEGER NOT NULL DEFAULT 0,
    failed       INTEGER NOT NULL DEFAULT 0,
    expired      INTEGER NOT NULL DEFAULT 0,
    discarded    INTEGER NOT NULL DEFAULT 0,
    skipped      INTEGER NOT NULL DEFAULT 0,
    pending      INTEGER NOT NULL DEFAULT 0,
    filtered     INTEGER NOT NULL DEFAULT 0,
    archived_to  INTEGER NOT NULL,                 -- the rows that tell the outcome of events up to here are gone
    archived     TEXT NOT NULL                     -- and this is what they told, as counts
);
CREATE INDEX stream_id ON stream (connector, kind, removed);
CREATE INDEX stream_org ON stream (org);

CREATE TABLE delivery (
    stream       INTEGER NOT NULL,
    id           BLOB NOT NULL,
    trigger      INTEGER NOT NULL,
    root         INTEGER NOT NULL,                 -- taken from the live cursor or a backlog range: the spans of roots are disjoint
    status       INTEGER NOT NULL,
    first_seq    INTEGER,                          -- NULL without members
    last_seq     INTEGER,
    members      BLOB,                             -- NULL where they are all of first_seq..=last_seq
    window_start INTEGER,
    tally        TEXT,
    parent       BLOB,
    probe        INTEGER NOT NULL,
    accounted    INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    due_at       INTEGER,
    awaiting     TEXT,
    settled_at   INTEGER,
    delivered    INTEGER NOT NULL,
    rejected     INTEGER NOT NULL,
    cause        TEXT,
    PRIMARY KEY (stream, id)
) WITHOUT ROWID;
-- Few, and small where things go well: a delivered live delivery is in one of them only.
CREATE INDEX delivery_exception ON delivery (stream, status, id) WHERE status <> 1;
CREATE INDEX delivery_trigger ON delivery (stream, trigger, id) WHERE trigger <> 0;
CREATE INDEX delivery_root ON delivery (stream, first_seq) WHERE root = 1;
CREATE INDEX delivery_other ON delivery (stream, first_seq, last_seq) WHERE root = 0;
CREATE INDEX delivery_parent ON delivery (parent) WHERE parent IS NOT NULL;

CREATE TABLE attempt (
    stream      INTEGER NOT NULL,
    delivery    BLOB NOT NULL,
    number      INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    http_status INTEGER,
    excerpt     TEXT,
    cause       TEXT,
    PRIMARY KEY (stream, delivery, number)
) WITHOUT ROWID;

-- An event (or window, by its first sequence) that a delivery left behind, and where it went from there. The row keeps the link, not
-- the delivery that failed.
CREATE TABLE parked (
    stream   INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    events   INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    cause    TEXT NOT NULL,
    delivery BLOB NOT NULL,
    since    INTEGER NOT NULL,
    state    INTEGER NOT NULL,                     -- 0 waiting, 1 on its way, 2 arrived, 3 expired, 4 discarded
    link     BLOB,                                 -- the delivery it is on its way in, or arrived with
    PRIMARY KEY (stream, seq)
) WITHOUT ROWID;
CREATE INDEX parked_waiting ON parked (stream, kind, seq) WHERE state = 0;

CREATE TABLE backlog_range (
    num     INTEGER PRIMARY KEY AUTOINCREMENT,
    id      BLOB NOT NULL UNIQUE,
    stream  INTEGER NOT NULL,
    cursor  INTEGER NOT NULL,
    to_seq  INTEGER NOT NULL,
    trigger INTEGER NOT NULL,
    since   INTEGER NOT NULL
);
CREATE INDEX backlog_range_stream ON backlog_range (stream);

-- Sequences that a cursor passed for another reason than the filter or their age.
CREATE TABLE gap (
    stream    INTEGER NOT NULL,
    from_seq  INTEGER NOT NULL,                    -- the first of them
    to_seq    INTEGER NOT NULL,                    -- the last of them
    PRIMARY KEY (stream, from_seq)
) WITHOUT ROWID;

CREATE TABLE audit (
    num    INTEGER PRIMARY KEY AUTOINCREMENT,
    org    INTEGER,                                -- NULL: of the whole service
    at     INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_org ON audit (org, num);
