-- The runs of scenarios at the real systems. They are never forgotten: an alert that names one of them is not taken for a real one years later, either.
CREATE TABLE drills (
    run      TEXT    NOT NULL PRIMARY KEY,
    scenario TEXT    NOT NULL,
    level    TEXT    NOT NULL,
    by       TEXT    NOT NULL,
    began_at INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    ended_at INTEGER
) STRICT, WITHOUT ROWID;

-- The drill that the incident belongs to; none: it is a real one.
ALTER TABLE incidents ADD COLUMN drill TEXT;
