-- The fourth layout: answers and secrets that are kept for a while, under seal.

-- What a request with an idempotency key came to, and secrets that were shown once. The seal is bound to id, owner and org.
CREATE TABLE kept (
    id         BLOB PRIMARY KEY,
    owner      BLOB NOT NULL,                      -- the key or person whose it is
    org        BLOB,                               -- NULL where it concerns none
    kind       INTEGER NOT NULL,
    about      TEXT NOT NULL,
    at         INTEGER NOT NULL,
    until      INTEGER NOT NULL,
    key_id     INTEGER,                            -- NULL while the request is under way, as are the next two
    nonce      BLOB,
    ciphertext BLOB
) WITHOUT ROWID;
CREATE INDEX kept_owner ON kept (owner, at);
CREATE INDEX kept_until ON kept (until);
