-- +goose Up

-- Who waits for a lock makes all others wait behind it: better fail, and start again. See
-- 00002_refresh.sql.
SET LOCAL lock_timeout = '3s';

-- The sessions that a user has ended all at once are still there until they are deleted in
-- the background: where session_epoch is above swept_epoch, some may be left. Replicas of
-- the older version know nothing of it and need not.
ALTER TABLE users ADD COLUMN swept_epoch BIGINT NOT NULL DEFAULT 0;
