package main

import (
	"context"
)

// signingKeyColumns are the columns of a SigningKey, in the order of signingKeyFields.
const signingKeyColumns = `generation, kid, algorithm, salt, created_at, signs_from, revokes_older`

// signingKeyFields returns where the signingKeyColumns of a row go.
func signingKeyFields(k *SigningKey) []any {
	return []any{
		&k.Number, &k.KeyID, &k.Algorithm, (*octets)(&k.Salt), (*micros)(&k.CreatedAt), (*micros)(&k.SignsFrom),
		&k.RevokesOlder,
	}
}

var selectSigningKeys = reading(`SELECT ` + signingKeyColumns + ` FROM signing_keys ORDER BY generation`)

func (s sqlStore) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	return readRows(ctx, s, signingKeyFields, selectSigningKeys)
}

var insertSigningKey = writing(`
	INSERT INTO signing_keys (` + signingKeyColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7)
	ON CONFLICT DO NOTHING`)

func (s sqlStore) AddSigningKey(ctx context.Context, k SigningKey) error {
	if err := checkSigningKey(k); err != nil {
		return err
	}
	salt := append([]byte{}, k.Salt...) // not nil, which would be null
	err := s.writeOne(ctx, insertSigningKey, k.Number, k.KeyID, k.Algorithm, salt,
		k.CreatedAt.UnixMicro(), k.SignsFrom.UnixMicro(), k.RevokesOlder)
	return replaceNotFound(err, errExists) // no row was inserted
}

var deleteSigningKey = writing(`DELETE FROM signing_keys WHERE generation = $1`)

func (s sqlStore) DeleteSigningKey(ctx context.Context, generation int64) error {
	_, err := s.writeAgain(ctx, deleteSigningKey, generation)
	return err
}
