-- +goose Up

-- How often the password of an account was guessed wrong since its owner has logged in:
-- account is a keyed hash of the name, which may be a password that was typed into the
-- wrong field.
CREATE TABLE login_failures (
    account  TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    last_at  BIGINT NOT NULL
);

-- From where users have logged in lately, and so need not wait for the guesses of others.
CREATE TABLE login_sources (
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    source  TEXT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, source)
);

CREATE INDEX login_failures_last_at ON login_failures (last_at);
