-- The ledger knows which products an export did not have.
DROP TABLE seen;
