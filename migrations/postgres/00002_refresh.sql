-- +goose Up

-- A session's latest refresh token is that of its generation, made at last_used_at. A
-- session has ended if its epoch is below its user's session_epoch, unless it is
-- kept_session. tokens_valid_after concerns tokens without a session only.
ALTER TABLE users
    ADD COLUMN session_epoch BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN kept_session  TEXT;

ALTER TABLE sessions
    ADD COLUMN epoch        BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN generation   BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN last_used_at BIGINT NOT NULL DEFAULT 0;

UPDATE sessions SET last_used_at = created_at;
