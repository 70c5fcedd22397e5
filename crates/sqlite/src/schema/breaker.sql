-- What stops work on an index of a shop; no row if nothing does.
CREATE TABLE breaker (
    shop_id    TEXT    NOT NULL,
    index_name TEXT    NOT NULL,
    since      INTEGER NOT NULL,
    probes     INTEGER NOT NULL,
    record     TEXT    NOT NULL, -- JSON
    PRIMARY KEY (shop_id, index_name)
) STRICT, WITHOUT ROWID;
