-- +goose Up

-- Replicas of the older version may be serving. They go on reading, and wait with what they
-- write for about a second per million sessions. The order matters: users first, because
-- DELETE FROM users locks them before its sessions; and an index is dropped last, because
-- that keeps readers waiting too.
SET LOCAL lock_timeout = '3s';

-- Whose ended sessions are to be deleted.
CREATE INDEX users_unswept ON users (id) WHERE session_epoch > swept_epoch;

-- The sessions of a user in the order of their last use, of which there was none yet with
-- the first version of the schema.
UPDATE sessions SET last_used_at = created_at WHERE last_used_at = 0;
CREATE INDEX sessions_last_used ON sessions (user_id, last_used_at DESC, id);
DROP INDEX sessions_user_id;
