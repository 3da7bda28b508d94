-- +goose Up

-- While this waits for a lock, all later statements wait too: it is better to fail and start
-- again.
SET LOCAL lock_timeout = '3s';

-- Sessions that a user has ended all at once stay in the table until they are deleted in the
-- background. Some may be left where session_epoch is above swept_epoch. Replicas of an
-- older version may go on serving: they need not know this column.
ALTER TABLE users ADD COLUMN swept_epoch BIGINT NOT NULL DEFAULT 0;
