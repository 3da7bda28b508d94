-- +goose Up

-- Sessions that a user has ended all at once stay in the table until they are deleted in the
-- background. Some may be left where session_epoch is above swept_epoch. Replicas of an
-- older version may go on serving: they need not know this column.
ALTER TABLE users ADD COLUMN swept_epoch INTEGER NOT NULL DEFAULT 0;
CREATE INDEX users_unswept ON users (id) WHERE session_epoch > swept_epoch;

-- The sessions of a user in the order of their last use. The first version of the schema did
-- not record it.
UPDATE sessions SET last_used_at = created_at WHERE last_used_at = 0;
CREATE INDEX sessions_last_used ON sessions (user_id, last_used_at DESC, id);
DROP INDEX sessions_user_id;
