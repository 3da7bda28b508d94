-- +goose Up

-- Replicas of an older version may be serving. They can read all the time, but their writes
-- wait while an index is built, about a second per million sessions. Users come first,
-- because DELETE FROM users locks in this order too; the index is dropped last, because that
-- blocks reads until the end of the transaction.
SET LOCAL lock_timeout = '3s';

-- The users who may have ended sessions that are not yet deleted.
CREATE INDEX users_unswept ON users (id) WHERE session_epoch > swept_epoch;

-- The sessions of a user in the order of their last use. The first version of the schema did
-- not record it.
UPDATE sessions SET last_used_at = created_at WHERE last_used_at = 0;
CREATE INDEX sessions_last_used ON sessions (user_id, last_used_at DESC, id);
DROP INDEX sessions_user_id;
