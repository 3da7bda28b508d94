package main

import (
	"context"
	"time"
)

var (
	updateLastEventID = writing(`UPDATE event_ids SET last_id = last_id + $1 WHERE only_row = 1 RETURNING last_id`)

	insertEvent = writing(`
		INSERT INTO events (` + eventColumns + `, username_key)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`)
)

// eventColumns are the columns of an Event, in the order of eventFields.
const eventColumns = `id, at, name, uid, username, actor, ip, user_agent, request_id, detail`

// eventFields returns where the eventColumns of a row go.
func eventFields(e *Event) []any {
	return []any{
		&e.ID, (*micros)(&e.At), &e.Name, &e.UID, &e.Username, &e.Actor, &e.IP, &e.UserAgent, &e.RequestID, &e.Detail,
	}
}

// AddEvents first changes the row of event_ids, for which other transactions then wait until this
// one is over.
func (s sqlStore) AddEvents(ctx context.Context, events []Event) error {
	if err := checkEvents(events); err != nil || len(events) == 0 {
		return err
	}
	return s.write(ctx, func(ctx context.Context) error {
		return s.transact(ctx, func(tx executor) error {
			var last int64
			if err := tx.queryRow(ctx, updateLastEventID, len(events)).Scan(&last); err != nil {
				return err
			}
			first := last - int64(len(events)) + 1
			for i, e := range events {
				_, err := tx.exec(ctx, insertEvent, first+int64(i), e.At.UnixMicro(), e.Name, e.UID, e.Username,
					e.Actor, e.IP, e.UserAgent, e.RequestID, e.Detail, usernameKey(e.Username))
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

var (
	selectEvents = reading(`
		SELECT ` + eventColumns + ` FROM events
		WHERE id > $1 AND at >= $2 AND ($3 = '' OR name = $3)
		ORDER BY id LIMIT $4`)

	selectEventsOfName = reading(`
		SELECT ` + eventColumns + ` FROM events
		WHERE username_key = $1 AND username_key <> '' AND id > $2 AND at >= $3 AND ($4 = '' OR name = $4)
		ORDER BY id LIMIT $5`)
)

func (s sqlStore) Events(ctx context.Context, q eventQuery, limit int) ([]Event, error) {
	since := q.Since.UnixMicro()
	if q.Since.IsZero() {
		since = 0
	}
	if q.Key != "" {
		return s.readEvents(ctx, selectEventsOfName, q.Key, q.After, since, q.Name, limit)
	}
	return s.readEvents(ctx, selectEvents, q.After, since, q.Name, limit)
}

var selectUserEvents = reading(`
	SELECT ` + eventColumns + ` FROM events WHERE uid = $1 AND uid <> '' ORDER BY id DESC LIMIT $2`)

func (s sqlStore) UserEvents(ctx context.Context, uid string, limit int) ([]Event, error) {
	return s.readEvents(ctx, selectUserEvents, uid, limit)
}

func (s sqlStore) readEvents(ctx context.Context, what *statement, args ...any) ([]Event, error) {
	var events []Event
	err := s.read(ctx, func(ctx context.Context) error {
		events = nil // of an attempt that failed
		return s.queryAll(ctx, func(r row) error {
			events = append(events, Event{})
			return r.Scan(eventFields(&events[len(events)-1])...)
		}, what, args...)
	})
	return events, err
}

// It looks at the oldest only, because there is no index by time.
var deleteOldEvents = writing(`
	DELETE FROM events
	WHERE (at < $1 OR id <= (SELECT last_id FROM event_ids WHERE only_row = 1) - $2)
		AND id IN (SELECT id FROM events ORDER BY id LIMIT $3)`)

func (s sqlStore) DeleteOldEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := s.writeMany(ctx, deleteOldEvents, before.UnixMicro(), maxEvents, limit)
	return int(n), err
}
