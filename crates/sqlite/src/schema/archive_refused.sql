-- Why a full sync archived nothing, as JSON.
ALTER TABLE job ADD COLUMN archive_refused TEXT;
