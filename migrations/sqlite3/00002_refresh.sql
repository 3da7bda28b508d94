-- +goose Up

-- A session's latest refresh token is that of its generation, made at last_used_at, or at
-- created_at if that is 0. A session has ended if its epoch is below its user's
-- session_epoch, unless it is kept_session. tokens_valid_after concerns tokens without a
-- session only.
ALTER TABLE sessions ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN last_used_at INTEGER NOT NULL DEFAULT 0;

ALTER TABLE users ADD COLUMN session_epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN kept_session TEXT;
