package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// quickLead is how long some services need to fetch a new key: Istio and Envoy look every 10 to 20
// minutes, and not when they see a key that they do not know.
const quickLead = 20 * time.Minute

// rotateKeysCommand adds a signing key, and says what will happen when.
func rotateKeysCommand(ctx context.Context, in *invocation) error {
	want, err := in.rotationFromOptions()
	if err != nil {
		return err
	}
	if in.cfg.OwnKeys != nil {
		return errors.New("keys rotate cannot rotate PRIVATE_KEY; replace it and keep the old one in PRIVATE_KEY_FALLBACKS_DIR, or unset it and set ALGORITHM=ES256")
	}
	return in.withAccounts(ctx, readWrite, func(a *accounts) error {
		current, err := a.newKeyRotator(in.cfg).rotate(ctx, want)
		if err != nil {
			return err
		}
		event := a.events.newEvent(signingKeyAdded, User{}, cliClient(), describeSigningKey(current.newest().SigningKey))
		if err := errors.Join(in.printRotation(current), a.events.record(ctx, event)); err != nil {
			return err
		}
		if want.lead < quickLead && !want.compromised {
			fmt.Fprintf(in.stderr, "warning: -in %s may be too short: Istio and Envoy fetch keys every 10 to 20 minutes, and refuse tokens of a key that they do not have; want -in 1h\n", in.text("in"))
		}
		return nil
	})
}

// rotationFromOptions returns the rotation that the command line describes.
func (in *invocation) rotationFromOptions() (rotation, error) {
	compromised := in.isSet("compromised")
	switch {
	case compromised && in.isSet("in"):
		return rotation{}, usageErrorf("-compromised signs at once; want it without -in")
	case compromised:
		return rotation{compromised: true}, nil
	case !in.isSet("in"):
		return rotation{lead: publishLead}, nil
	}
	lead, err := parseAge(in.text("in"))
	if err != nil || lead > maxLead {
		return rotation{}, usageErrorf("-in: %s; want a duration such as 1h or 3d, of at most %d days", quoted(in.text("in")), maxLead/day)
	}
	return rotation{lead: lead}, nil
}

// printRotation prints what happens to the keys of a ring whose newest was just added.
func (in *invocation) printRotation(current ring) error {
	added, previous := current.newest(), len(current.generations)-2
	fmt.Fprintf(in.stdout, "added key %s (%s)\n", added.KeyID, added.Algorithm)
	fmt.Fprintf(in.stdout, "published since %s\n", shownSecond(added.CreatedAt))
	fmt.Fprintf(in.stdout, "signs from %s\n", shownSecond(added.SignsFrom))
	if added.RevokesOlder {
		return in.printf("older keys are revoked; servers with this SECRET_KEY notice within %d seconds", int(ringPeriod.Seconds()))
	}
	return in.printf("the previous key, %s, verifies until %s", keyName(current.generations[previous].KeyID), shownSecond(current.expires(previous)))
}

// listKeysCommand prints the keys as a table, or their public part as other programs read it.
func listKeysCommand(ctx context.Context, in *invocation) error {
	if in.isSet("jwks") && in.isSet("pem") {
		return usageErrorf("want -jwks or -pem, not both")
	}
	if in.cfg.OwnKeys != nil {
		return in.printSigningKeys(in.cfg.OwnKeys, ownKeyRows(in.cfg.OwnKeys), time.Now())
	}
	if in.cfg.DatabaseURL == "" {
		return errInMemory
	}
	return in.withAccounts(ctx, leaveSchema, func(a *accounts) error {
		rotator := a.newKeyRotator(in.cfg)
		current, err := rotator.read(ctx)
		if err == nil && len(current.rows) == 0 {
			err = errFirstKey
		}
		if err != nil {
			return err
		}
		rows := append(ringRows(current, a.now()), ownKeyRows(keySet(nil).with(in.cfg.OlderKeys...))...)
		return in.printSigningKeys(rotator.keysOf(current), rows, a.now())
	})
}

// printSigningKeys prints a key set in the form that the options ask for, which is a table of rows
// if there are none.
func (in *invocation) printSigningKeys(keys keySet, rows []keyRow, now time.Time) error {
	published := keys.published(now)
	switch {
	case len(published) == 0 && (in.isSet("jwks") || in.isSet("pem")):
		return errors.New("there is no public key: tokens are signed with a shared secret (ALGORITHM=HS256)")
	case in.isSet("jwks"):
		set, err := encodeJWKS(published)
		if err != nil {
			return err
		}
		return in.printf("%s", set)
	case in.isSet("pem"):
		return printPEM(in.stdout, published)
	}
	table := tabwriter.NewWriter(in.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tALGORITHM\tSTATE\tPUBLISHED\tSIGNS FROM\tVERIFIES UNTIL")
	for _, k := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", printable(keyName(k.id)), printable(k.algorithm), k.state,
			shownSecond(k.published), shownSecond(k.signsFrom), shownSecond(k.expires))
	}
	return table.Flush()
}

func printPEM(w io.Writer, keys []tokenKey) error {
	for _, k := range keys {
		der, err := x509.MarshalPKIXPublicKey(k.public)
		if err != nil {
			return err
		}
		if err := pem.Encode(w, &pem.Block{Type: "PUBLIC KEY", Bytes: der}); err != nil {
			return err
		}
	}
	return nil
}

// A keyRow is a row of the table of signing keys. Times are zero where there is nothing to say.
type keyRow struct {
	id, algorithm, state          string
	published, signsFrom, expires time.Time
}

// ownKeyRows returns the rows of PRIVATE_KEY and its fallbacks.
func ownKeyRows(keys keySet) []keyRow {
	var rows []keyRow
	for _, k := range keys {
		state := "retiring"
		if k.private != nil {
			state = "signing"
		}
		rows = append(rows, keyRow{id: k.id, algorithm: k.method.Alg(), state: state})
	}
	return rows
}

// ringRows returns the rows of a ring, the newest first.
func ringRows(r ring, now time.Time) []keyRow {
	var rows []keyRow
	signing := r.signingIndex(now)
	for i, g := range slices.Backward(r.generations) {
		state := "signing"
		switch {
		case i > signing:
			state = "next"
		case i < signing:
			state = "retiring"
		}
		rows = append(rows, keyRow{g.KeyID, g.Algorithm, state, g.CreatedAt, g.SignsFrom, r.expires(i)})
	}
	for _, k := range r.foreign {
		rows = append(rows, keyRow{k.KeyID, k.Algorithm, "foreign", k.CreatedAt, k.SignsFrom, time.Time{}})
	}
	return rows
}

// shownSecond returns a time for people, or "-" for the zero time.
func shownSecond(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
