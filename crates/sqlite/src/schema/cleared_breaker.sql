-- What stopped work on an index of a shop last and was cleared.
CREATE TABLE cleared_breaker (
    shop_id    TEXT    NOT NULL,
    index_name TEXT    NOT NULL,
    cleared_at INTEGER NOT NULL,
    record     TEXT    NOT NULL, -- JSON
    PRIMARY KEY (shop_id, index_name)
) STRICT, WITHOUT ROWID;
