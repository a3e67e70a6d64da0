-- Who began the incident by hand; none: an alert did. Such an incident has a scope_key of its own, so that no alert joins it.
ALTER TABLE incidents ADD COLUMN begun_by TEXT;

-- One row for each request to begin one: the same request again is known by its key.
CREATE TABLE runs (
    key      TEXT NOT NULL PRIMARY KEY,
    incident TEXT NOT NULL REFERENCES incidents (id)
) STRICT, WITHOUT ROWID;
