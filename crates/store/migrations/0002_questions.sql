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

-- People -----------------------------------------------------------------------------------------------------------------------------

-- Traffic ----------------------------------------------------------------------------------------------------------------------------
