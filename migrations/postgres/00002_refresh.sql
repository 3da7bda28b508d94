-- +goose Up

-- Of the refresh tokens of a session the one of its generation is the latest, which
-- was made when the session was last used. A session whose epoch is older than its
-- user's has ended, unless it is the one that was kept.
ALTER TABLE users
    ADD COLUMN session_epoch BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN kept_session  TEXT;

ALTER TABLE sessions
    ADD COLUMN epoch        BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN generation   BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN last_used_at BIGINT NOT NULL DEFAULT 0;

UPDATE sessions SET last_used_at = created_at;
