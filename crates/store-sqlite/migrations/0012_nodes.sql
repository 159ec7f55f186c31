-- The twelfth layout: a test names the node that makes it, so that only those of the dead are ended for it.

ALTER TABLE test_event ADD COLUMN node BLOB; -- NULL of those before: their process is gone
