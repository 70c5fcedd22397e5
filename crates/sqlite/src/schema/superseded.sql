-- Why a job ended that was never sealed.
ALTER TABLE job ADD COLUMN error_message TEXT;
