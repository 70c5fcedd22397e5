-- The last number that a job got, by which jobs of an index are ordered.
CREATE TABLE job_sequence (
    shop_id    TEXT    NOT NULL,
    index_name TEXT    NOT NULL,
    sequence   INTEGER NOT NULL,
    PRIMARY KEY (shop_id, index_name)
) STRICT, WITHOUT ROWID;
