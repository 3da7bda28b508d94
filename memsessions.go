package main

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// memSessions holds the sessions of a memStore, which guards them with its mutex.
type memSessions struct {
	byID     map[string]*memSession
	byUser   map[int64][]*memSession // of users who have any, in the order of compareUse
	expiring expiryQueue             // every session
}

// A memSession is a session and its place in the expiryQueue.
type memSession struct {
	Session
	place int
}

func newMemSessions() memSessions {
	return memSessions{byID: make(map[string]*memSession), byUser: make(map[int64][]*memSession)}
}

// compareUse orders the sessions of a user: the one unused for longest comes first. It is
// the reverse of the order in which they are listed.
func compareUse(a, b *memSession) int {
	return cmp.Or(a.LastUsedAt.Compare(b.LastUsedAt), cmp.Compare(b.ID, a.ID))
}

func (m *memSessions) add(s Session) {
	entry := &memSession{Session: s}
	m.byID[s.ID] = entry
	m.insert(entry)
	heap.Push(&m.expiring, entry)
}

// latest returns at most limit sessions of a user that are open at now, the latest used
// first.
func (m *memSessions) latest(userID int64, now time.Time, limit int) []Session {
	var sessions []Session
	for _, s := range slices.Backward(m.byUser[userID]) {
		if len(sessions) == limit {
			break
		}
		if now.Before(s.ExpiresAt) {
			sessions = append(sessions, s.Session)
		}
	}
	return sessions
}

// rotate moves a session to its next generation.
func (m *memSessions) rotate(s *memSession, now, expiresAt time.Time) {
	m.remove(s) // before it changes: its place depends on its last use
	s.Generation++
	s.LastUsedAt, s.ExpiresAt = now, expiresAt
	m.insert(s)
	heap.Fix(&m.expiring, s.place)
}

// endUnused ends the sessions of a user that have been unused for longest, until at most
// left are open at now.
func (m *memSessions) endUnused(userID int64, now time.Time, left int) {
	all := m.byUser[userID]
	if len(all) <= left {
		return
	}
	excess := -left
	for _, s := range all {
		if now.Before(s.ExpiresAt) {
			excess++
		}
	}
	m.deleteOf(userID, func(s *memSession) bool {
		if excess <= 0 || !now.Before(s.ExpiresAt) {
			return false
		}
		excess--
		return true
	})
}

// deleteOf deletes the sessions of a user that ends picks. It calls ends once for each, in
// the order of compareUse.
func (m *memSessions) deleteOf(userID int64, ends func(*memSession) bool) {
	m.set(userID, slices.DeleteFunc(m.byUser[userID], func(s *memSession) bool {
		if !ends(s) {
			return false
		}
		m.forget(s)
		return true
	}))
}

// deleteExpired deletes at most limit sessions that have expired at now, and returns how
// many.
func (m *memSessions) deleteExpired(now time.Time, limit int) int {
	n := 0
	for ; n < limit && len(m.expiring) > 0 && !now.Before(m.expiring[0].ExpiresAt); n++ {
		m.delete(m.expiring[0])
	}
	return n
}

func (m *memSessions) delete(s *memSession) {
	m.forget(s)
	m.remove(s)
}

// forget deletes a session, except from the list of its user.
func (m *memSessions) forget(s *memSession) {
	heap.Remove(&m.expiring, s.place)
	delete(m.byID, s.ID)
}

// insert adds a session to the list of its user.
func (m *memSessions) insert(s *memSession) {
	all := m.byUser[s.UserID]
	i, _ := slices.BinarySearchFunc(all, s, compareUse)
	m.byUser[s.UserID] = slices.Insert(all, i, s)
}

// remove removes a session from the list of its user.
func (m *memSessions) remove(s *memSession) {
	all := m.byUser[s.UserID]
	i, _ := slices.BinarySearchFunc(all, s, compareUse)
	m.set(s.UserID, slices.Delete(all, i, i+1))
}

// set replaces the list of a user's sessions.
func (m *memSessions) set(userID int64, all []*memSession) {
	if len(all) == 0 {
		delete(m.byUser, userID)
		return
	}
	m.byUser[userID] = all
}

// An expiryQueue is a heap of sessions: the first is the first to expire.
type expiryQueue []*memSession

var _ heap.Interface = (*expiryQueue)(nil)

func (q expiryQueue) Len() int { return len(q) }

func (q expiryQueue) Less(i, j int) bool { return q[i].ExpiresAt.Before(q[j].ExpiresAt) }

func (q expiryQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *expiryQueue) Push(entry any) {
	s := entry.(*memSession)
	s.place = len(*q)
	*q = append(*q, s)
}

func (q *expiryQueue) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return s
}
