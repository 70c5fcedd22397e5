CREATE TABLE job (
    id          TEXT    PRIMARY KEY,
    shop_id     TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    fingerprint TEXT    NOT NULL,
    job         TEXT    NOT NULL,           -- what it was created with, JSON
    status      TEXT    NOT NULL,
    seal        TEXT,                       -- JSON
    sealed_chunks INTEGER,                  -- the seal's number of chunks
    chunks      INTEGER NOT NULL DEFAULT 0, -- rows in chunk
    completed   INTEGER NOT NULL DEFAULT 0, -- of these, rows that are counted
    processed   INTEGER NOT NULL DEFAULT 0,
    unchanged   INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    skipped     INTEGER NOT NULL DEFAULT 0,
    conflict    INTEGER NOT NULL DEFAULT 0,
    deleted     INTEGER NOT NULL DEFAULT 0,
    ended_at    INTEGER
) STRICT;
CREATE INDEX job_by_age ON job (created_at);
CREATE INDEX job_of_shop_by_age ON job (shop_id, created_at);
CREATE INDEX job_unfinished ON job (shop_id, fingerprint) WHERE ended_at IS NULL;

CREATE TABLE chunk (
    job_id      TEXT    NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    seq         INTEGER NOT NULL,
    chunk       TEXT    NOT NULL,                   -- JSON
    state       TEXT    NOT NULL DEFAULT 'PENDING', -- RUNNING, SETTLING (completing), DONE
    fence       INTEGER NOT NULL DEFAULT 0,         -- the fencing token
    attempts    INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER NOT NULL DEFAULT 0,
    outcome     TEXT,                               -- JSON, from SETTLING on
    report      TEXT,                               -- the outcome's report key
    counted     INTEGER NOT NULL DEFAULT 0,         -- whether the job's counters contain the outcome
    PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;

-- The first entries of each class, the seal's under sequence number -1.
CREATE TABLE sample (
    job_id   TEXT    NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    class    TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    entry    TEXT    NOT NULL, -- JSON
    PRIMARY KEY (job_id, class, seq, position)
) STRICT, WITHOUT ROWID;
