-- How often a chunk was redriven, and why the first of its attempts since then failed (JSON).
ALTER TABLE chunk ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunk ADD COLUMN first_error TEXT;
