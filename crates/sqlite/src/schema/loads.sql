-- Digest of the text that is embedded.
ALTER TABLE products ADD COLUMN text_hash TEXT NOT NULL DEFAULT '';

-- The newest job that had a product in its export, by the time of its creation. Apart from the products, because it changes
-- with each sync while they seldom do.
CREATE TABLE seen (
    product_id     INTEGER PRIMARY KEY REFERENCES products (id) ON DELETE CASCADE,
    job_created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE loads (
    merchant   TEXT    NOT NULL,
    index_name TEXT    NOT NULL,
    job_id     TEXT    NOT NULL,
    began_at   INTEGER NOT NULL, -- when the job was created
    load       TEXT    NOT NULL, -- JSON
    PRIMARY KEY (merchant, index_name, job_id)
) STRICT, WITHOUT ROWID;

-- Products whose embedding is missing or of another text than theirs.
CREATE TABLE to_embed (
    product_id INTEGER PRIMARY KEY REFERENCES products (id) ON DELETE CASCADE,
    text_hash  TEXT    NOT NULL,
    refused    TEXT              -- why the endpoint does not take this text
) STRICT;

CREATE TABLE embeddings (
    product_id  INTEGER PRIMARY KEY REFERENCES products (id) ON DELETE CASCADE,
    text_hash   TEXT    NOT NULL, -- current only while it is the product's
    model       TEXT    NOT NULL,
    vector      BLOB    NOT NULL, -- 32-bit floats, little-endian
    embedded_at INTEGER NOT NULL
) STRICT;

-- The words of a product; the text itself is not kept.
CREATE VIRTUAL TABLE product_words USING fts5 (
    text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER product_words_of_removed AFTER DELETE ON products BEGIN
    DELETE FROM product_words WHERE rowid = old.id;
END;

INSERT INTO seen SELECT id, 0 FROM products;
INSERT INTO to_embed SELECT id, '', NULL FROM products;
INSERT INTO product_words (rowid, text) SELECT id, coalesce(title, '') FROM products;
