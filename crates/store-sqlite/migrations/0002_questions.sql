-- The second layout: what users may ask of the service beyond delivery.

-- Test deliveries --------------------------------------------------------------------------------------------------------------------

-- The synthetic event of a test delivery. It is not in the log: it lives and goes with its delivery.
CREATE TABLE test_event (
    stream   INTEGER NOT NULL,
    delivery BLOB NOT NULL,
    event_id BLOB NOT NULL,
    at       INTEGER NOT NULL,                     -- the event's own time
    payload  BLOB NOT NULL,
    PRIMARY KEY (stream, delivery)
) WITHOUT ROWID;
CREATE INDEX test_event_id ON test_event (event_id);

-- Jobs -------------------------------------------------------------------------------------------------------------------------------

-- What somebody asked to be sent again, or given up. Read and written as a whole, with every transaction of its deliveries.
CREATE TABLE job (
    id          BLOB PRIMARY KEY,
    org         INTEGER NOT NULL,
    connector   BLOB NOT NULL,
    stream      INTEGER,                           -- the kind; NULL where nothing is sent
    state       INTEGER NOT NULL,
    finished_at INTEGER,
    record      TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX job_org ON job (org, id);
CREATE INDEX job_open ON job (connector, id) WHERE state = 0;
CREATE INDEX job_ended ON job (finished_at) WHERE state <> 0;

ALTER TABLE delivery ADD COLUMN job BLOB;           -- the job that it was made for
CREATE INDEX delivery_job ON delivery (stream, job, id) WHERE job IS NOT NULL;

-- What stood around the bodies of an attempt ----------------------------------------------------------------------------------------

ALTER TABLE attempt ADD COLUMN request TEXT;
ALTER TABLE attempt ADD COLUMN response_headers TEXT;

-- People -----------------------------------------------------------------------------------------------------------------------------

CREATE TABLE user (
    id            BLOB PRIMARY KEY,
    org           INTEGER NOT NULL,
    email         TEXT NOT NULL UNIQUE,             -- in its one spelling
    name          TEXT NOT NULL,
    role          INTEGER NOT NULL,
    password      TEXT NOT NULL,                    -- hashed
    created_at    INTEGER NOT NULL,
    last_login_at INTEGER
) WITHOUT ROWID;
CREATE INDEX user_org ON user (org, created_at);

CREATE TABLE session (
    hash       BLOB PRIMARY KEY,
    user       BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_user ON session (user);

ALTER TABLE api_key ADD COLUMN created_by TEXT;
ALTER TABLE api_key ADD COLUMN last_used_at INTEGER;

ALTER TABLE audit ADD COLUMN actor_kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN actor_id BLOB;
-- Before, an actor was a name alone; these three were the only ones that were no keys.
UPDATE audit SET actor_kind = 2 WHERE actor = 'environment';
UPDATE audit SET actor_kind = 3 WHERE actor IN ('first start', 'command line');

-- Traffic ----------------------------------------------------------------------------------------------------------------------------

-- What a stream did within five minutes: for looking at, the account is the book.
CREATE TABLE traffic (
    stream          INTEGER NOT NULL,
    at              INTEGER NOT NULL,              -- the start of the bucket
    delivered       INTEGER NOT NULL,
    failed          INTEGER NOT NULL,
    rejected        INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    attempts_failed INTEGER NOT NULL,
    lag             INTEGER NOT NULL,              -- the highest
    latency         BLOB NOT NULL,                 -- the histogram: pairs of a step and its count, as varints
    PRIMARY KEY (stream, at)
) WITHOUT ROWID;
CREATE INDEX traffic_at ON traffic (at);

-- How many events of each type and severity a sealed partition holds, by org: for telling what a filter would do.
CREATE TABLE tally (
    partition  INTEGER NOT NULL,
    org        INTEGER NOT NULL,
    event_type INTEGER NOT NULL,
    severity   INTEGER NOT NULL,
    events     INTEGER NOT NULL,
    PRIMARY KEY (org, partition, event_type, severity)
) WITHOUT ROWID;
CREATE INDEX tally_partition ON tally (partition);
ALTER TABLE partition ADD COLUMN tallied INTEGER NOT NULL DEFAULT 0; -- whether its rows in tally are there
