package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// importOptions say how a file of users is checked.
type importOptions struct {
	try      string // usernameKey of the user whose password is tried; empty: nobody
	named    int    // how many bad lines are named
	progress func(users int, read int64)
}

// An importCheck is what is known of a file before its users are added.
type importCheck struct {
	accounts *accounts
	file     *importFile
	importOptions
	now           time.Time // when users without a date are created
	storeWasEmpty bool
	names, uids   *duplicates // while the file is read

	sum      [sha256.Size]byte // of the file
	users    int               // how many there are
	admins   int               // how many of the new ones are administrators
	census   *hashCensus       // of the new ones
	refused  []int             // the places of bad users, in their order
	problems []importProblem   // of the first of them
	tryUser  *User
}

// An importProblem is why the user at a place is refused.
type importProblem struct {
	place int
	text  string
}

// checkImport compares every user of a file with the others and with the store.
func checkImport(ctx context.Context, a *accounts, file *importFile, options importOptions) (*importCheck, error) {
	c := &importCheck{
		accounts: a, file: file, importOptions: options, now: a.now().UTC().Truncate(time.Microsecond),
		names: newDuplicates(), uids: newDuplicates(), census: newHashCensus(a.passwords.rounds),
	}
	var err error
	if c.storeWasEmpty, err = isEmpty(ctx, a.store); err != nil {
		return c, err
	}
	c.sum, err = file.eachChunk(ctx, c.now, func(ch chunk) error {
		good := c.goodOf(ch)
		c.users += len(ch.users)
		c.progress(c.users, ch.read)
		return c.checkStored(ctx, good)
	})
	if err == nil {
		err = c.refuseDuplicates(ctx)
	}
	c.names, c.uids = nil, nil
	slices.Sort(c.refused)
	c.refused = slices.Compact(c.refused)
	slices.SortStableFunc(c.problems, func(a, b importProblem) int { return a.place - b.place })
	return c, err
}

// isEmpty reports whether a store has no users.
func isEmpty(ctx context.Context, users userStore) (bool, error) {
	for _, err := range users.Users(ctx) {
		return false, err
	}
	return true, nil
}

// goodOf refuses the bad users of a chunk, and returns the others.
func (c *importCheck) goodOf(ch chunk) (good []importedUser) {
	for _, u := range ch.users {
		if u.problems != nil {
			c.refuse(u.place, u.problems...)
			continue
		}
		good = append(good, u)
		c.names.add(u.user.Key, u.place)
		if u.user.UID != "" {
			c.uids.add(u.user.UID, u.place)
		}
	}
	return good
}

// checkStored compares users with the store.
func (c *importCheck) checkStored(ctx context.Context, users []importedUser) error {
	var keys, uids []string
	for _, u := range users {
		keys = append(keys, u.user.Key)
		if u.user.UID != "" {
			uids = append(uids, u.user.UID)
		}
	}
	var found []User
	if len(users) > 0 && !c.storeWasEmpty {
		var err error
		if found, err = c.accounts.store.UsersByKeyOrUID(ctx, keys, uids); err != nil {
			return err
		}
	}
	byKey, byUID := make(map[string]User), make(map[string]User)
	for _, u := range found {
		byKey[u.Key], byUID[u.UID] = u, u
	}
	for _, u := range users {
		c.checkAgainst(u, byKey[u.user.Key], byUID[u.user.UID])
	}
	return nil
}

// checkAgainst compares a user with those in the store who have the same name or UID. They are
// the zero User if there is none.
func (c *importCheck) checkAgainst(u importedUser, sameName, sameUID User) {
	switch {
	case sameName.ID != 0 && sameName.Username != u.user.Username:
		c.refuse(u.place, problemWith("username", "%s is already the name of the existing user %s%s",
			quoted(u.user.Username), quoted(sameName.Username), namesIgnore))
		return
	case sameName.ID == 0 && sameUID.ID != 0:
		c.refuse(u.place, problemWith("uid", "already belongs to the existing user %s", quoted(sameUID.Username)))
		return
	case sameName.ID == 0:
		c.census.add(u.user)
		if u.user.Scopes.has(scopeAdmin) {
			c.admins++
		}
	}
	if c.try != "" && u.user.Key == c.try {
		c.tryUser = &u.user
	}
}

const namesIgnore = " (names ignore case and width)"

// problemWith describes what is wrong with a field.
func problemWith(field, format string, args ...any) fieldError {
	return fieldError{Loc: []any{field}, Msg: fmt.Sprintf(format, args...)}
}

// refuse notes that a user cannot be imported.
func (c *importCheck) refuse(place int, reasons ...fieldError) {
	if c.refused = append(c.refused, place); len(c.refused) <= c.named {
		c.explain(place, reasons...)
	}
}

func (c *importCheck) explain(place int, reasons ...fieldError) {
	for _, reason := range reasons {
		c.problems = append(c.problems, importProblem{place, describeProblem(reason)})
	}
}

// describeProblem returns the name of a field, and what is wrong with it.
func describeProblem(bad fieldError) string {
	if field, ok := bad.Loc[len(bad.Loc)-1].(string); ok && field != "body" {
		return field + ": " + bad.reason()
	}
	return bad.reason()
}

