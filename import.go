package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// An importer adds the users of a file to the store. It checks all of them before it adds the
// first.
type importer struct {
	accounts *accounts
	file     *importFile
	now      time.Time   // when users without a date are created
	try      string      // usernameKey of whose password is tried; empty: nobody's
	keep     int         // how many problems are kept
	pauses   bool        // after each batch, for a server that writes to the same file
	progress func(int)   // is told how many users have been read
	census   *hashCensus // of those to be added

	isFresh     bool // the store had no users when the check began
	names, uids *duplicates
	bad         []int // places of users that are left out, in their order
	problems    []badLine
	tried       *User // whose password is tried

	read, there, added, admins int
	sum                        [sha256.Size]byte // of the file as it was checked
}

// A badLine is why a user cannot be imported.
type badLine struct {
	place int
	text  string
}

func newImporter(a *accounts, file *importFile) *importer {
	return &importer{
		accounts: a, file: file, now: a.now().UTC().Truncate(time.Microsecond), census: newHashCensus(a.passwords.rounds),
		names: newDuplicates(), uids: newDuplicates(), progress: func(int) {},
	}
}

// check reads the file and compares it with itself and with the store.
func (i *importer) check(ctx context.Context) error {
	var err error
	if i.isFresh, err = isEmpty(ctx, i.accounts.store); err != nil {
		return err
	}
	err = i.file.eachBatch(ctx, i.now, func(batch []importedUser) error {
		return i.checkBatch(ctx, batch)
	})
	i.sum = i.file.sum
	if err == nil {
		err = i.checkDuplicates(ctx)
	}
	slices.Sort(i.bad)
	i.bad = slices.Compact(i.bad)
	slices.SortStableFunc(i.problems, func(a, b badLine) int { return a.place - b.place })
	return err
}

// isEmpty reports whether a store has no users.
func isEmpty(ctx context.Context, users userStore) (bool, error) {
	found := errors.New("a user")
	err := users.EachUser(ctx, func(User) error { return found })
	if errors.Is(err, found) {
		return false, nil
	}
	return err == nil, err
}

// checkBatch compares users with the store.
func (i *importer) checkBatch(ctx context.Context, batch []importedUser) error {
	var good []importedUser
	var keys, uids []string
	for _, u := range batch {
		if u.bad != nil {
			i.refuse(u.place, u.bad...)
			continue
		}
		good, keys = append(good, u), append(keys, u.user.Key)
		i.names.add(u.user.Key, u.place)
		if u.user.UID != "" {
			uids = append(uids, u.user.UID)
			i.uids.add(u.user.UID, u.place)
		}
	}
	i.read += len(batch)
	i.progress(i.read)
	var found []User
	if len(good) > 0 && !i.isFresh {
		var err error
		if found, err = i.accounts.store.UsersByKeyOrUID(ctx, keys, uids); err != nil {
			return err
		}
	}
	byKey, byUID := make(map[string]User), make(map[string]User)
	for _, u := range found {
		byKey[u.Key], byUID[u.UID] = u, u
	}
	for _, u := range good {
		i.checkAgainst(u, byKey[u.user.Key], byUID[u.user.UID])
	}
	return nil
}

// checkAgainst compares a user with those in the store who have the same name or UID. They are
// the zero User if there is none.
func (i *importer) checkAgainst(u importedUser, sameName, sameUID User) {
	if i.try != "" && u.user.Key == i.try {
		i.tried = &u.user
	}
	switch {
	case sameName.ID != 0 && sameName.Username == u.user.Username:
		i.there++
	case sameName.ID != 0:
		i.refuse(u.place, problemWith("username", "%s is taken by %s, who is there already%s",
			quoted(u.user.Username), quoted(sameName.Username), namesAreUnique))
	case sameUID.ID != 0:
		i.refuse(u.place, problemWith("uid", "is that of %s, who is there already", quoted(sameUID.Username)))
	default:
		i.census.add(u.user)
		if u.user.Scopes.has(scopeAdmin) {
			i.admins++
		}
	}
}

const namesAreUnique = " (names are unique without regard to case and width)"

// problemWith describes what is wrong with a field.
func problemWith(field, format string, args ...any) fieldError {
	return fieldError{Loc: []any{field}, Msg: fmt.Sprintf(format, args...)}
}

// refuse notes that a user cannot be imported.
func (i *importer) refuse(place int, reasons ...fieldError) {
	if n := len(i.bad); n == 0 || i.bad[n-1] != place {
		i.bad = append(i.bad, place)
	}
	for _, reason := range reasons {
		if len(i.problems) >= i.keep {
			return
		}
		i.problems = append(i.problems, badLine{place, describeBad(reason)})
	}
}

// describeBad returns the name of a field, and what is wrong with it.
func describeBad(bad fieldError) string {
	if field, ok := bad.Loc[len(bad.Loc)-1].(string); ok && field != "body" {
		return field + ": " + bad.reason()
	}
	return bad.reason()
}

