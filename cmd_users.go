package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/user"
	"strings"
	"text/tabwriter"
)

// actor is who runs a command, for the record.
func actor() client {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return client{Actor: "cli:" + name}
}

// withUser calls do with the accounts and the user whom the first argument names.
func (in *invocation) withUser(ctx context.Context, do func(*accounts, User) error) error {
	return in.withAccounts(ctx, toChange, func(a *accounts) error {
		name := in.args[0]
		u, err := a.userByName(ctx, name)
		if err == nil {
			err = do(a, u)
		}
		if errors.Is(err, errNotFound) {
			return fmt.Errorf("there is no user %s", quoted(name))
		}
		return err
	})
}

func addUserCommand(ctx context.Context, in *invocation) error {
	req, err := newUserOf(in)
	if err != nil {
		return err
	}
	return in.withAccounts(ctx, toCreate, func(a *accounts) error {
		if req.Password, err = in.newPassword(ctx); err != nil {
			return err
		}
		if bad := checkPassword(req.Password, req.Username, a.minPasswordLength); bad != nil {
			return errors.New("password: " + bad.reason())
		}
		_, err := a.addUser(ctx, req, actor())
		if errors.Is(err, errExists) {
			return fmt.Errorf("the name %s is taken", quoted(req.Username))
		}
		if err != nil {
			return err
		}
		return in.report("added %s", quoted(req.Username))
	})
}

// newUserOf returns the user whom the arguments of add describe.
func newUserOf(in *invocation) (newUser, error) {
	var u newUser
	var err error
	var bad *fieldError
	if u.Username, bad = parseUsername(in.args[0]); bad != nil {
		return u, errUsage("name: %s", bad.reason())
	}
	if in.flags.IsSet("email") {
		address, bad := checkEmail(in.flags.String("email"))
		if bad != nil {
			return u, errUsage("-email: %s", bad.reason())
		}
		u.Email = &address
	}
	if in.flags.IsSet("full-name") {
		name := in.flags.String("full-name")
		if !isStorable(name) {
			return u, errUsage("-full-name: want UTF-8 without NULs")
		}
		u.FullName = &name
	}
	if u.Scopes, err = newScopes(in.flags.StringSlice("scope")...); err != nil {
		return u, errUsage("-scope: %v", err)
	}
	return u, nil
}

func setPasswordCommand(ctx context.Context, in *invocation) error {
	return in.withUser(ctx, func(a *accounts, u User) error {
		password, err := in.newPassword(ctx)
		if err != nil {
			return err
		}
		if bad := checkPassword(password, u.Username, a.minPasswordLength); bad != nil {
			return errors.New("password: " + bad.reason())
		}
		if err := a.setPassword(ctx, u, password, actor()); err != nil {
			return err
		}
		return in.report("changed the password of %s", quoted(u.Username))
	})
}

func grantScopesCommand(ctx context.Context, in *invocation) error {
	names := in.args[1:]
	return changeScopes(ctx, in, func(now scopes) (scopes, error) { return now.with(names...) })
}

func revokeScopesCommand(ctx context.Context, in *invocation) error {
	names := in.args[1:]
	return changeScopes(ctx, in, func(now scopes) (scopes, error) { return now.without(names...), nil })
}

// changeScopes replaces the scopes of a user by what next makes of them.
func changeScopes(ctx context.Context, in *invocation, next func(scopes) (scopes, error)) error {
	if _, err := newScopes(in.args[1:]...); err != nil {
		return configError{err.Error()}
	}
	return in.withUser(ctx, func(a *accounts, u User) error {
		u, err := a.changeScopes(ctx, u, next, actor())
		if err != nil {
			return err
		}
		list := strings.Join(u.Scopes.names(), ", ")
		if list == "" {
			list = "none"
		}
		return in.report("scopes of %s: %s", quoted(u.Username), list)
	})
}

func disableUserCommand(ctx context.Context, in *invocation) error { return setDisabled(ctx, in, true) }

func enableUserCommand(ctx context.Context, in *invocation) error { return setDisabled(ctx, in, false) }

