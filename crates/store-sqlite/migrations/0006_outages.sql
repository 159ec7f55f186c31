-- The sixth layout: what has to be told of a stream that stopped delivering.

-- Its outages until all of each was told: JSON, and hardly ever more than one.
ALTER TABLE stream ADD COLUMN outages TEXT NOT NULL DEFAULT '[]';
