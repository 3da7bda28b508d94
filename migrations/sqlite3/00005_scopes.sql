-- +goose Up

-- What a user may do, sorted: words with a space between them.
ALTER TABLE users ADD COLUMN scopes TEXT NOT NULL DEFAULT '';

-- An opaque random ID that no other user ever had: what other services know a user by. The
-- trigger is for servers of an older version that still add users to the same file.
ALTER TABLE users ADD COLUMN uid TEXT NOT NULL DEFAULT '';
UPDATE users SET uid = lower(hex(randomblob(16)));
CREATE UNIQUE INDEX users_uid ON users (uid);
CREATE TRIGGER users_uid AFTER INSERT ON users WHEN new.uid = ''
BEGIN
    UPDATE users SET uid = lower(hex(randomblob(16))) WHERE id = new.id;
END;

CREATE INDEX users_email ON users (lower(email)) WHERE email IS NOT NULL;
