package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"text/tabwriter"
)

// listUsersCommand prints users as a table, or as JSON Lines.
func listUsersCommand(ctx context.Context, in *invocation) error {
	wanted, err := in.userFilter()
	if err != nil {
		return err
	}
	return in.withAccounts(ctx, leaveSchema, func(a *accounts) error {
		out := bufio.NewWriter(in.stdout)
		list := printTable
		if in.isSet("json") {
			list = printJSON
		}
		err := list(out, func(yield func(User, error) bool) {
			for u, err := range a.store.Users(ctx) {
				if (err != nil || wanted(u)) && !yield(u, err) {
					return
				}
			}
		})
		return errors.Join(err, out.Flush())
	})
}

// userFilter returns which users the flags of list ask for.
func (in *invocation) userFilter() (func(User) bool, error) {
	text, scope := usernameKey(in.text("q")), in.text("scope")
	if in.isSet("scope") {
		if _, err := newScopes(scope); err != nil {
			return nil, usageErrorf("-scope: %v", err)
		}
	}
	contains := func(field string) bool { return strings.Contains(usernameKey(field), text) }
	return func(u User) bool {
		if in.isSet("disabled") && !u.Disabled || scope != "" && !u.Scopes.has(scope) {
			return false
		}
		return contains(u.Username) || contains(deref(u.Email)) || contains(deref(u.FullName))
	}, nil
}