// checkDuplicates refuses users whose name or UID an earlier one of the file has. It reads the
// file again if there are any, because only their places are known.
func (i *importer) checkDuplicates(ctx context.Context) error {
	names, uids := i.names.find(), i.uids.find()
	i.names, i.uids = nil, nil // they take a lot of memory
	if len(names)+len(uids) == 0 {
		return nil
	}
	wanted := make(map[int]string) // the names by their places
	for _, pair := range slices.Concat(names, uids)[:min(len(names)+len(uids), i.keep)] {
		wanted[pair.place], wanted[pair.first] = "", ""
	}
	err := i.file.eachBatch(ctx, i.now, func(batch []importedUser) error {
		for _, u := range batch {
			if _, ok := wanted[u.place]; ok {
				wanted[u.place] = quoted(u.user.Username)
			}
		}
		return nil
	})
	for _, pair := range names {
		i.refuse(pair.place, problemWith("username", "%s is taken by %s of %s%s",
			wanted[pair.place], wanted[pair.first], i.file.place(pair.first), namesAreUnique))
	}
	for _, pair := range uids {
		i.refuse(pair.place, problemWith("uid", "is that of %s of %s, too", wanted[pair.first], i.file.place(pair.first)))
	}
	return err
}

// importBatch is how many users are added in one transaction. With more, a server that writes to
// the same SQLite file would wait for longer; with fewer, each would cost more.
const importBatch = 5000

// errFileChanged means that the file is not the one that was checked.
var errFileChanged = errors.New("the file has changed since it was checked")

// write adds the users of the file, but those that check has refused. If it fails, or ctx ends,
// whole batches are in the store: repeat it, and it goes on.
func (i *importer) write(ctx context.Context) error {
	left := i.bad
	i.read = 0
	var batch []User
	err := i.file.eachBatch(ctx, i.now, func(users []importedUser) error {
		for _, u := range users {
			switch {
			case len(left) > 0 && left[0] == u.place:
				left = left[1:]
			case u.bad != nil:
				return errFileChanged
			default:
				batch = append(batch, u.user)
			}
		}
		i.read += len(users)
		if len(batch) < importBatch {
			return nil
		}
		err := i.add(ctx, batch)
		batch = batch[:0]
		return err
	})
	if err == nil && len(batch) > 0 {
		err = i.add(ctx, batch)
	}
	if err != nil {
		return err
	}
	if i.file.sum != i.sum {
		return errFileChanged
	}
	return nil
}

// add adds a batch, also if ctx ends meanwhile.
func (i *importer) add(ctx context.Context, batch []User) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	added, err := i.accounts.store.AddUsers(context.WithoutCancel(ctx), batch)
	if err != nil {
		return err
	}
	for _, ok := range added {
		if ok {
			i.added++
		}
	}
	i.progress(i.read)
	return nil
}

// tryPassword returns an error unless the hash of the user who is tried takes a password.
func (i *importer) tryPassword(password string) error {
	hash, err := parseHash(i.tried.PasswordHash)
	if err != nil {
		return fmt.Errorf("%s has no password", quoted(i.tried.Username))
	}
	if ok, _ := hash.verify(password); !ok {
		return fmt.Errorf("the hash of %s (%s) does not take this password", quoted(i.tried.Username), hash.scheme())
	}
	return nil
}

// summary says what was done, or with would what would be.
func (i *importer) summary(would bool) string {
	added, verb := i.added, "added"
	if would {
		added, verb = i.census.users, "would add"
	}
	there := i.there
	if !would {
		there = i.read - len(i.bad) - i.added
	}
	text := fmt.Sprintf("%s %s, there already %s, refused %s; administrators %s",
		verb, thousands(added), thousands(there), thousands(len(i.bad)), thousands(i.admins))
	if i.census.users > 0 {
		text += "; hashes: " + i.census.schemes()
	}
	return text
}

// record writes the event of an import.
func (i *importer) record(ctx context.Context, by client) {
	i.accounts.log.LogAttrs(ctx, slog.LevelInfo, "user_imported", slog.Int("added", i.added), slog.Int("refused", len(i.bad)),
		slog.String("sha256", fmt.Sprintf("%x", i.sum)), slog.String("actor", by.Actor))
}

// duplicates finds texts that occur twice among millions. It keeps a hash of each, and where it
// was.
type duplicates struct {
	seed   maphash.Seed
	shards [256][]occurrence // by the first byte of the hash
}

type occurrence struct {
	hash  uint64
	place uint32
}

// A repetition is the place of a text that stands at an earlier place, too.
type repetition struct{ place, first int }

func newDuplicates() *duplicates { return &duplicates{seed: maphash.MakeSeed()} }

func (d *duplicates) add(text string, place int) {
	h := maphash.String(d.seed, text)
	d.shards[h>>56] = append(d.shards[h>>56], occurrence{h, uint32(place)})
}

// find returns all repetitions in the order of their places.
func (d *duplicates) find() []repetition {
	var all []repetition
	for _, shard := range d.shards {
		slices.SortFunc(shard, func(a, b occurrence) int {
			return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.place, b.place))
		})
		first := 0
		for i := 1; i < len(shard); i++ {
			if shard[i].hash != shard[first].hash {
				first = i
				continue
			}
			all = append(all, repetition{int(shard[i].place), int(shard[first].place)})
		}
	}
	slices.SortFunc(all, func(a, b repetition) int { return a.place - b.place })
	return all
}

// reportProblems returns the lines that say what is wrong with the file.
func (i *importer) reportProblems() string {
	var text strings.Builder
	shown := make(map[int]bool)
	for _, p := range i.problems {
		shown[p.place] = true
		fmt.Fprintf(&text, "%s: %s\n", i.file.place(p.place), p.text)
	}
	if more := len(i.bad) - len(shown); more > 0 {
		fmt.Fprintf(&text, "and %s more\n", thousands(more))
	}
	return text.String()
}
