-- Ids are never reused, not even after a removal: a stored reference always means the original row.
CREATE TABLE products (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    merchant     TEXT    NOT NULL,
    index_name   TEXT    NOT NULL,
    source_id    TEXT    NOT NULL,
    title        TEXT,
    fields       TEXT    NOT NULL, -- the document but for its variants, JSON
    version      TEXT    NOT NULL, -- JSON
    content_hash TEXT    NOT NULL,
    job_id       TEXT    NOT NULL, -- the job that wrote it last
    status       TEXT    NOT NULL DEFAULT 'active',
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL, -- a write that changes nothing but the job leaves it
    UNIQUE (merchant, index_name, source_id)
) STRICT;

CREATE TABLE skus (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    product_id INTEGER NOT NULL REFERENCES products (id) ON DELETE CASCADE,
    source_id  TEXT    NOT NULL,
    position   INTEGER NOT NULL, -- among the product's variants, from 0
    sku        TEXT,
    price      TEXT,             -- decimal, as it was written
    rest       TEXT    NOT NULL, -- what cannot be restored exactly from the columns and the attributes, JSON
    UNIQUE (product_id, source_id)
) STRICT;

CREATE TABLE attributes (
    sku_id INTEGER NOT NULL REFERENCES skus (id) ON DELETE CASCADE,
    name   TEXT    NOT NULL,
    value  TEXT    NOT NULL,
    PRIMARY KEY (sku_id, name, value)
) STRICT, WITHOUT ROWID;
