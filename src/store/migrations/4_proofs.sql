-- What runs of scenarios have shown of runbooks. A run has at most one proof of each, and what it said first stays.
-- times: JSON. kept_at: when it came in; proven_at is the runner's own time.
CREATE TABLE proofs (
    run       TEXT    NOT NULL,
    runbook   TEXT    NOT NULL,
    level     TEXT    NOT NULL,
    scenario  TEXT    NOT NULL,
    text      TEXT    NOT NULL,
    failed    INTEGER NOT NULL,
    proven_at INTEGER NOT NULL,
    times     TEXT    NOT NULL,
    version   TEXT    NOT NULL,
    kept_at   INTEGER NOT NULL,
    PRIMARY KEY (run, runbook)
) STRICT, WITHOUT ROWID;

-- The newest of each runbook, level, scenario and text, failed ones included: it is read before every effect, however many runs there were.
CREATE TABLE newest_proofs (
    runbook   TEXT    NOT NULL,
    level     TEXT    NOT NULL,
    scenario  TEXT    NOT NULL,
    text      TEXT    NOT NULL,
    run       TEXT    NOT NULL,
    failed    INTEGER NOT NULL,
    proven_at INTEGER NOT NULL,
    PRIMARY KEY (runbook, level, scenario, text),
    FOREIGN KEY (run, runbook) REFERENCES proofs (run, runbook)
) STRICT, WITHOUT ROWID;
