package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"
)

// addAPIKeyCommand makes an API key and prints it, alone on a line, so that a script can take it.
func addAPIKeyCommand(ctx context.Context, in *invocation) error {
	req, err := in.newAPIKeyFromOptions()
	if err != nil {
		return err
	}
	return in.withUser(ctx, readWrite, func(a *accounts, u User) error {
		if u.Disabled {
			return fmt.Errorf("%s is disabled; want: latchkey users enable %s", quoted(u.Username), shellWord(u.Username))
		}
		if lacks := u.Scopes.missing(req.Scopes); lacks != "" {
			return fmt.Errorf("-scope: %s lacks %s; want: latchkey users grant %s %s", quoted(u.Username), lacks, shellWord(u.Username), lacks)
		}
		_, text, err := a.createAPIKey(ctx, u, req, cliClient())
		if errors.Is(err, errTooMany) {
			return fmt.Errorf("%s has %s already, and that is the limit; revoke one first", quoted(u.Username), countOf(maxAPIKeys, "API key"))
		}
		if err != nil {
			return err
		}
		return in.printf("%s", text)
	})
}

// newAPIKeyFromOptions returns the API key that the command line describes.
func (in *invocation) newAPIKeyFromOptions() (apiKeyRequest, error) {
	k := apiKeyRequest{Name: in.text("name"), Life: defaultAPIKeyDays * day}
	if !in.isSet("name") {
		return k, usageErrorf("missing -name; want a name by which to know the key in the list")
	}
	if !isStorable(k.Name) {
		return k, usageErrorf("-name: want UTF-8 without NUL characters")
	}
	if bad := checkAPIKeyName(k.Name); bad != nil {
		return k, usageErrorf("-name: %s", bad.reason())
	}
	var err error
	if k.Scopes, err = newScopes(in.given["scope"]...); err != nil {
		return k, usageErrorf("-scope: %v", err)
	}
	if in.isSet("days") {
		k.Life, err = parseAPIKeyDays(in.text("days"))
	}
	return k, err
}

// parseAPIKeyDays returns the life of a key in days, or 0 for never.
func parseAPIKeyDays(text string) (time.Duration, error) {
	if text == "never" {
		return 0, nil
	}
	days, err := strconv.Atoi(text)
	if err != nil || checkRange(days, 1, maxAPIKeyDays) != nil {
		return 0, usageErrorf("-days: %s; want 1 to %d, or never", quoted(text), maxAPIKeyDays)
	}
	return time.Duration(days) * day, nil
}

// listAPIKeysCommand prints the API keys of a user as a table, or as JSON Lines. It cannot print the keys
// themselves, which nobody knows.
func listAPIKeysCommand(ctx context.Context, in *invocation) error {
	return in.withUser(ctx, leaveSchema, func(a *accounts, u User) error {
		keys, err := a.apiKeysOf(ctx, u)
		if err != nil {
			return err
		}
		if !in.isSet("json") {
			return in.printAPIKeys(keys)
		}
		for _, k := range keys {
			if err := writeLine(in.stdout, newListedAPIKey(k)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (in *invocation) printAPIKeys(keys []APIKey) error {
	table := tabwriter.NewWriter(in.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tSCOPES\tCREATED\tEXPIRES\tLAST USED")
	for _, k := range keys {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, printable(k.Name), k.Scopes,
			shownTime(k.CreatedAt), shownTime(k.ExpiresAt), shownTime(k.LastUsedAt))
	}
	return table.Flush()
}

// shownTime returns a time for a table, or "never" for the zero time.
func shownTime(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format("2006-01-02 15:04")
}

// revokeAPIKeyCommand deletes one API key of a user, or all of them.
func revokeAPIKeyCommand(ctx context.Context, in *invocation) error {
	ids := in.args[1:]
	if in.isSet("all") == (len(ids) == 1) {
		return usageErrorf("want the ID of a key, or -all")
	}
	return in.withUser(ctx, readWrite, func(a *accounts, u User) error {
		if in.isSet("all") {
			n, err := a.deleteAPIKeys(ctx, u, cliClient())
			if err != nil {
				return err
			}
			return in.printf("revoked %s of %s", countOf(n, "API key"), quoted(u.Username))
		}
		err := a.deleteAPIKey(ctx, u, ids[0], cliClient())
		if errors.Is(err, errNotFound) {
			return fmt.Errorf("%s has no API key with this ID; want one from: latchkey apikeys list %s", quoted(u.Username), shellWord(u.Username))
		}
		if err != nil {
			return err
		}
		return in.printf("revoked the API key %s of %s", ids[0], quoted(u.Username))
	})
}
