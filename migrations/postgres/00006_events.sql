-- +goose Up

-- Replicas of the older version may be serving. They wait while an index is made anew, some seconds
-- per million users.
SET LOCAL lock_timeout = '3s';
LOCK TABLE sessions, users IN ACCESS EXCLUSIVE MODE;

-- The order of names is the same in every database, whatever its locale.
ALTER TABLE users ALTER COLUMN username_key TYPE TEXT COLLATE "C";

-- Name, e-mail address and full name as ?q= searches them. The program writes it, because databases
-- differ in what they take for the same letter. It is null where the program has yet to do so.
ALTER TABLE users ADD COLUMN search TEXT;
CREATE INDEX users_unfolded ON users (id) WHERE search IS NULL;

-- What has happened to accounts. The texts are empty where there is nothing to say.
CREATE TABLE events (
    id           BIGINT NOT NULL PRIMARY KEY,
    at           BIGINT NOT NULL,
    name         TEXT NOT NULL,
    uid          TEXT NOT NULL,
    username     TEXT NOT NULL,
    username_key TEXT NOT NULL,
    actor        TEXT NOT NULL,
    ip           TEXT NOT NULL,
    user_agent   TEXT NOT NULL,
    request_id   TEXT NOT NULL,
    detail       TEXT NOT NULL
);
CREATE INDEX events_at ON events (at);
CREATE INDEX events_uid ON events (uid, id) WHERE uid <> '';
CREATE INDEX events_username ON events (username_key, id) WHERE username_key <> '';

-- The last ID of an event. Its only row is changed in the transaction that adds the events: IDs
-- become visible in their order, and a reader that asks for events after an ID misses none.
CREATE TABLE event_ids (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    last_id  BIGINT NOT NULL
);
INSERT INTO event_ids (only_row, last_id) VALUES (1, 0);
