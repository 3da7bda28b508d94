package main

import (
	"cmp"
	"context"
	"slices"
)

func (m *memStore) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var keys []SigningKey
	for _, k := range m.signingKeys {
		keys = append(keys, storedSigningKey(k))
	}
	return keys, ctx.Err()
}

func (m *memStore) AddSigningKey(ctx context.Context, k SigningKey) error {
	if err := cmp.Or(ctx.Err(), checkSigningKey(k)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := slices.ContainsFunc(m.signingKeys, func(other SigningKey) bool {
		return other.Number == k.Number || other.KeyID == k.KeyID && k.KeyID != ""
	})
	if taken {
		return errExists
	}
	m.signingKeys = append(m.signingKeys, storedSigningKey(k))
	slices.SortFunc(m.signingKeys, func(a, b SigningKey) int { return cmp.Compare(a.Number, b.Number) })
	return nil
}

func (m *memStore) DeleteSigningKey(ctx context.Context, generation int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.signingKeys = slices.DeleteFunc(m.signingKeys, func(k SigningKey) bool { return k.Number == generation })
	return nil
}
