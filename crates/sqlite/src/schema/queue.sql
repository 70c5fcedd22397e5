-- A message waits here until it is acknowledged or becomes a dead letter. The first of a lane is the only one that can be delivered.
CREATE TABLE message (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of sending
    shop_id       TEXT    NOT NULL,
    lane          INTEGER NOT NULL,
    job_id        TEXT    NOT NULL,
    chunk         TEXT    NOT NULL,                  -- the content, JSON
    hidden_until  INTEGER NOT NULL DEFAULT 0,
    receive_count INTEGER NOT NULL DEFAULT 0,
    nonce         INTEGER NOT NULL DEFAULT 0         -- of the latest delivery
) STRICT;
CREATE INDEX message_by_lane ON message (shop_id, lane, id);
CREATE INDEX message_by_job ON message (job_id);

-- What has ever been sent.
CREATE TABLE sent (
    job_id TEXT    NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letter (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    shop_id TEXT NOT NULL,
    letter  TEXT NOT NULL -- JSON
) STRICT;
CREATE INDEX dead_letter_by_shop ON dead_letter (shop_id, id);
