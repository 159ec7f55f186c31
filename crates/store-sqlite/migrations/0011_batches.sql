-- Events lie in runs (head_<n>, body_<n>) rather than in rows (record_<n>, event_<n>): src/convert.rs moves them.
ALTER TABLE partition ADD COLUMN packed INTEGER NOT NULL DEFAULT 0; -- whether its runs are as long and as small as they get
