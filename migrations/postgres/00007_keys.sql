-- +goose Up

-- Replicas of the older version may be serving. They wait while this runs, which is not long: no row
-- is written anew.
SET LOCAL lock_timeout = '3s';
LOCK TABLE sessions, users IN ACCESS EXCLUSIVE MODE;

-- The scopes that the login asked for: words with a space between them. It is null if the login
-- asked for none, and in all sessions that a server of an older version begins.
ALTER TABLE sessions ADD COLUMN asked_scope TEXT;

-- The generations of the key that signs tokens. No key is here: it is derived from SECRET_KEY and the
-- salt. The kid and the salt are empty if SECRET_KEY itself signs.
CREATE TABLE signing_keys (
    generation    BIGINT NOT NULL PRIMARY KEY,
    kid           TEXT NOT NULL,
    algorithm     TEXT NOT NULL,
    salt          BYTEA NOT NULL,
    created_at    BIGINT NOT NULL,
    signs_from    BIGINT NOT NULL,
    revokes_older BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX signing_keys_kid ON signing_keys (kid) WHERE kid <> '';

-- Existing sessions may have tokens signed with SECRET_KEY. So that goes on until other services have
-- had time to fetch a new key.
INSERT INTO signing_keys (generation, kid, algorithm, salt, created_at, signs_from, revokes_older)
SELECT 1, '', 'HS256', ''::bytea, made.at, made.at, false
FROM (SELECT (EXTRACT(EPOCH FROM now()) * 1000000)::bigint AS at) AS made
WHERE EXISTS (SELECT 1 FROM sessions);

-- hash is the SHA-256 of the whole key. expires_at is null if it never expires, and last_used_at until
-- it is used. A user has as many keys as there are slots for them: two that are added at the same time
-- cannot both take the last one.
CREATE TABLE api_keys (
    id           TEXT NOT NULL PRIMARY KEY,
    user_id      BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    slot         BIGINT NOT NULL,
    name         TEXT NOT NULL,
    hash         BYTEA NOT NULL,
    scopes       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    UNIQUE (user_id, slot)
);
CREATE INDEX api_keys_expires_at ON api_keys (expires_at);
