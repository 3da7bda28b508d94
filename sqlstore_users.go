package main

import (
	"context"
	"errors"
	"time"
)

func (s sqlStore) CreateUser(ctx context.Context, u User) (User, error) {
	if err := checkUser(u); err != nil {
		return User{}, err
	}
	u.CreatedAt, u.TokensValidAfter = storedTime(u.CreatedAt), storedTime(u.TokensValidAfter)
	err := s.writeRow(ctx, []any{&u.ID}, insertUser, u.Username, u.Key, u.Email, u.FullName, u.PasswordHash,
		u.Disabled, u.CreatedAt.UnixMicro(), u.TokensValidAfter.UnixMicro())
	if errors.Is(err, errNotFound) {
		return User{}, errExists // no row was inserted
	}
	if err != nil {
		return User{}, err
	}
	return u, nil
}

func (s sqlStore) UserByKey(ctx context.Context, key string) (User, error) {
	if !isStorable(key) {
		return User{}, errNotFound
	}
	var u User
	err := s.read(ctx, func(ctx context.Context) error {
		return s.queryRow(ctx, selectUserByKey, key).Scan(userFields(&u)...)
	})
	return u, err
}

func (s sqlStore) Users(ctx context.Context) ([]User, error) {
	var users []User
	err := s.read(ctx, func(ctx context.Context) error {
		users = nil // of an attempt that failed
		return s.queryAll(ctx, func(r row) error {
			users = append(users, User{})
			return r.Scan(userFields(&users[len(users)-1])...)
		}, selectUsers)
	})
	return users, err
}

// userFields are where the userColumns go.
func userFields(u *User) []any {
	return []any{
		&u.ID, &u.Username, &u.Key, &u.Email, &u.FullName,
		&u.PasswordHash, &u.Disabled, (*micros)(&u.CreatedAt), (*micros)(&u.TokensValidAfter),
	}
}

func (s sqlStore) ReplacePasswordHash(ctx context.Context, userID int64, current, next string) error {
	if err := checkStorable(next); err != nil {
		return err
	}
	if !isStorable(current) {
		return errNotFound
	}
	return s.writeOne(ctx, updatePasswordHash, next, userID, current)
}

func (s sqlStore) ChangePassword(ctx context.Context, userID int64, current, next string, validAfter time.Time, keep string) error {
	if err := checkStorable(next); err != nil {
		return err
	}
	if !isStorable(current) {
		return errNotFound
	}
	return s.writeOne(ctx, changePassword, keep, validAfter.UnixMicro(), next, userID, current)
}

func (s sqlStore) UpdateProfile(ctx context.Context, userID int64, change profileChange) (User, error) {
	if err := checkProfile(change); err != nil {
		return User{}, err
	}
	var u User
	err := s.writeRow(ctx, userFields(&u), updateProfile, change.Email.Set, change.Email.Value,
		change.FullName.Set, change.FullName.Value, userID)
	if err != nil {
		return User{}, err
	}
	return u, nil
}

func (s sqlStore) DisableUser(ctx context.Context, userID int64, validAfter time.Time) error {
	return s.writeOne(ctx, disableUser, "", validAfter.UnixMicro(), userID)
}

func (s sqlStore) DeleteUser(ctx context.Context, userID int64) error {
	return s.writeOne(ctx, deleteUser, userID)
}
