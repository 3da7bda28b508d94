-- +goose Up

-- Replicas of the older version may be serving. They read sessions before users: locked in
-- the other order, the two would wait for each other. And who waits for a lock makes all
-- others wait behind it: better fail, and start again.
SET LOCAL lock_timeout = '3s';

-- A session's latest refresh token is that of its generation, made at last_used_at, or at
-- created_at if that is 0. A session has ended if its epoch is below its user's
-- session_epoch, unless it is kept_session. tokens_valid_after concerns tokens without a
-- session only.
ALTER TABLE sessions
    ADD COLUMN epoch        BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN generation   BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN last_used_at BIGINT NOT NULL DEFAULT 0;

ALTER TABLE users
    ADD COLUMN session_epoch BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN kept_session  TEXT;
