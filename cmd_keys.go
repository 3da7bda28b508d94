package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// quickLead is how long some services need to fetch a new key: Istio and Envoy look every 10 to 20
// minutes, and not when they see a key that they do not know.
const quickLead = 20 * time.Minute

// rotateKeysCommand adds a signing key, and says what will happen when.
func rotateKeysCommand(ctx context.Context, in *invocation) error {
	lead, err := in.publishLead()
	if err != nil {
		return err
	}
	if in.cfg.OwnKeys != nil {
		return errors.New("PRIVATE_KEY signs, and is yours to rotate; want ALGORITHM=ES256 without it, for which the server makes the keys itself")
	}
	return in.withAccounts(ctx, readWrite, func(a *accounts) error {
		keys := newKeyRing(in.cfg, a.store, a.events, nil, a.log, a.now)
		now, err := keys.rotate(ctx, lead, in.isSet("compromised"))
		if err != nil {
			return err
		}
		added := now.generations[len(now.generations)-1].SigningKey
		if err := in.printRotation(now, keys.retention); err != nil {
			return err
		}
		return a.record(ctx, a.events.newEvent(signingKeyAdded, User{}, cliClient(), describeGeneration(added)))
	})
}

// publishLead returns how long the new key is to be published before it signs.
func (in *invocation) publishLead() (time.Duration, error) {
	revoking, given := in.isSet("compromised"), in.isSet("in")
	switch {
	case revoking && given:
		return 0, usageErrorf("-compromised signs at once; want it without -in")
	case revoking:
		return 0, nil
	case !given:
		return publishLead, nil
	}
	lead, err := parseAge(in.text("in"))
	if err != nil || lead > maxLead {
		return 0, usageErrorf("-in: %s; want a duration such as 1h or 3d, of at most %d days", quoted(in.text("in")), maxLead/day)
	}
	if lead < quickLead {
		fmt.Fprintln(in.stderr, "warning: services that do not fetch the keys before the new one signs refuse its tokens: Istio and Envoy look every 10 to 20 minutes; want -in 1h")
	}
	return lead, nil
}

// printRotation prints what happens to the keys of a ring whose last was just added.
func (in *invocation) printRotation(now ring, retention time.Duration) error {
	last := len(now.generations) - 1
	added := now.generations[last]
	fmt.Fprintf(in.stdout, "added key %s (%s)\n", added.KeyID, added.Algorithm)
	fmt.Fprintf(in.stdout, "published since %s\n", shownMoment(added.CreatedAt))
	fmt.Fprintf(in.stdout, "signs from %s\n", shownMoment(added.SignsFrom))
	if added.RevokesOlder {
		return in.printf("older keys are void; running servers notice within %d seconds", int(ringPeriod.Seconds()))
	}
	older := now.generations[last-1]
	return in.printf("the key before, %s, verifies until %s", keyName(older.KeyID), shownMoment(now.retires(last-1).Add(retention)))
}

// listKeysCommand prints the keys as a table, or their public part as other programs read it.
func listKeysCommand(ctx context.Context, in *invocation) error {
	if in.isSet("jwks") && in.isSet("pem") {
		return usageErrorf("want -jwks or -pem, not both")
	}
	if in.cfg.OwnKeys != nil {
		return in.printSigningKeys(in.cfg.OwnKeys, func(w io.Writer) { printOwnKeys(w, in.cfg.OwnKeys) })
	}
	if in.cfg.DatabaseURL == "" {
		return errInMemory
	}
	return in.withAccounts(ctx, leaveSchema, func(a *accounts) error {
		keys := newKeyRing(in.cfg, a.store, a.events, nil, a.log, a.now)
		rows, err := a.store.SigningKeys(ctx)
		if err != nil {
			return err
		}
		now := newRing(rows, keys.secrets)
		return in.printSigningKeys(now.keys(keys.retention), func(w io.Writer) { printRing(w, now, keys.retention, a.now()) })
	})
}

// printSigningKeys prints a key set in the form that the options ask for. table prints it as a table.
func (in *invocation) printSigningKeys(keys keySet, table func(w io.Writer)) error {
	published := keys.published(time.Now())
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
	columns := tabwriter.NewWriter(in.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "KEY\tALGORITHM\tSTATE\tPUBLISHED\tSIGNS FROM\tVERIFIES UNTIL")
	table(columns)
	return columns.Flush()
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

// printOwnKeys prints the rows of PRIVATE_KEY and its fallbacks.
func printOwnKeys(w io.Writer, keys keySet) {
	for _, k := range keys {
		state := "retiring"
		if k.private != nil {
			state = "signing"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t-\t-\t-\n", k.id, k.method.Alg(), state)
	}
}

// printRing prints the rows of a ring, the newest first.
func printRing(w io.Writer, r ring, retention time.Duration, now time.Time) {
	signing := r.signing(now)
	for i := len(r.generations) - 1; i >= 0; i-- {
		g, until := r.generations[i], "-"
		state := "signing"
		if end := r.retires(i); !end.IsZero() {
			until = shownMoment(end.Add(retention))
		}
		switch {
		case i > signing:
			state = "next"
		case i < signing:
			state = "retiring"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", keyName(g.KeyID), g.Algorithm, state, shownMoment(g.CreatedAt), shownMoment(g.SignsFrom), until)
	}
	for _, k := range r.unexplained {
		fmt.Fprintf(w, "%s\t%s\tnot of SECRET_KEY\t%s\t%s\t-\n", printable(keyName(k.KeyID)), printable(k.Algorithm), shownMoment(k.CreatedAt), shownMoment(k.SignsFrom))
	}
}

func shownMoment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
