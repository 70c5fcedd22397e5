-- What last kept a job from going on, as JSON.
ALTER TABLE job ADD COLUMN last_error TEXT;
