-- +goose Up

-- The sessions that a user has ended all at once are still there until they are deleted in
-- the background: where session_epoch is above swept_epoch, some may be left. Replicas of
-- the older version know nothing of it and need not.
ALTER TABLE users ADD COLUMN swept_epoch INTEGER NOT NULL DEFAULT 0;
