-- +goose Up

-- Times are microseconds since 1970: datetime(created_at / 1000000, 'unixepoch')
-- shows one. username_key is what two spellings of a name have in common; tokens
-- issued before tokens_valid_after are refused. AUTOINCREMENT: no ID comes back.
CREATE TABLE users (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    username           TEXT NOT NULL,
    username_key       TEXT NOT NULL UNIQUE,
    email              TEXT,
    full_name          TEXT,
    password_hash      TEXT NOT NULL,
    disabled           BOOLEAN NOT NULL,
    created_at         INTEGER NOT NULL,
    tokens_valid_after INTEGER NOT NULL
);

CREATE TABLE sessions (
    id         TEXT PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ip         TEXT NOT NULL,
    user_agent TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);
