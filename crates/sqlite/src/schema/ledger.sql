-- The ledger of products. Scopes are numbered, because their texts are longer than most products' ids.
CREATE TABLE ledger_scope (
    id         INTEGER PRIMARY KEY,
    shop_id    TEXT NOT NULL,
    target     TEXT NOT NULL,
    index_name TEXT NOT NULL,
    UNIQUE (shop_id, target, index_name)
) STRICT;

CREATE TABLE ledger (
    scope   INTEGER NOT NULL REFERENCES ledger_scope (id) ON DELETE CASCADE,
    product TEXT    NOT NULL,
    record  TEXT,             -- JSON; none if the product was only ever refused
    refusal TEXT,             -- why it was left out last, JSON
    PRIMARY KEY (scope, product)
) STRICT, WITHOUT ROWID;
