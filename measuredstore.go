package main

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A measuredStore measures each operation of a store, under the name of the method. It embeds
// nothing, so that a method that is added to the interface has to be added here.
type measuredStore struct {
	inner      store
	operations map[string]storeMetrics
}

var _ store = measuredStore{}

// storeMetrics are those of one operation.
type storeMetrics struct {
	duration prometheus.Observer
	faults   prometheus.Counter
}

// storeOperations are the methods of a store. They are not asked of package reflect, because the
// linker could then drop no method of any type: the program would have two megabytes more.
var storeOperations = []string{
	"CreateUser", "UserByKey", "UserBySession", "AddUsers", "UsersByKeyOrUID", "FindUsers",
	"FoldUsers", "Users", "UpdateUser", "DeleteUser", "CreateSession", "Sessions",
	"RotateSession", "EndSession", "DeleteExpiredSessions", "DeleteEndedSessions",
	"LoginHistory", "AddFailure", "ClearFailures", "RememberSource", "ForgetSources",
	"DeleteOldFailures", "AddEvents", "Events", "UserEvents", "DeleteOldEvents",
	"SigningKeys", "AddSigningKey", "DeleteSigningKey", "CreateAPIKey", "UserByAPIKey", "APIKeys",
	"UseAPIKey", "DeleteAPIKey", "DeleteAPIKeys", "DeleteExpiredAPIKeys", "Ping", "Close",
}

// measure returns s with its operations measured, or s itself if m is nil.
func (m *metrics) measure(s store) store {
	if m == nil {
		return s
	}
	operations := make(map[string]storeMetrics)
	for _, name := range storeOperations {
		operations[name] = storeMetrics{m.storeDurations.WithLabelValues(name), m.storeFaults.WithLabelValues(name)}
	}
	return measuredStore{s, operations}
}

// note counts an operation that began at began and ended with *err.
func (s measuredStore) note(operation string, began time.Time, err *error) {
	of := s.operations[operation]
	of.duration.Observe(time.Since(began).Seconds())
	if isFault(*err) {
		of.faults.Inc()
	}
}

// isFault reports whether an error of a store is neither an answer nor the end of the caller.
func isFault(err error) bool {
	for _, answer := range []error{errNotFound, errExists, errTooMany, errUnstorable, context.Canceled} {
		if errors.Is(err, answer) {
			return false
		}
	}
	return err != nil
}

func (s measuredStore) CreateUser(ctx context.Context, u User) (made User, err error) {
	defer s.note("CreateUser", time.Now(), &err)
	return s.inner.CreateUser(ctx, u)
}

func (s measuredStore) UserByKey(ctx context.Context, key string) (u User, err error) {
	defer s.note("UserByKey", time.Now(), &err)
	return s.inner.UserByKey(ctx, key)
}

func (s measuredStore) UserBySession(ctx context.Context, sessionID string) (u User, found Session, err error) {
	defer s.note("UserBySession", time.Now(), &err)
	return s.inner.UserBySession(ctx, sessionID)
}

func (s measuredStore) AddUsers(ctx context.Context, users []User) (added []bool, err error) {
	defer s.note("AddUsers", time.Now(), &err)
	return s.inner.AddUsers(ctx, users)
}

func (s measuredStore) UsersByKeyOrUID(ctx context.Context, keys, uids []string) (users []User, err error) {
	defer s.note("UsersByKeyOrUID", time.Now(), &err)
	return s.inner.UsersByKeyOrUID(ctx, keys, uids)
}

func (s measuredStore) FindUsers(ctx context.Context, q userQuery, limit int) (users []User, err error) {
	defer s.note("FindUsers", time.Now(), &err)
	return s.inner.FindUsers(ctx, q, limit)
}

func (s measuredStore) FoldUsers(ctx context.Context, limit int) (n int, err error) {
	defer s.note("FoldUsers", time.Now(), &err)
	return s.inner.FoldUsers(ctx, limit)
}

// Users measures the whole of the iteration.
func (s measuredStore) Users(ctx context.Context) iter.Seq2[User, error] {
	return func(yield func(User, error) bool) {
		var failed error
		defer s.note("Users", time.Now(), &failed)
		for u, err := range s.inner.Users(ctx) {
			failed = err
			if !yield(u, err) {
				return
			}
		}
	}
}

func (s measuredStore) UpdateUser(ctx context.Context, userID int64, change userChange) (changed User, err error) {
	defer s.note("UpdateUser", time.Now(), &err)
	return s.inner.UpdateUser(ctx, userID, change)
}

func (s measuredStore) DeleteUser(ctx context.Context, userID int64) (err error) {
	defer s.note("DeleteUser", time.Now(), &err)
	return s.inner.DeleteUser(ctx, userID)
}

func (s measuredStore) CreateSession(ctx context.Context, begun Session, passwordHash string, atMost int) (err error) {
	defer s.note("CreateSession", time.Now(), &err)
	return s.inner.CreateSession(ctx, begun, passwordHash, atMost)
}

func (s measuredStore) Sessions(ctx context.Context, userID int64, now time.Time, limit int) (sessions []Session, err error) {
	defer s.note("Sessions", time.Now(), &err)
	return s.inner.Sessions(ctx, userID, now, limit)
}

func (s measuredStore) RotateSession(ctx context.Context, sessionID string, generation int64, now, expiresAt time.Time) (err error) {
	defer s.note("RotateSession", time.Now(), &err)
	return s.inner.RotateSession(ctx, sessionID, generation, now, expiresAt)
}

