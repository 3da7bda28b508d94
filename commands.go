package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

// commands returns all of them.
func commands() []command {
	return []command{
		{name: "serve", meaning: "run the server; this is what no command means", needs: everything, run: serveCommand},
		{name: "check", meaning: "read the settings, count the users, say what is wrong", needs: everything, run: checkCommand},
		{name: "users", meaning: "manage users, while the server runs or without it", sub: usersCommands()},
		{name: "version", meaning: "print the version", run: func(_ context.Context, in *invocation) error { return printVersion(in.stdout) }},
		{name: "help", args: "COMMAND...", meaning: "explain a command", run: helpCommand},
	}
}

const asksForPassword = "It asks for the password twice on a terminal, and reads it from standard input otherwise."

// usersCommands are the commands after "users".
func usersCommands() []command {
	text := func(name, value, meaning string) cli.Flag {
		return &cli.StringFlag{Name: name, DefaultText: value, Usage: meaning, OnlyOnce: true, Local: true}
	}
	yes := func(name, meaning string) cli.Flag { return &cli.BoolFlag{Name: name, Usage: meaning, Local: true} }
	scopes := &cli.StringSliceFlag{Name: "scope", DefaultText: "SCOPE", Usage: "to grant, such as admin; may be repeated", Local: true}
	return []command{
		{name: "list", meaning: "print users", needs: forUsers, run: listUsersCommand, flags: []cli.Flag{
			text("q", "TEXT", "only those with it in the name, the e-mail address or the full name"),
			yes("disabled", "only those who are disabled"),
			text("scope", "SCOPE", "only those who have it"),
			yes("json", "one JSON object a line")}},
		{name: "add", args: "NAME", meaning: "add a user", details: asksForPassword, needs: forUsers, run: addUserCommand, flags: []cli.Flag{
			text("email", "ADDRESS", "of the user"),
			text("full-name", "NAME", "of the user"),
			scopes}},
		{name: "passwd", args: "NAME", meaning: "set a user's password and end all their sessions", details: asksForPassword, needs: forUsers, run: setPasswordCommand},
		{name: "grant", args: "NAME SCOPE...", meaning: "give scopes to a user", needs: forUsers, run: grantScopesCommand},
		{name: "revoke", args: "NAME SCOPE...", meaning: "take scopes from a user", needs: forUsers, run: revokeScopesCommand},
		{name: "disable", args: "NAME", meaning: "keep a user from logging in, and end all their sessions", needs: forUsers, run: disableUserCommand},
		{name: "enable", args: "NAME", meaning: "let a user log in again", needs: forUsers, run: enableUserCommand},
		{name: "delete", args: "NAME", meaning: "delete a user and all their sessions", needs: forUsers, run: deleteUserCommand, flags: []cli.Flag{
			yes("yes", "do not ask; needed without a terminal")}},
		{name: "import", args: "FILE", meaning: "add users from a file", details: aboutImport, needs: forUsers, run: importUsersCommand, flags: []cli.Flag{
			yes("dry-run", "only check the file"),
			yes("skip-bad", "leave out bad lines instead of refusing the file"),
			text("try", "NAME", "ask for the password of this user, and check it against the file first"),
			yes("v", "name every bad line, not only the first 20")}},
		{name: "export", meaning: "print all users, with their password hashes", details: aboutExport, needs: forUsers, run: exportUsersCommand, flags: []cli.Flag{
			text("o", "FILE", "to write to; it must not be there yet")}},
	}
}
