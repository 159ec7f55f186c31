-- The seventh layout: the failed probes of an outage are attempts of the first of them.

-- Of that delivery: how long the outage lasts, as JSON.
ALTER TABLE delivery ADD COLUMN outage TEXT;
