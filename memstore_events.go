package main

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// maxMemEvents is how many events a memStore keeps: some 3 MB.
const maxMemEvents = 10_000

func (m *memStore) AddEvents(ctx context.Context, events []Event) error {
	if err := cmp.Or(ctx.Err(), checkEvents(events)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		m.lastEventID++
		e.ID, e.At = m.lastEventID, storedTime(e.At)
		m.events = append(m.events, e)
	}
	if excess := len(m.events) - maxMemEvents; excess > 0 {
		m.events = slices.Delete(m.events, 0, excess)
	}
	return nil
}

func (m *memStore) Events(ctx context.Context, q eventQuery, limit int) ([]Event, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var found []Event
	for _, e := range m.events {
		if q.matches(e) && len(found) < limit {
			found = append(found, e)
		}
	}
	return found, ctx.Err()
}

func (m *memStore) UserEvents(ctx context.Context, uid string, limit int) ([]Event, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var found []Event
	for _, e := range slices.Backward(m.events) {
		if e.UID == uid && uid != "" && len(found) < limit {
			found = append(found, e)
		}
	}
	return found, ctx.Err()
}

func (m *memStore) DeleteOldEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	m.events = slices.DeleteFunc(m.events, func(e Event) bool {
		isOld := n < limit && e.At.Before(before)
		if isOld {
			n++
		}
		return isOld
	})
	return n, nil
}
