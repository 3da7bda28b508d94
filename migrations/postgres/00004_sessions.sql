-- +goose Up

-- Replicas of the older version may be serving. They wait while this runs, about a second
-- per million sessions. Most of their statements lock sessions before users: locked in the
-- other order, or one by one as the changes need them, the two would wait for each other.
SET LOCAL lock_timeout = '3s';
LOCK TABLE sessions, users IN ACCESS EXCLUSIVE MODE;

-- Sessions that a user has ended all at once stay in the table until they are deleted in the
-- background. Some may be left where session_epoch is above swept_epoch. Replicas of an
-- older version may go on serving: they need not know this column.
ALTER TABLE users ADD COLUMN swept_epoch BIGINT NOT NULL DEFAULT 0;
CREATE INDEX users_unswept ON users (id) WHERE session_epoch > swept_epoch;

-- The sessions of a user in the order of their last use. The first version of the schema did
-- not record it.
UPDATE sessions SET last_used_at = created_at WHERE last_used_at = 0;
CREATE INDEX sessions_last_used ON sessions (user_id, last_used_at DESC, id);
DROP INDEX sessions_user_id;
