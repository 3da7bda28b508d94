-- +goose Up

-- How often the password of an account was guessed wrong since its owner has logged in:
-- account is a keyed hash of the name, which may be a password that was typed into the
-- wrong field.
CREATE TABLE login_failures (
    account  TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    last_at  INTEGER NOT NULL
) WITHOUT ROWID;

-- From where users have logged in lately, and so need not wait for the guesses of others.
CREATE TABLE login_sources (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    source  TEXT NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, source)
) WITHOUT ROWID;

CREATE INDEX login_failures_last_at ON login_failures (last_at);
