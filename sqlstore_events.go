package main

import (
	"context"
	"fmt"
	"time"
)

// eventColumns are the columns of an Event, in the order of eventFields.
const eventColumns = `id, ` + eventColumnsButID

const eventColumnsButID = `at, name, uid, username, username_key, actor, ip, user_agent, request_id, detail`

// eventFields returns where the eventColumns of a row go.
func eventFields(e *Event) []any {
	return []any{
		&e.ID, (*micros)(&e.At), &e.Name, &e.UID, &e.Username, &e.Key, &e.Actor, &e.IP, &e.UserAgent, &e.RequestID, &e.Detail,
	}
}

// eventValues returns the values of the eventColumnsButID of e.
func eventValues(e Event) []any {
	return []any{e.At.UnixMicro(), e.Name, e.UID, e.Username, e.Key, e.Actor, e.IP, e.UserAgent, e.RequestID, e.Detail}
}

func (s sqlStore) AddEvents(ctx context.Context, events []Event) error {
	if err := checkEvents(events); err != nil || len(events) == 0 {
		return err
	}
	err := s.write(ctx, func(ctx context.Context) error { return s.addEvents(ctx, events) })
	return replaceNotFound(err, errNoEventIDs)
}

// errNoEventIDs means that the only row of event_ids is not there.
var errNoEventIDs = fmt.Errorf("%w: the table event_ids is empty; want its row, as the migration made it", errUnavailable)

var (
	selectEvents = reading(`
		SELECT ` + eventColumns + ` FROM events
		WHERE id > $1 AND at + 0 >= $2 AND ($3 = '' OR name = $3) -- + 0: not by the index of times, which is in another order
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
		return readRows(ctx, s, eventFields, selectEventsOfName, q.Key, q.After, since, q.Name, limit)
	}
	return readRows(ctx, s, eventFields, selectEvents, q.After, since, q.Name, limit)
}

var selectUserEvents = reading(`
	SELECT ` + eventColumns + ` FROM events WHERE uid = $1 AND uid <> '' ORDER BY id DESC LIMIT $2`)

func (s sqlStore) UserEvents(ctx context.Context, uid string, limit int) ([]Event, error) {
	return readRows(ctx, s, eventFields, selectUserEvents, uid, limit)
}

var (
	deleteOldEvents = writing(`
		DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at < $1 ORDER BY at LIMIT $2)`)

	deleteExcessEvents = writing(`
		DELETE FROM events WHERE id IN (
			SELECT id FROM events WHERE id <= (SELECT last_id FROM event_ids WHERE only_row = 1) - $1 ORDER BY id LIMIT $2)`)
)

func (s sqlStore) DeleteOldEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	old, err := s.writeMany(ctx, deleteOldEvents, before.UnixMicro(), limit)
	if err != nil || old == int64(limit) {
		return int(old), err
	}
	excess, err := s.writeMany(ctx, deleteExcessEvents, maxEvents, limit-int(old))
	return int(old + excess), err
}
