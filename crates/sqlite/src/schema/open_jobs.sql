-- Jobs that have not ended, or have chunks that are not counted: the only ones that are looked through.
CREATE INDEX job_open ON job (shop_id) WHERE ended_at IS NULL OR completed < chunks;