func printJSON(w *bufio.Writer, users iter.Seq2[User, error]) error {
	for u, err := range users {
		if err == nil {
			err = writeLine(w, newAdminUser(u))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tableRows is how many rows are aligned with each other, because a table of all users might not
// fit into memory.
const tableRows = 1000

func printTable(w *bufio.Writer, users iter.Seq2[User, error]) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tEMAIL\tSCOPES\tCREATED\tSTATUS")
	rows := 0
	for u, err := range users {
		if err != nil {
			return errors.Join(err, table.Flush())
		}
		status := "active"
		if u.Disabled {
			status = "disabled"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", printable(u.Username), printable(deref(u.Email)), u.Scopes,
			u.CreatedAt.Format("2006-01-02 15:04"), status)
		if rows++; rows%tableRows == 0 {
			table.Flush()
		}
	}
	return table.Flush()
}

func addUserCommand(ctx context.Context, in *invocation) error {
	req, err := in.newUserFromOptions()
	if err != nil {
		return err
	}
	if !req.NoPassword {
		if req.Password, err = in.newPasswordOf(ctx, req.Username); err != nil { // before there is a new file
			return err
		}
	}
	return in.withAccounts(ctx, readWriteCreate, func(a *accounts) error {
		_, err := a.createAccount(ctx, req, cliClient())
		if errors.Is(err, errExists) {
			return fmt.Errorf("the name %s is taken", quoted(req.Username))
		}
		if err != nil {
			return err
		}
		return in.printf("added %s", quoted(req.Username))
	})
}

// newUserFromOptions returns the user whom the command line describes.
func (in *invocation) newUserFromOptions() (newUser, error) {
	u := newUser{NoPassword: in.isSet("service")}
	var err error
	var bad *fieldError
	if u.Username, bad = parseUsername(in.args[0]); bad != nil {
		return u, usageErrorf("name: %s", bad.reason())
	}
	if in.isSet("email") {
		address, bad := checkEmail(in.text("email"))
		if bad != nil {
			return u, usageErrorf("-email: %s", bad.reason())
		}
		u.Email = &address
	}
	if in.isSet("full-name") {
		name := in.text("full-name")
		if !isStorable(name) {
			return u, usageErrorf("-full-name: want UTF-8 without NUL characters")
		}
		u.FullName = &name
	}
	if u.Scopes, err = newScopes(in.given["scope"]...); err != nil {
		return u, usageErrorf("-scope: %v", err)
	}
	return u, nil
}

// newPasswordOf asks for a new password of a user, and checks it.
func (in *invocation) newPasswordOf(ctx context.Context, username string) (string, error) {
	password, err := in.newPassword(ctx)
	if err != nil {
		return "", err
	}
	if bad := checkPassword(password, username, in.cfg.MinPasswordLength); bad != nil {
		return "", errors.New("password: " + bad.reason())
	}
	return password, nil
}

// withUser calls do with the accounts and the user whom the first argument names.
func (in *invocation) withUser(ctx context.Context, mode openMode, do func(*accounts, User) error) error {
	return in.withAccounts(ctx, mode, func(a *accounts) error {
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

func setPasswordCommand(ctx context.Context, in *invocation) error {
	return in.withUser(ctx, readWrite, func(a *accounts, u User) error {
		password, err := in.newPasswordOf(ctx, u.Username)
		if err != nil {
			return err
		}
		if _, err := a.updateUser(ctx, u, userEdit{Password: &password}, cliClient()); err != nil {
			return err
		}
		return in.printf("changed the password of %s", quoted(u.Username))
	})
}

func grantScopesCommand(ctx context.Context, in *invocation) error {
	return in.editScopes(ctx, scopes.with)
}

func revokeScopesCommand(ctx context.Context, in *invocation) error {
	return in.editScopes(ctx, scopes.without)
}

// editScopes changes the scopes of a user by those that the command line names.
func (in *invocation) editScopes(ctx context.Context, edit func(now scopes, names ...string) (scopes, error)) error {
	names := in.args[1:]
	if _, err := newScopes(names...); err != nil {
		return usageErrorf("%v", err)
	}
	return in.withUser(ctx, readWrite, func(a *accounts, u User) error {
		next := func(now scopes) (scopes, error) { return edit(now, names...) }
		u, err := a.updateUser(ctx, u, userEdit{Scopes: next}, cliClient())
		if err != nil {
			return err
		}
		return in.printf("scopes of %s: %s", quoted(u.Username), cmp.Or(strings.Join(u.Scopes.names(), ", "), "none"))
	})
}

func disableUserCommand(ctx context.Context, in *invocation) error {
	return in.withUser(ctx, readWrite, func(a *accounts, u User) error {
		if _, err := a.updateUser(ctx, u, userEdit{Disabled: new(true)}, cliClient()); err != nil {
			return err
		}
		return in.printf("disabled %s", quoted(u.Username))
	})
}

func enableUserCommand(ctx context.Context, in *invocation) error {
	return in.withUser(ctx, readWrite, func(a *accounts, u User) error {
		if _, err := a.updateUser(ctx, u, userEdit{Disabled: new(false)}, cliClient()); err != nil {
			return err
		}
		return in.printf("enabled %s", quoted(u.Username))
	})
}

func deleteUserCommand(ctx context.Context, in *invocation) error {
	if !in.isSet("yes") && !(isTerminal(in.stdin) && isTerminal(in.stderr)) {
		return usageErrorf("cannot ask without a terminal; give -yes to delete")
	}
	return in.withUser(ctx, readWrite, func(a *accounts, u User) error {
		if !in.isSet("yes") {
			if err := in.confirmDeletion(ctx, a, u); err != nil {
				return err
			}
		}
		if err := a.deleteUser(ctx, u, cliClient()); err != nil {
			return err
		}
		return in.printf("deleted %s", quoted(u.Username))
	})
}

// confirmDeletion returns nil if the name of u is typed.
func (in *invocation) confirmDeletion(ctx context.Context, a *accounts, u User) error {
	sessions, err := a.store.Sessions(ctx, u.ID, a.now(), maxSessions)
	if err != nil {
		return err
	}
	typed, err := in.askLine(ctx, fmt.Sprintf("Delete %s, and %s? Type the name: ", quoted(u.Username), countOf(len(sessions), "session")))
	if err != nil {
		return err
	}
	if !spells(typed, u.Username) {
		return errors.New("that is not the name; nothing was deleted")
	}
	return nil
}
