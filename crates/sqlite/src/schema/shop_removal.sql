-- Shops that are being removed, or were, by the digest of their ids.
CREATE TABLE shop_removal (
    shop    TEXT PRIMARY KEY,
    removal TEXT NOT NULL -- JSON
) STRICT, WITHOUT ROWID;
