-- The second layout: what users may ask of the service beyond delivery.

-- Test deliveries --------------------------------------------------------------------------------------------------------------------

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

-- People -----------------------------------------------------------------------------------------------------------------------------

-- Traffic ----------------------------------------------------------------------------------------------------------------------------