// report returns the lines that say what is wrong with the file.
func (c *importCheck) report() string {
	var text strings.Builder
	shown := make(map[int]bool)
	for _, p := range c.problems {
		if shown[p.place] = true; len(shown) > c.named {
			delete(shown, p.place)
			break
		}
		fmt.Fprintf(&text, "%s: %s\n", c.file.place(p.place), p.text)
	}
	if more := len(c.refused) - len(shown); more > 0 {
		fmt.Fprintf(&text, "and %s more\n", thousands(more))
	}
	return text.String()
}

// refuseDuplicates refuses users whose name or UID an earlier one of the file has. If there are
// any, it reads the file again, because only their places are known, and counts anew.
func (c *importCheck) refuseDuplicates(ctx context.Context) error {
	names, uids := c.names.find(), c.uids.find()
	if len(names)+len(uids) == 0 {
		return nil
	}
	refused := make(map[int]bool)
	for _, place := range c.refused {
		refused[place] = true
	}
	spelled := make(map[int]string) // the names in question by their places
	for _, r := range slices.Concat(names, uids) {
		refused[r.place] = true
		if len(spelled) < 2*c.named {
			spelled[r.place], spelled[r.first] = "", ""
		}
	}
	c.admins, c.census, c.tryUser = 0, newHashCensus(c.accounts.passwords.rounds), nil
	_, err := c.file.eachChunk(ctx, c.now, func(ch chunk) error {
		var good []importedUser
		for _, u := range ch.users {
			if _, ok := spelled[u.place]; ok {
				spelled[u.place] = quoted(u.user.Username)
			}
			if !refused[u.place] {
				good = append(good, u)
			}
		}
		return c.checkStored(ctx, good)
	})
	for _, r := range names {
		c.refuseDuplicate(r, spelled, problemWith("username", "%s is already used by %s on %s%s",
			spelled[r.place], spelled[r.first], c.file.place(r.first), namesIgnore))
	}
	for _, r := range uids {
		c.refuseDuplicate(r, spelled, problemWith("uid", "already used by %s on %s", spelled[r.first], c.file.place(r.first)))
	}
	return err
}

// refuseDuplicate refuses a user, and says why if the names are known.
func (c *importCheck) refuseDuplicate(r repetition, spelled map[int]string, reason fieldError) {
	c.refused = append(c.refused, r.place)
	if _, ok := spelled[r.place]; ok {
		c.explain(r.place, reason)
	}
}

// errFileChanged means that the file is not the one that was checked.
var errFileChanged = errors.New("the file has changed since it was checked")

// write adds the users of the file, but those that were refused, and returns how many it has
// added. If it fails, or ctx ends, whole batches are in the store: repeat it, and it goes on.
func (c *importCheck) write(ctx context.Context) (added int, err error) {
	const maxBatchSize = 16 << 20 // of the file, in bytes
	refused, users, written := c.refused, 0, int64(0)
	var batch []User
	sum, err := c.file.eachChunk(ctx, c.now, func(ch chunk) error {
		for _, u := range ch.users {
			switch {
			case len(refused) > 0 && refused[0] == u.place:
				refused = refused[1:]
			case u.problems != nil:
				return errFileChanged
			default:
				batch = append(batch, u.user)
			}
		}
		users += len(ch.users)
		c.progress(users, ch.read)
		if len(batch) < importBatch && ch.read-written < maxBatchSize {
			return nil
		}
		written = ch.read
		n, err := c.addBatch(ctx, batch)
		added, batch = added+n, batch[:0]
		return err
	})
	if err == nil && len(batch) > 0 {
		var n int
		n, err = c.addBatch(ctx, batch)
		added += n
	}
	if err == nil && sum != c.sum {
		err = errFileChanged
	}
	return added, err
}

// addBatch adds users, also if ctx ends meanwhile, and returns how many were added.
func (c *importCheck) addBatch(ctx context.Context, batch []User) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	added, err := c.accounts.store.AddUsers(context.WithoutCancel(ctx), batch)
	for _, ok := range added {
		if ok {
			n++
		}
	}
	return n, err
}

// checkPassword returns an error unless the hash of tryUser takes a password.
func (c *importCheck) checkPassword(password string) error {
	hash, err := parseHash(c.tryUser.PasswordHash)
	if err != nil {
		return fmt.Errorf("%s has no password", quoted(c.tryUser.Username))
	}
	if ok, _ := hash.verify(password); !ok {
		return fmt.Errorf("the password of %s does not match the hash (%s)", quoted(c.tryUser.Username), hash.scheme())
	}
	return nil
}

// summary says how many users were added, or would be.
func (c *importCheck) summary(verb string, added int) string {
	text := fmt.Sprintf("%s %s, there already %s, refused %s; administrators %s", verb, thousands(added),
		thousands(c.users-len(c.refused)-added), thousands(len(c.refused)), thousands(c.admins))
	if c.census.users > 0 {
		text += "; hashes: " + c.census.schemes()
	}
	return text
}

// record records an import, which err may have ended early.
func (c *importCheck) record(ctx context.Context, added int, err error, by client) error {
	if err != nil && added == 0 {
		return nil
	}
	detail := fmt.Sprintf("added %d, refused %d, administrators %d, sha256 %x", added, len(c.refused), c.admins, c.sum)
	if err != nil {
		detail += ", ended early"
	}
	return c.accounts.events.record(ctx, c.accounts.events.newEvent(usersImported, User{}, by, detail))
}
