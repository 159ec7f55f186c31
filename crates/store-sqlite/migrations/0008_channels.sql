-- The eighth layout: who is told when something is wrong, what there was to tell, and what somebody knows already.

CREATE TABLE channel (
    id       BLOB PRIMARY KEY,
    org      INTEGER NOT NULL,
    doc      TEXT NOT NULL,                        -- JSON: the channel
    told_to  INTEGER NOT NULL,                     -- the last notice of the org that it has told, or passed by
    progress TEXT NOT NULL                         -- JSON: how it is getting on
) WITHOUT ROWID;
CREATE INDEX channel_org ON channel (org);

CREATE TABLE channel_secret (
    channel    BLOB NOT NULL,
    field      TEXT NOT NULL,
    key_id     INTEGER NOT NULL,
    nonce      BLOB NOT NULL,
    ciphertext BLOB NOT NULL,
    PRIMARY KEY (channel, field)
) WITHOUT ROWID;

CREATE TABLE notice (
    org    INTEGER NOT NULL,
    number INTEGER NOT NULL,                       -- within the org, never given twice
    key    TEXT NOT NULL,
    at     INTEGER NOT NULL,                       -- when it was noted
    doc    TEXT NOT NULL,                          -- JSON: the notice
    PRIMARY KEY (org, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX notice_key ON notice (org, key);
CREATE INDEX notice_at ON notice (at);

CREATE TABLE acknowledgement (
    connector BLOB PRIMARY KEY,
    org       INTEGER NOT NULL,
    doc       TEXT NOT NULL                        -- JSON
) WITHOUT ROWID;
