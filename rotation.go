package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// start adds the generations that are missing, and gives the keys to the signer.
func (r *keyRing) start(ctx context.Context) error {
	for range 2 * maxRaces {
		rows, err := r.store.SigningKeys(ctx)
		if err != nil {
			return err
		}
		now := newRing(rows, r.secrets)
		missing, err := r.missing(ctx, now)
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			r.adopt(ctx, rows)
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

// add adds a generation. If another replica has added one with its number, that one counts.
func (r *keyRing) add(ctx context.Context, k SigningKey) error {
	err := r.store.AddSigningKey(ctx, k)
	if errors.Is(err, errExists) {
		return nil
	}
	if err == nil {
		r.events.note(ctx, signingKeyAdded, User{}, client{}, describeGeneration(k))
	}
	return err
}

// describeGeneration is the detail of the event of a new generation.
func describeGeneration(k SigningKey) string {
	text := keyName(k.KeyID) + ", " + k.Algorithm + " from " + k.SignsFrom.Format(time.RFC3339)
	if k.RevokesOlder {
		text += "; older ones are void"
	}
	return text
}

// missing returns the generations that a start has to add: if the newest has another algorithm
// than ALGORITHM, or is not from SECRET_KEY. It adds at most one in an hour, so that replicas whose
// settings differ do not fill the ring.
func (r *keyRing) missing(ctx context.Context, now ring) ([]SigningKey, error) {
	at := r.now()
	if len(now.generations) == 0 {
		return r.first(ctx, now, at)
	}
	newest := now.generations[len(now.generations)-1]
	if newest.Algorithm == r.algorithm && !newest.fromFallback {
		return nil, nil
	}
	if newest.KeyID != "" && at.Before(newest.CreatedAt.Add(time.Hour)) {
		r.log.WarnContext(ctx, "no signing key is added, because the last one was less than an hour ago; restart after that, or run: latchkey keys rotate",
			"kid", newest.KeyID, "algorithm", newest.Algorithm, "created_at", newest.CreatedAt)
		return nil, nil
	}
	lead := publishLead
	if newest.KeyID == "" && now.isForeign() { // services that knew the key of before cannot verify HS256
		lead = 0
	}
	k, err := r.next(now, r.algorithm, at, lead)
	return []SigningKey{k}, err
}

// first returns the generations to begin with. The first key signs at once if there is nobody
// yet whose services could miss it, or if no key of ours is left. Otherwise HS256 goes on until it is
// known.
func (r *keyRing) first(ctx context.Context, now ring, at time.Time) ([]SigningKey, error) {
	users, err := r.store.FindUsers(ctx, userQuery{}, 1)
	if err != nil {
		return nil, err
	}
	if r.algorithm == "HS256" || len(users) == 0 || len(now.rows) > 0 {
		k, err := r.next(now, r.algorithm, at, 0)
		return []SigningKey{k}, err
	}
	shared, err := r.next(now, "HS256", at, 0)
	if err != nil {
		return nil, err
	}
	k, err := r.next(ring{rows: []SigningKey{shared}}, r.algorithm, at, publishLead)
	return []SigningKey{shared, k}, err
}

// next returns the next generation, which signs after lead.
func (r *keyRing) next(now ring, algorithm string, at time.Time, lead time.Duration) (SigningKey, error) {
	salt := randomBytes(saltLength)
	if r.inMemory { // so that a restart makes the same key, and services need not fetch it again
		salt = make([]byte, saltLength)
	}
	return newGeneration(now.nextNumber(), algorithm, r.secrets[0], salt, at, at.Add(lead))
}

var (
	errFirstKey    = errors.New("there is no signing key yet; the server makes the first one when it starts")
	errKeyWaits    = errors.New("a signing key waits already")
	errSharedKey   = errors.New("HS256 signs with SECRET_KEY itself; change that, with the old one in SECRET_KEY_FALLBACKS, or set ALGORITHM=ES256")
	errForeignRing = errors.New("no signing key in the database belongs to SECRET_KEY; want the server's SECRET_KEY")
)

// rotate adds a generation that signs after lead, and returns the ring with it. If it is revoking,
// the new one signs at once, and older ones are void. Otherwise it returns errKeyWaits if a generation waits to sign
// already. It returns errSharedKey, errFirstKey or errForeignRing if there is nothing to rotate.
func (r *keyRing) rotate(ctx context.Context, lead time.Duration, revoking bool) (ring, error) {
	if r.algorithm == "HS256" {
		return ring{}, errSharedKey
	}
	for range maxRaces {
		rows, err := r.store.SigningKeys(ctx)
		if err != nil {
			return ring{}, err
		}
		now, at := newRing(rows, r.secrets), r.now()
		if err := now.rotatable(at); err != nil && !(revoking && errors.Is(err, errKeyWaits)) {
			return ring{}, err
		}
		k, err := r.next(now, r.algorithm, at, lead)
		if err != nil {
			return ring{}, err
		}
		if k.RevokesOlder = revoking; revoking {
			k.SignsFrom = k.CreatedAt
		}
		err = r.store.AddSigningKey(ctx, k)
		if err == nil {
			return newRing(append(rows, k), r.secrets), nil
		}
		if !errors.Is(err, errExists) {
			return ring{}, err
		}
	}
	return ring{}, errRaced
}

// rotatable returns why no generation can be added, or nil.
func (r ring) rotatable(at time.Time) error {
	if len(r.rows) == 0 {
		return errFirstKey
	}
	if len(r.generations) == 0 {
		return errForeignRing
	}
	if g, waits := r.waiting(at); waits {
		return fmt.Errorf("%w: %s, which signs from %s", errKeyWaits, g.KeyID, g.SignsFrom.Format(time.RFC3339))
	}
	return nil
}
