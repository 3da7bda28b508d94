package main

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
)

func (m *memStore) CreateUser(ctx context.Context, u User) (User, error) {
	if err := cmp.Or(ctx.Err(), checkUser(u)); err != nil {
		return User{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.createLocked(u)
}

// createLocked is CreateUser for a user that checkUser has found good.
func (m *memStore) createLocked(u User) (User, error) {
	u = storedUser(u)
	if m.byKey[u.Key] != nil || m.byUID[u.UID] != nil {
		return User{}, errExists
	}
	m.lastID++
	u.ID = m.lastID
	m.putLocked(u)
	place, _ := slices.BinarySearch(m.keys, u.Key)
	m.keys = slices.Insert(m.keys, place, u.Key)
	return u, nil
}

func (m *memStore) AddUsers(ctx context.Context, users []User) (added []bool, err error) {
	for _, u := range users {
		if err := checkUser(u); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range users {
		_, err := m.createLocked(u)
		added = append(added, err == nil)
	}
	return added, nil
}

func (m *memStore) UsersByKeyOrUID(ctx context.Context, keys, uids []string) ([]User, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := make(map[int64]*User)
	for _, key := range keys {
		if u := m.byKey[key]; u != nil {
			found[u.ID] = u
		}
	}
	for _, uid := range uids {
		if u := m.byUID[uid]; u != nil {
			found[u.ID] = u
		}
	}
	var users []User
	for _, u := range found {
		users = append(users, *u)
	}
	return users, ctx.Err()
}

func (m *memStore) UserByKey(ctx context.Context, key string) (User, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return foundUser(ctx, m.byKey[key])
}

func (m *memStore) Users(ctx context.Context) iter.Seq2[User, error] {
	return func(yield func(User, error) bool) {
		for _, u := range m.usersNow() {
			if ctx.Err() != nil {
				break
			}
			if !yield(*u, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(User{}, err)
		}
	}
}

// usersNow returns the users of this moment, which never change, in the order of their creation.
func (m *memStore) usersNow() []*User {
	m.mu.RLock()
	defer m.mu.RUnlock()
	users := slices.Collect(maps.Values(m.users))
	slices.SortFunc(users, func(a, b *User) int { return cmp.Compare(a.ID, b.ID) })
	return users
}

// scanBatch is how many users FindUsers looks at before it lets others at the store.
const scanBatch = 1000

func (m *memStore) FindUsers(ctx context.Context, q userQuery, limit int) ([]User, error) {
	var found []User
	for ctx.Err() == nil {
		some := m.usersAfter(q.After)
		for _, u := range some {
			if q.matches(*u) && len(found) < limit {
				found = append(found, *u)
			}
		}
		if len(some) < scanBatch || len(found) == limit {
			return found, nil
		}
		q.After = some[len(some)-1].Key
	}
	return nil, ctx.Err()
}

// usersAfter returns the next scanBatch users after a Key, which never change.
func (m *memStore) usersAfter(key string) []*User {
	m.mu.RLock()
	defer m.mu.RUnlock()
	place, exact := slices.BinarySearch(m.keys, key)
	if exact {
		place++
	}
	var users []*User
	for _, key := range m.keys[place:min(place+scanBatch, len(m.keys))] {
		users = append(users, m.byKey[key])
	}
	return users
}

// FoldUsers has nothing to do: this store folds the texts of users when it looks at them.
func (m *memStore) FoldUsers(ctx context.Context, _ int) (int, error) { return 0, ctx.Err() }

func (m *memStore) UpdateUser(ctx context.Context, userID int64, change userChange) (User, error) {
	if err := checkChange(change); err != nil {
		return User{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := foundUser(ctx, m.users[userID])
	if err != nil {
		return User{}, err
	}
	if change.IfPasswordHash != nil && u.PasswordHash != *change.IfPasswordHash {
		return User{}, errNotFound
	}
	if change.IfScopes != nil && u.Scopes != *change.IfScopes {
		return User{}, errNotFound
	}
	if change.IfDisabled != nil && u.Disabled != *change.IfDisabled {
		return User{}, errNotFound
	}
	change.applyTo(&u)
	if end := change.EndSessions; end != nil {
		m.sessions.deleteOf(u.ID, func(s *memSession) bool { return s.ID != end.Keep })
	}
	m.putLocked(u)
	return u, nil
}

// applyTo changes u, but not its sessions.
func (c userChange) applyTo(u *User) {
	if c.Email.Set {
		u.Email = c.Email.Value
	}
	if c.FullName.Set {
		u.FullName = c.FullName.Value
	}
	if c.PasswordHash != nil {
		u.PasswordHash = *c.PasswordHash
	}
	if c.Disabled != nil {
		u.Disabled = *c.Disabled
	}
	if c.Scopes != nil {
		u.Scopes = *c.Scopes
	}
	if c.EndSessions != nil {
		if validAfter := storedTime(c.EndSessions.ValidAfter); validAfter.After(u.TokensValidAfter) {
			u.TokensValidAfter = validAfter
		}
	}
}

func (m *memStore) DeleteUser(ctx context.Context, userID int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, err := foundUser(ctx, m.users[userID])
	if err != nil {
		return err
	}
	m.sessions.deleteOf(userID, func(*memSession) bool { return true })
	delete(m.users, u.ID)
	delete(m.byKey, u.Key)
	if place, ok := slices.BinarySearch(m.keys, u.Key); ok {
		m.keys = slices.Delete(m.keys, place, place+1)
	}
	delete(m.byUID, u.UID)
	delete(m.sources, u.ID)
	m.deleteAPIKeysLocked(u.ID, func(*APIKey) bool { return true })
	return nil
}

func (m *memStore) UserBySession(ctx context.Context, sessionID string) (User, Session, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := m.sessions.byID[sessionID]
	if s == nil {
		return User{}, Session{}, cmp.Or(ctx.Err(), errNotFound)
	}
	u, err := foundUser(ctx, m.users[s.UserID])
	if err != nil {
		return User{}, Session{}, err
	}
	return u, s.Session, nil
}
