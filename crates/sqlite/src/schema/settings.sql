-- Settings of indexes, JSON. They hold API keys: the data directory belongs to its owner alone.
CREATE TABLE index_settings (
    index_name TEXT PRIMARY KEY,
    settings   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
