-- What is changed for a while: one row for each field of an object. The body is JSON.
-- op: the operation that wrote the value which is there now, or was about to; its incident is in its name.
CREATE TABLE changes (
    object   TEXT NOT NULL,
    field    TEXT NOT NULL,
    op       TEXT NOT NULL,
    incident TEXT NOT NULL REFERENCES incidents (id),
    body     TEXT NOT NULL,
    PRIMARY KEY (object, field)
) STRICT, WITHOUT ROWID;
