package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// start adds the generations that are missing, and gives the keys to the signer.
func (r *keyRotator) start(ctx context.Context) error {
	for range maxRaces + 1 { // the last one only looks
		current, err := r.read(ctx)
		if err != nil {
			return err
		}
		missing, err := r.missing(ctx, current, r.now())
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			r.adopt(ctx, current.rows)
			r.logChanges(ctx)
			return nil
		}
		for _, k := range missing {
			if err := r.add(ctx, k); err != nil {
				return err
			}
		}
	}
	return errRaced
}

// read reads the ring from the store.
func (r *keyRotator) read(ctx context.Context) (ring, error) {
	rows, err := r.store.SigningKeys(ctx)
	if err != nil {
		return ring{}, err
	}
	return newRing(rows, r.secrets, r.retention), nil
}

// add adds a generation. If another replica has added one with its number, that one counts.
func (r *keyRotator) add(ctx context.Context, k SigningKey) error {
	err := r.store.AddSigningKey(ctx, k)
	if errors.Is(err, errExists) {
		return nil
	}
	if err == nil {
		r.events.note(ctx, signingKeyAdded, User{}, client{}, describeSigningKey(k))
	}
	return err
}

// describeSigningKey is the detail of the event of a new generation.
func describeSigningKey(k SigningKey) string {
	text := keyName(k.KeyID) + ", " + k.Algorithm + " from " + k.SignsFrom.Format(time.RFC3339)
	if k.RevokesOlder {
		text += "; older ones are revoked"
	}
	return text
}

// missing returns the generations that a start must add: one if the newest has another algorithm
// than ALGORITHM, or was made from a fallback of SECRET_KEY. At most one is added an hour, so that
// replicas with different settings do not fill the ring.
func (r *keyRotator) missing(ctx context.Context, current ring, now time.Time) ([]SigningKey, error) {
	if len(current.generations) == 0 {
		return r.first(ctx, current, now)
	}
	newest := current.newest()
	if newest.Algorithm == r.algorithm && !newest.fromFallback {
		return nil, nil
	}
	isTakenBack := r.algorithm == "HS256" && now.Before(newest.SignsFrom)
	if newest.KeyID != "" && now.Before(newest.CreatedAt.Add(time.Hour)) && !isTakenBack {
		r.log.WarnContext(ctx, "the newest signing key is less than an hour old, so none was added for ALGORITHM; restart later",
			"kid", newest.KeyID, "algorithm", newest.Algorithm, "created_at", newest.CreatedAt)
		return nil, nil
	}
	lead := publishLead
	switch {
	case r.algorithm == "HS256": // there is nothing to publish, but the other replicas must have read it
		lead = 2 * ringPeriod
	case newest.KeyID == "" && (current.endsForeign() || len(r.fallbacks) > 0):
		lead = 0 // services that knew the previous key cannot verify HS256
	}
	k, err := r.next(current.nextNumber(), r.algorithm, now, lead)
	return []SigningKey{k}, err
}

// first returns the generations of an empty ring. The first key signs at once: nobody has logged in
// yet, or PRIVATE_KEY or the key of another SECRET_KEY has signed. (For sessions from before there were
// keys, the migration adds HS256 to the ring.) If there are users, they may have come with tokens of
// HS256 that were made elsewhere, which go on being good until HS256 has retired.
func (r *keyRotator) first(ctx context.Context, current ring, now time.Time) ([]SigningKey, error) {
	users, err := r.store.FindUsers(ctx, userQuery{}, 1)
	if err != nil {
		return nil, err
	}
	number := current.nextNumber()
	k, err := r.next(number, r.algorithm, now, 0)
	if err != nil || r.algorithm == "HS256" || len(users) == 0 || len(current.rows) > 0 {
		return []SigningKey{k}, err
	}
	shared, err := r.next(number, "HS256", now, 0)
	k.Number++
	return []SigningKey{shared, k}, err
}

// next returns a new generation, which signs after lead.
func (r *keyRotator) next(number int64, algorithm string, now time.Time, lead time.Duration) (SigningKey, error) {
	k := SigningKey{Number: number, Algorithm: algorithm, CreatedAt: storedTime(now), SignsFrom: storedTime(now.Add(lead))}
	if algorithm == "HS256" {
		return k, nil
	}
	k.Salt = make([]byte, saltLength)
	if !r.inMemory { // there a restart makes the same key, so that services need not fetch it again
		k.Salt = randomBytes(saltLength)
	}
	key, err := deriveKey(r.secrets[0], k.Salt, algorithm)
	k.KeyID = key.id
	return k, err
}

// A rotation says how the next key is to follow.
type rotation struct {
	lead        time.Duration // how long it is published before it signs
	compromised bool          // it signs at once, and revokes all older keys
}

var (
	errFirstKey    = errors.New("there is no signing key yet; start the server once, which makes the first")
	errKeyWaits    = errors.New("a key is already waiting to sign")
	errSharedKey   = errors.New("HS256 signs with SECRET_KEY itself; change that, with the old one in SECRET_KEY_FALLBACKS, or set ALGORITHM=ES256")
	errForeignRing = errors.New("the latest signing key in the database was made from another SECRET_KEY; want that of the server")
)

// rotate adds a generation, and returns the ring with it. It returns errKeyWaits if a key is already
// waiting to sign, unless keys are compromised. It returns errSharedKey, errFirstKey or
// errForeignRing if there is nothing to rotate.
func (r *keyRotator) rotate(ctx context.Context, want rotation) (ring, error) {
	for range maxRaces {
		current, err := r.read(ctx)
		if err != nil {
			return ring{}, err
		}
		now := r.now()
		if err := r.checkRotation(current, now, want); err != nil {
			return ring{}, err
		}
		k, err := r.next(current.nextNumber(), r.algorithm, now, want.lead)
		if err != nil {
			return ring{}, err
		}
		k.RevokesOlder = want.compromised
		err = r.store.AddSigningKey(ctx, k)
		if err == nil {
			return newRing(append(current.rows, k), r.secrets, r.retention), nil // k is its newest
		}
		if !errors.Is(err, errExists) {
			return ring{}, err
		}
	}
	return ring{}, errRaced
}

// checkRotation returns why a rotation is not possible, or nil.
func (r *keyRotator) checkRotation(current ring, now time.Time, want rotation) error {
	switch {
	case r.algorithm == "HS256":
		return errSharedKey
	case len(current.rows) == 0:
		return errFirstKey
	case current.isForeign(), current.endsForeign() && !want.compromised:
		return errForeignRing
	}
	if newest := current.newest(); now.Before(newest.SignsFrom) && !want.compromised {
		return fmt.Errorf("%w: %s, from %s; rotate after that, or with -compromised", errKeyWaits, keyName(newest.KeyID), newest.SignsFrom.Format(time.RFC3339))
	}
	return nil
}
