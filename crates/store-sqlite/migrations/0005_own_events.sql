-- The fifth layout: a filter can name heartbeats and connector alerts, and judges them as it judges the rest.

-- 1 in the versions of before: they let the service's own events pass, whatever they name.
ALTER TABLE connector_revision ADD COLUMN passes_own INTEGER NOT NULL DEFAULT 1;
