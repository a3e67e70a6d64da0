-- The journal. Times are whole microseconds since 1970 in UTC; documents are JSON.

CREATE TABLE incidents (
    id          TEXT    NOT NULL PRIMARY KEY,
    runbook     TEXT    NOT NULL,
    hash        TEXT    NOT NULL,
    -- The SHA-256 of the scope: labels can be longer than an index takes.
    scope_key   TEXT    NOT NULL,
    scope       TEXT    NOT NULL,
    opened_at   INTEGER NOT NULL,
    touched_at  INTEGER NOT NULL,
    closed_at   INTEGER,
    outcome     TEXT,
    seq         INTEGER NOT NULL,
    owner       TEXT,
    epoch       INTEGER NOT NULL,
    lease_until INTEGER,
    wake_at     INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX incidents_open ON incidents (runbook, scope_key) WHERE closed_at IS NULL;

CREATE TABLE events (
    incident TEXT    NOT NULL REFERENCES incidents (id),
    seq      INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    body     TEXT    NOT NULL,
    hash     TEXT    NOT NULL,
    PRIMARY KEY (incident, seq)
) STRICT;

-- An alert's last episode, as a runbook that answers it has seen it: a row that is new, or begins anew, is an answer.
-- alert_key: the fingerprint behind a hash of what Alertmanager groups by, so that the alerts of one group lie side by
-- side. A fingerprint alone scatters every one of them onto a page of its own.
-- incident: the one that this episode opened or joined; empty when only its end was heard. Not a foreign key: the row
-- decides whether an incident is opened, so it comes first.
CREATE TABLE episodes (
    alert_key   TEXT    NOT NULL,
    runbook     TEXT    NOT NULL,
    starts_at   INTEGER NOT NULL,
    ends_at     INTEGER,
    incident    TEXT    NOT NULL,
    PRIMARY KEY (alert_key, runbook)
) STRICT, WITHOUT ROWID;

CREATE TABLE effects (
    op       TEXT    NOT NULL PRIMARY KEY,
    incident TEXT    NOT NULL REFERENCES incidents (id),
    runbook  TEXT    NOT NULL,
    target   TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;

CREATE UNIQUE INDEX effects_in_flight ON effects (target) WHERE ended_at IS NULL;
CREATE INDEX effects_at ON effects (at);
CREATE INDEX effects_incident ON effects (incident);

CREATE TABLE unanswered (
    alert_key TEXT    NOT NULL PRIMARY KEY,
    at        INTEGER NOT NULL,
    alert     TEXT    NOT NULL,
    refused   INTEGER NOT NULL,
    reason    TEXT    NOT NULL
) STRICT;

CREATE INDEX unanswered_at ON unanswered (at, alert_key);

CREATE TABLE runbooks (
    hash TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

-- Append-only: the last row counts.
CREATE TABLE pauses (
    number INTEGER NOT NULL PRIMARY KEY,
    paused INTEGER NOT NULL,
    by     TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

CREATE TABLE dirty (
    sink     TEXT    NOT NULL,
    incident TEXT    NOT NULL REFERENCES incidents (id),
    seq      INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    PRIMARY KEY (sink, incident)
) STRICT, WITHOUT ROWID;

CREATE TABLE readers (
    sink      TEXT    NOT NULL,
    incident  TEXT    NOT NULL REFERENCES incidents (id),
    delivered INTEGER NOT NULL,
    note      TEXT    NOT NULL,
    PRIMARY KEY (sink, incident)
) STRICT, WITHOUT ROWID;

CREATE TABLE slots (
    sink    TEXT    NOT NULL PRIMARY KEY,
    next_at INTEGER NOT NULL
) STRICT;

-- One row, written by the readiness probe.
CREATE TABLE pulse (
    id INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;