func (s measuredStore) EndSession(ctx context.Context, userID int64, sessionID string) (err error) {
	defer s.note("EndSession", time.Now(), &err)
	return s.inner.EndSession(ctx, userID, sessionID)
}

func (s measuredStore) DeleteExpiredSessions(ctx context.Context, now time.Time, limit int) (n int, err error) {
	defer s.note("DeleteExpiredSessions", time.Now(), &err)
	return s.inner.DeleteExpiredSessions(ctx, now, limit)
}

func (s measuredStore) DeleteEndedSessions(ctx context.Context, limit int) (n int, err error) {
	defer s.note("DeleteEndedSessions", time.Now(), &err)
	return s.inner.DeleteEndedSessions(ctx, limit)
}

func (s measuredStore) LoginHistory(ctx context.Context, account string, userID int64, source string) (known loginHistory, err error) {
	defer s.note("LoginHistory", time.Now(), &err)
	return s.inner.LoginHistory(ctx, account, userID, source)
}

func (s measuredStore) AddFailure(ctx context.Context, account string, now, stale time.Time) (err error) {
	defer s.note("AddFailure", time.Now(), &err)
	return s.inner.AddFailure(ctx, account, now, stale)
}

func (s measuredStore) ClearFailures(ctx context.Context, account string) (err error) {
	defer s.note("ClearFailures", time.Now(), &err)
	return s.inner.ClearFailures(ctx, account)
}

func (s measuredStore) RememberSource(ctx context.Context, userID int64, source string, now time.Time) (err error) {
	defer s.note("RememberSource", time.Now(), &err)
	return s.inner.RememberSource(ctx, userID, source, now)
}

func (s measuredStore) ForgetSources(ctx context.Context, userID int64, keep string) (err error) {
	defer s.note("ForgetSources", time.Now(), &err)
	return s.inner.ForgetSources(ctx, userID, keep)
}

func (s measuredStore) DeleteOldFailures(ctx context.Context, before time.Time, limit int) (n int, err error) {
	defer s.note("DeleteOldFailures", time.Now(), &err)
	return s.inner.DeleteOldFailures(ctx, before, limit)
}

func (s measuredStore) AddEvents(ctx context.Context, events []Event) (err error) {
	defer s.note("AddEvents", time.Now(), &err)
	return s.inner.AddEvents(ctx, events)
}

func (s measuredStore) Events(ctx context.Context, q eventQuery, limit int) (events []Event, err error) {
	defer s.note("Events", time.Now(), &err)
	return s.inner.Events(ctx, q, limit)
}

func (s measuredStore) UserEvents(ctx context.Context, uid string, limit int) (events []Event, err error) {
	defer s.note("UserEvents", time.Now(), &err)
	return s.inner.UserEvents(ctx, uid, limit)
}

func (s measuredStore) DeleteOldEvents(ctx context.Context, before time.Time, limit int) (n int, err error) {
	defer s.note("DeleteOldEvents", time.Now(), &err)
	return s.inner.DeleteOldEvents(ctx, before, limit)
}

func (s measuredStore) SigningKeys(ctx context.Context) (keys []SigningKey, err error) {
	defer s.note("SigningKeys", time.Now(), &err)
	return s.inner.SigningKeys(ctx)
}

func (s measuredStore) AddSigningKey(ctx context.Context, k SigningKey) (err error) {
	defer s.note("AddSigningKey", time.Now(), &err)
	return s.inner.AddSigningKey(ctx, k)
}

func (s measuredStore) DeleteSigningKey(ctx context.Context, generation int64) (err error) {
	defer s.note("DeleteSigningKey", time.Now(), &err)
	return s.inner.DeleteSigningKey(ctx, generation)
}

func (s measuredStore) CreateAPIKey(ctx context.Context, k APIKey, atMost int) (err error) {
	defer s.note("CreateAPIKey", time.Now(), &err)
	return s.inner.CreateAPIKey(ctx, k, atMost)
}

func (s measuredStore) UserByAPIKey(ctx context.Context, id string) (u User, k APIKey, err error) {
	defer s.note("UserByAPIKey", time.Now(), &err)
	return s.inner.UserByAPIKey(ctx, id)
}

func (s measuredStore) APIKeys(ctx context.Context, userID int64, now time.Time) (keys []APIKey, err error) {
	defer s.note("APIKeys", time.Now(), &err)
	return s.inner.APIKeys(ctx, userID, now)
}

func (s measuredStore) UseAPIKey(ctx context.Context, id string, at time.Time) (err error) {
	defer s.note("UseAPIKey", time.Now(), &err)
	return s.inner.UseAPIKey(ctx, id, at)
}

func (s measuredStore) DeleteAPIKey(ctx context.Context, userID int64, id string) (err error) {
	defer s.note("DeleteAPIKey", time.Now(), &err)
	return s.inner.DeleteAPIKey(ctx, userID, id)
}

func (s measuredStore) DeleteAPIKeys(ctx context.Context, userID int64) (n int, err error) {
	defer s.note("DeleteAPIKeys", time.Now(), &err)
	return s.inner.DeleteAPIKeys(ctx, userID)
}

func (s measuredStore) DeleteExpiredAPIKeys(ctx context.Context, now time.Time, limit int) (n int, err error) {
	defer s.note("DeleteExpiredAPIKeys", time.Now(), &err)
	return s.inner.DeleteExpiredAPIKeys(ctx, now, limit)
}

func (s measuredStore) Ping(ctx context.Context) (err error) {
	defer s.note("Ping", time.Now(), &err)
	return s.inner.Ping(ctx)
}

func (s measuredStore) Close() (err error) {
	defer s.note("Close", time.Now(), &err)
	return s.inner.Close()
}
