-- The host's ledger knows which products an export did not have.
DROP TABLE catalog.seen;
