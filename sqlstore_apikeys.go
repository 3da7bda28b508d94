package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// apiKeyColumns are the columns of an APIKey, in the order of apiKeyFields.
const apiKeyColumns = `api_keys.id, api_keys.user_id, api_keys.name, api_keys.hash, api_keys.scopes,
	api_keys.created_at, api_keys.expires_at, api_keys.last_used_at`

// apiKeyFields returns where the apiKeyColumns of a row go.
func apiKeyFields(k *APIKey) []any {
	return []any{
		&k.ID, &k.UserID, &k.Name, (*octets)(&k.Hash), (*string)(&k.Scopes),
		(*micros)(&k.CreatedAt), (*optionalMicros)(&k.ExpiresAt), (*optionalMicros)(&k.LastUsedAt),
	}
}

// CreateAPIKey looks for a free slot and tries to take it, until it has one or there is none. Every
// time that it fails, another request has succeeded.
func (s sqlStore) CreateAPIKey(ctx context.Context, k APIKey, atMost int) error {
	if err := checkAPIKey(k); err != nil {
		return err
	}
	if err := s.deleteExpiredOf(ctx, k.UserID, k.CreatedAt); err != nil {
		return err
	}
	for {
		slot, err := s.freeSlot(ctx, k, atMost)
		if err != nil {
			return err
		}
		err = s.insertAPIKey(ctx, k, slot)
		if !errors.Is(err, errNotFound) {
			return err
		}
	}
}

var deleteExpiredAPIKeysOf = writing(`DELETE FROM api_keys WHERE user_id = $1 AND expires_at <= $2`)

// deleteExpiredOf deletes the keys of a user that have expired at now: they have slots, too.
func (s sqlStore) deleteExpiredOf(ctx context.Context, userID int64, now time.Time) error {
	_, err := s.writeAgain(ctx, deleteExpiredAPIKeysOf, userID, now.UnixMicro())
	return err
}

var selectSlots = reading(`
	SELECT api_keys.slot, EXISTS (SELECT 1 FROM api_keys AS other WHERE other.id = $1)
	FROM users LEFT JOIN api_keys ON api_keys.user_id = users.id
	WHERE users.id = $2 AND NOT users.disabled`)

// freeSlot returns a slot in which the owner of k has no key. Its errors are those of CreateAPIKey.
func (s sqlStore) freeSlot(ctx context.Context, k APIKey, atMost int) (int, error) {
	var isFound, isTaken bool
	used := make(map[int]bool)
	err := s.read(ctx, func(ctx context.Context) error {
		clear(used) // of an attempt that failed
		return s.queryAll(ctx, func(r row) error {
			isFound = true
			var slot *int // nil: the owner has no key yet
			err := r.Scan(&slot, &isTaken)
			if slot != nil {
				used[*slot] = true
			}
			return err
		}, selectSlots, k.ID, k.UserID)
	})
	switch {
	case err != nil:
		return 0, err
	case !isFound:
		return 0, errNotFound
	case isTaken:
		return 0, errExists
	case len(used) >= atMost:
		return 0, errTooMany
	}
	slot := rand.IntN(atMost) // at random, because others look for one, too
	for used[slot] {
		slot = (slot + 1) % atMost
	}
	return slot, nil
}

var insertAPIKey = writing(`
	INSERT INTO api_keys (id, slot, name, hash, scopes, created_at, expires_at, last_used_at, user_id)
	SELECT $1, $2, $3, $4, $5, $6, $7, $8, id FROM users WHERE id = $9 AND NOT disabled
	ON CONFLICT DO NOTHING`)

// insertAPIKey returns errNotFound if the slot is taken, or a key has this ID, or the owner is gone or
// disabled.
func (s sqlStore) insertAPIKey(ctx context.Context, k APIKey, slot int) error {
	hash := append([]byte{}, k.Hash...) // not nil, which would be null
	return s.writeOne(ctx, insertAPIKey, k.ID, slot, k.Name, hash, string(k.Scopes),
		k.CreatedAt.UnixMicro(), optionalTime(k.ExpiresAt), optionalTime(k.LastUsedAt), k.UserID)
}

var selectUserByAPIKey = lookingUp(`
	SELECT ` + userColumns + `, ` + apiKeyColumns + `
	FROM api_keys JOIN users ON users.id = api_keys.user_id
	WHERE api_keys.id = $1`)

func (s sqlStore) UserByAPIKey(ctx context.Context, id string) (User, APIKey, error) {
	if !isStorable(id) {
		return User{}, APIKey{}, errNotFound
	}
	var u User
	var k APIKey
	err := s.read(ctx, func(ctx context.Context) error {
		return s.queryRow(ctx, append(userFields(&u), apiKeyFields(&k)...), selectUserByAPIKey, id)
	})
	if err != nil {
		return User{}, APIKey{}, err
	}
	return u, k, nil
}

var selectAPIKeys = reading(`
	SELECT ` + apiKeyColumns + ` FROM api_keys
	WHERE user_id = $1 AND (expires_at IS NULL OR expires_at > $2)
	ORDER BY created_at, id`)

func (s sqlStore) APIKeys(ctx context.Context, userID int64, now time.Time) ([]APIKey, error) {
	return readRows(ctx, s, apiKeyFields, selectAPIKeys, userID, now.UnixMicro())
}

var updateAPIKey = writing(`
	UPDATE api_keys SET last_used_at = CASE WHEN last_used_at >= $1 THEN last_used_at ELSE $1 END
	WHERE id = $2`)

func (s sqlStore) UseAPIKey(ctx context.Context, id string, at time.Time) error {
	if !isStorable(id) {
		return errNotFound
	}
	n, err := s.writeAgain(ctx, updateAPIKey, at.UnixMicro(), id)
	if err == nil && n == 0 {
		return errNotFound
	}
	return err
}

var deleteAPIKey = writing(`DELETE FROM api_keys WHERE id = $1 AND user_id = $2`)

func (s sqlStore) DeleteAPIKey(ctx context.Context, userID int64, id string) error {
	if !isStorable(id) {
		return errNotFound
	}
	return s.deleteOne(ctx, deleteAPIKey, id, userID)
}

var deleteAPIKeys = writing(`DELETE FROM api_keys WHERE user_id = $1`)

func (s sqlStore) DeleteAPIKeys(ctx context.Context, userID int64) (int, error) {
	n, err := s.writeMany(ctx, deleteAPIKeys, userID)
	return int(n), err
}

var deleteExpiredAPIKeys = writing(`
	DELETE FROM api_keys WHERE id IN (
		SELECT id FROM api_keys WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`)

func (s sqlStore) DeleteExpiredAPIKeys(ctx context.Context, now time.Time, limit int) (int, error) {
	n, err := s.writeMany(ctx, deleteExpiredAPIKeys, now.UnixMicro(), limit)
	return int(n), err
}
