package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
)

// scriptedConnections answer one statement after the other as a script says. Every user has an API key
// in the first slot.
type scriptedConnections struct {
	noConnections
	answers []scriptedAnswer // to the statements that write
	sent    []*statement
}

// A scriptedAnswer is how many rows a statement has concerned, or how it has failed.
type scriptedAnswer struct {
	rows int64
	err  error
}

func (c *scriptedConnections) exec(_ context.Context, s *statement, _ ...any) (int64, error) {
	c.sent = append(c.sent, s)
	answer := c.answers[len(c.sent)-1]
	return answer.rows, answer.err
}

func (c *scriptedConnections) queryAll(_ context.Context, scan func(row) error, _ *statement, _ ...any) error {
	return scan(firstSlot{})
}

type firstSlot struct{}

func (firstSlot) Scan(fields ...any) error {
	*fields[0].(**int), *fields[1].(*bool) = new(0), false
	return nil
}

// TestLostWrites: what a store does if the connection breaks during a write, which may have been carried
// out: it repeats what does no harm, and nothing else.
func TestLostWrites(t *testing.T) {
	lost, none, one := scriptedAnswer{err: io.ErrUnexpectedEOF}, scriptedAnswer{rows: 0}, scriptedAnswer{rows: 1}
	endSession := func(ctx context.Context, s sqlStore) error { return s.EndSession(ctx, 1, "s") }
	deleteKey := func(ctx context.Context, s sqlStore) error { return s.DeleteAPIKey(ctx, 1, "k") }
	useKey := func(ctx context.Context, s sqlStore) error { return s.UseAPIKey(ctx, "k", testTime) }
	createKey := func(ctx context.Context, s sqlStore) error {
		return s.CreateAPIKey(ctx, APIKey{ID: "k", CreatedAt: testTime}, 2)
	}
	addGeneration := func(ctx context.Context, s sqlStore) error { return s.AddSigningKey(ctx, SigningKey{Number: 1}) }
	deleteGeneration := func(ctx context.Context, s sqlStore) error { return s.DeleteSigningKey(ctx, 1) }
	for _, tt := range []struct {
		name    string
		do      func(context.Context, sqlStore) error
		answers []scriptedAnswer
		sent    []*statement
		want    error
	}{
		{"the end of a session that is not there", endSession, []scriptedAnswer{none}, []*statement{deleteSession}, errNotFound},
		{"the end of a session, and then there is none", endSession, []scriptedAnswer{lost, none}, []*statement{deleteSession, deleteSession}, nil},
		{"the deletion of an API key that is not there", deleteKey, []scriptedAnswer{none}, []*statement{deleteAPIKey}, errNotFound},
		{"the deletion of an API key, and then there is none", deleteKey, []scriptedAnswer{lost, none}, []*statement{deleteAPIKey, deleteAPIKey}, nil},
		{"the deletion of an API key that is still there", deleteKey, []scriptedAnswer{lost, one}, []*statement{deleteAPIKey, deleteAPIKey}, nil},
		{"the deletion of an API key, over and over", deleteKey, []scriptedAnswer{lost, lost, lost}, []*statement{deleteAPIKey, deleteAPIKey, deleteAPIKey}, errUnavailable},
		{"the use of an API key", useKey, []scriptedAnswer{lost, one}, []*statement{updateAPIKey, updateAPIKey}, nil},
		{"the use of an API key that is deleted meanwhile", useKey, []scriptedAnswer{lost, none}, []*statement{updateAPIKey, updateAPIKey}, errNotFound},
		{"a new API key", createKey, []scriptedAnswer{none, lost}, []*statement{deleteExpiredAPIKeysOf, insertAPIKey}, errUnavailable},
		{"a new API key, before it is added", createKey, []scriptedAnswer{lost, none, one}, []*statement{deleteExpiredAPIKeysOf, deleteExpiredAPIKeysOf, insertAPIKey}, nil},
		{"a new API key whose slot another takes", createKey, []scriptedAnswer{none, none, one}, []*statement{deleteExpiredAPIKeysOf, insertAPIKey, insertAPIKey}, nil},
		{"a new generation", addGeneration, []scriptedAnswer{lost}, []*statement{insertSigningKey}, errUnavailable},
		{"a generation that is there", addGeneration, []scriptedAnswer{none}, []*statement{insertSigningKey}, errExists},
		{"the deletion of a generation", deleteGeneration, []scriptedAnswer{lost, one}, []*statement{deleteSigningKey, deleteSigningKey}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &scriptedConnections{answers: tt.answers}
			err := tt.do(t.Context(), sqlStore{&database{connections: c}})
			if !errors.Is(err, tt.want) || !slices.Equal(c.sent, tt.sent) {
				t.Errorf("%v after %d statements; want %v after %d", err, len(c.sent), tt.want, len(tt.sent))
			}
		})
	}
}
