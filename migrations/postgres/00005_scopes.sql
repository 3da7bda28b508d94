-- +goose Up

-- Replicas of the older version may be serving. They wait while this runs, some seconds per
-- million users.
SET LOCAL lock_timeout = '3s';
LOCK TABLE sessions, users IN ACCESS EXCLUSIVE MODE;

-- What a user may do, sorted: words with a space between them.
ALTER TABLE users ADD COLUMN scopes TEXT NOT NULL DEFAULT '';

-- An opaque random ID that no other user ever had: what other services know a user by. The
-- default is for the users who are there, and for servers of an older version that still add
-- some. The program itself makes 128 random bits, and PostgreSQL 122.
ALTER TABLE users ADD COLUMN uid TEXT NOT NULL
    DEFAULT replace(gen_random_uuid()::text, '-', '');
CREATE UNIQUE INDEX users_uid ON users (uid);

CREATE INDEX users_email ON users (lower(email)) WHERE email IS NOT NULL;
