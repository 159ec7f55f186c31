-- The tenth layout: the ids of sealed partitions by hash (ADR 0044). lookup_<n> of earlier layouts is brought over in the background, and
-- asked until then; partition.filter is not used any more.

-- Of the hash: made here, and never changed. A producer that knew it could aim its ids at one bucket.
CREATE TABLE ids_hash (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    key BLOB NOT NULL
);
INSERT INTO ids_hash (one, key) VALUES (1, randomblob(16));

-- A bucket in each row: 6 bytes of each hash, in order, and 8 of the event's key, in the same order.
CREATE TABLE ids_part (
    place  INTEGER PRIMARY KEY,                    -- the partition << 24, and the bucket: the first bits of the hash
    prints BLOB NOT NULL,
    keys   BLOB NOT NULL
);
-- The same of all partitions of the last 48 hours that are merged.
CREATE TABLE ids_recent (
    place  INTEGER PRIMARY KEY,                    -- the generation << 24, and the bucket
    prints BLOB NOT NULL,
    keys   BLOB NOT NULL
);

-- Where the ids of a sealed partition are, once they are complete in ids_part.
CREATE TABLE ids_of (
    partition INTEGER PRIMARY KEY,
    level     INTEGER NOT NULL,                    -- 0 asked by itself, 1 in ids_recent as well, 2 being merged into it, 3 too old for a duplicate
    bits      INTEGER NOT NULL,                    -- of the hash, that tell the bucket
    newest_v7 INTEGER,                             -- the newest time in an id of version 7, in milliseconds
    filter    BLOB                                 -- of level 0
);

CREATE TABLE ids_level (
    generation INTEGER PRIMARY KEY,
    bits       INTEGER NOT NULL,
    next       INTEGER                             -- the first bucket that is still to be written; NULL where all are
);