func setDisabled(ctx context.Context, in *invocation, disabled bool) error {
	return in.withUser(ctx, func(a *accounts, u User) error {
		if err := a.setDisabled(ctx, u, disabled, actor()); err != nil {
			return err
		}
		word := "enabled"
		if disabled {
			word = "disabled"
		}
		return in.report("%s %s", word, quoted(u.Username))
	})
}

func deleteUserCommand(ctx context.Context, in *invocation) error {
	if !in.flags.Bool("yes") && !(isTerminal(in.stdin) && isTerminal(in.stderr)) {
		return errUsage("want -yes, because there is no terminal to ask on")
	}
	return in.withUser(ctx, func(a *accounts, u User) error {
		if !in.flags.Bool("yes") {
			if err := in.confirmDeletion(ctx, a, u); err != nil {
				return err
			}
		}
		if err := a.removeUser(ctx, u, actor()); err != nil {
			return err
		}
		return in.report("deleted %s", quoted(u.Username))
	})
}

// confirmDeletion returns nil if the name of u is typed.
func (in *invocation) confirmDeletion(ctx context.Context, a *accounts, u User) error {
	sessions, err := a.store.Sessions(ctx, u.ID, a.now(), maxSessions)
	if err != nil {
		return err
	}
	typed, err := in.ask(ctx, fmt.Sprintf("Delete %s, and %s? Type the name: ", quoted(u.Username), plural(len(sessions), "session")))
	if err != nil {
		return err
	}
	if !spells(typed, u.Username) {
		return errors.New("that is not the name; nothing was deleted")
	}
	return nil
}

func listUsersCommand(ctx context.Context, in *invocation) error {
	wanted, err := userFilter(in)
	if err != nil {
		return err
	}
	return in.withAccounts(ctx, toRead, func(a *accounts) error {
		out := newUserPrinter(in.stdout, in.flags.Bool("json"))
		err := a.store.EachUser(ctx, func(u User) error {
			if !wanted(u) {
				return nil
			}
			return out.print(u)
		})
		return errors.Join(err, out.flush())
	})
}

// userFilter returns which users the flags of list ask for.
func userFilter(in *invocation) (func(User) bool, error) {
	text, scope := usernameKey(in.flags.String("q")), in.flags.String("scope")
	if in.flags.IsSet("scope") {
		if _, err := newScopes(scope); err != nil {
			return nil, errUsage("-scope: %v", err)
		}
	}
	onlyDisabled := in.flags.Bool("disabled")
	return func(u User) bool {
		if onlyDisabled && !u.Disabled || scope != "" && !u.Scopes.has(scope) {
			return false
		}
		return strings.Contains(u.Key, text) ||
			strings.Contains(usernameKey(deref(u.Email)), text) || strings.Contains(usernameKey(deref(u.FullName)), text)
	}, nil
}

// A userPrinter prints users as a table, or as JSON Lines.
type userPrinter struct {
	buffer *bufio.Writer
	table  *tabwriter.Writer // nil: JSON
	rows   int
}

// tableRows is how many rows are aligned with each other: a table of all users would not fit
// into memory.
const tableRows = 1000

func newUserPrinter(w io.Writer, asJSON bool) *userPrinter {
	p := &userPrinter{buffer: bufio.NewWriter(w)}
	if !asJSON {
		p.table = tabwriter.NewWriter(p.buffer, 0, 0, 2, ' ', 0)
		fmt.Fprintln(p.table, "NAME\tEMAIL\tSCOPES\tCREATED")
	}
	return p
}

func (p *userPrinter) print(u User) error {
	if p.table == nil {
		return json.NewEncoder(p.buffer).Encode(newAdminUser(u))
	}
	created := u.CreatedAt.Format("2006-01-02 15:04")
	if u.Disabled {
		created += "  disabled"
	}
	fmt.Fprintf(p.table, "%s\t%s\t%s\t%s\n", printable(u.Username), printable(deref(u.Email)), u.Scopes, created)
	if p.rows++; p.rows%tableRows == 0 {
		return p.table.Flush()
	}
	return nil
}

func (p *userPrinter) flush() error {
	if p.table != nil {
		p.table.Flush()
	}
	return p.buffer.Flush()
}
