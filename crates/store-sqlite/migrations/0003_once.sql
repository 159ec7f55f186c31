-- The third layout: what happens once, and what a person is told at the next login.

-- What happens once in the life of the data directory, and when it did.
CREATE TABLE milestone (
    name TEXT PRIMARY KEY,
    at   INTEGER NOT NULL
) WITHOUT ROWID;

-- Earlier layouts kept no such record. Actor kind 2 is the environment; as long as the audit log lives, it tells that its admin was made.
INSERT INTO milestone (name, at)
SELECT 'environment admin', min(at) FROM audit WHERE action = 'user.create' AND actor_kind = 2 HAVING min(at) IS NOT NULL;
-- The first key was made with the default org, or was not wanted.
INSERT INTO milestone (name, at)
SELECT 'first key', created_at FROM org WHERE is_default = 1;

-- Attempts to log in as the person that failed since their last login.
ALTER TABLE user ADD COLUMN failed_logins INTEGER NOT NULL DEFAULT 0;
