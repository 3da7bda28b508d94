package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

// commands returns all of them.
func commands() []command {
	return []command{
		{name: "serve", meaning: "run the server (the default)", needs: everything, run: serveCommand, isDefault: true},
		{name: "check", meaning: "check the settings and the database; change nothing", needs: everything, run: checkCommand,
			details: "It tries what the start will do, counts the users and the kinds of their password hashes, and prints the settings."},
		{name: "ready", meaning: "ask the running server whether it is ready, as a health check", needs: forReady, run: readyCommand,
			details: "It asks /readyz at ADDR for at most two seconds. The exit code is 0 if the server takes requests, and else 1, with the reason."},
		{name: "users", meaning: "manage users; the server may be running", sub: usersCommands()},
		{name: "keys", meaning: "manage the keys that sign access tokens; the server may be running", sub: keysCommands()},
		{name: "apikeys", meaning: "manage the API keys of users; the server may be running", sub: apiKeysCommands()},
		{name: "events", meaning: "print what has happened, one JSON object per line", needs: forUsers, run: eventsCommand,
			options: []option{
				{name: "user", value: "NAME", meaning: "only events that concern this user"},
				{name: "event", value: "EVENT", meaning: "only events of this kind, such as authn_login_fail"},
				{name: "since", value: "AGE", meaning: "only events of the last 90m, 24h or 7d, for example"},
				{name: "after", value: "ID", meaning: "only events with a greater ID"},
				{name: "f", meaning: "go on with events as they come"},
			}},
		{name: "backup", args: "FILE", meaning: "copy a SQLite database to a new file; the server may be running", needs: forDatabase, run: backupCommand,
			details: "FILE must not exist. It appears when the copy is whole and was checked."},
		{name: "completion", args: "bash|zsh|fish", meaning: "print a completion script for bash, zsh or fish", run: completionCommand},
		{name: "version", meaning: "print the version", run: func(_ context.Context, in *invocation) error { return in.printf("latchkey %s", buildVersion()) }},
		{name: "help", args: "[COMMAND]", meaning: "explain a command"}, // run knows the word
	}
}

const passwordSource = "On a terminal it asks for the password twice. Otherwise it reads standard input."

// usersCommands are the commands after "users".
func usersCommands() []command {
	return []command{
		{name: "list", meaning: "print users", needs: forUsers, run: listUsersCommand,
			options: []option{
				{name: "q", value: "TEXT", meaning: "only users whose name, e-mail address or full name contains TEXT"},
				{name: "disabled", meaning: "only disabled users"},
				{name: "scope", value: "SCOPE", meaning: "only users with this scope"},
				{name: "json", meaning: "print one JSON object per line"},
			}},
		{name: "add", args: "NAME", meaning: "add a user", details: passwordSource, needs: forUsers, run: addUserCommand,
			options: []option{
				{name: "email", value: "ADDRESS", meaning: "e-mail address"},
				{name: "full-name", value: "NAME", meaning: "full name"},
				{name: "scope", value: "SCOPE", meaning: "scope to grant, such as admin; may be repeated", repeated: true},
				{name: "service", meaning: "no password: nobody can log in, but the user can have API keys"},
			}},
		{name: "passwd", args: "NAME", meaning: "set a user's password and end all their sessions", details: passwordSource, needs: forUsers, run: setPasswordCommand},
		{name: "grant", args: "NAME SCOPE...", meaning: "give scopes to a user", needs: forUsers, run: grantScopesCommand},
		{name: "revoke", args: "NAME SCOPE...", meaning: "take scopes from a user", needs: forUsers, run: revokeScopesCommand},
		{name: "disable", args: "NAME", meaning: "keep a user from logging in, and end all their sessions", needs: forUsers, run: disableUserCommand},
		{name: "enable", args: "NAME", meaning: "let a user log in again", needs: forUsers, run: enableUserCommand},
		{name: "delete", args: "NAME", meaning: "delete a user and all their sessions", needs: forUsers, run: deleteUserCommand,
			options: []option{{name: "yes", meaning: "delete without asking; required without a terminal"}}},
		{name: "import", args: "FILE", meaning: "add users from a file", needs: forUsers, run: importUsersCommand,
			details: "FILE has one JSON object per line, or is the output of the original's GET /. The name - means standard input. If any line is bad, nobody is added. " +
				"Users who already exist are left alone, so an interrupted import can be run again. See docs/moving-in.md.",
			options: []option{
				{name: "dry-run", meaning: "check the file and add nobody"},
				{name: "skip-bad", meaning: "import the good lines even if others are bad"},
				{name: "try", value: "NAME", meaning: "first check NAME's password against the hash in the file"},
				{name: "v", meaning: "report every bad line, not only 20"},
			}},
		{name: "export", meaning: "print all users, with their password hashes", needs: forUsers, run: exportUsersCommand,
			details: "The output is what import reads. It goes to standard output; on a terminal, use -o.",
			options: []option{{name: "o", value: "FILE", meaning: "write to FILE, which must not exist"}}},
	}
}

// keysCommands are the commands after "keys".
func keysCommands() []command {
	return []command{
		{name: "list", meaning: "print the keys that verify access tokens", needs: forTokens, run: listKeysCommand,
			options: []option{
				{name: "jwks", meaning: "print the public keys as a JWK Set"},
				{name: "pem", meaning: "print the public keys in PEM"},
			}},
		{name: "rotate", meaning: "add a key, which is published now and signs later", needs: forUsers | forTokens, run: rotateKeysCommand,
			details: "The server need not restart, and nobody is logged out: the old keys verify for a day after the new one begins to sign, or as long as an access token lives.",
			options: []option{
				{name: "in", value: "TIME", meaning: "when it begins to sign: after 72h or 3d, for example; without it, after 1h"},
				{name: "compromised", meaning: "sign with it at once, and accept no older key any more"},
			}},
	}
}

// apiKeysCommands are the commands after "apikeys".
func apiKeysCommands() []command {
	return []command{
		{name: "add", args: "USER", meaning: "make an API key and print it", needs: forUsers, run: addAPIKeyCommand,
			details: "The key is all that is printed on standard output. Nobody can see it again: the database has only its hash.",
			options: []option{
				{name: "name", value: "NAME", meaning: "name by which to know the key; required"},
				{name: "scope", value: "SCOPE", meaning: "scope of the key, which its user must have; may be repeated", repeated: true},
				{name: "days", value: "DAYS", meaning: "life of the key: 1 to 366, or never (default 90)"},
			}},
		{name: "list", args: "USER", meaning: "print a user's API keys, without the keys themselves", needs: forUsers, run: listAPIKeysCommand,
			options: []option{{name: "json", meaning: "print one JSON object per line"}}},
		{name: "revoke", args: "USER [ID]", meaning: "delete an API key of a user, which ends its access at once", needs: forUsers, run: revokeAPIKeyCommand,
			options: []option{{name: "all", meaning: "delete all API keys of the user"}}},
	}
}

// completionCommand prints the script of package cli.
func completionCommand(ctx context.Context, in *invocation) error {
	switch shell := in.args[0]; shell {
	case "bash", "zsh", "fish":
		script := &cli.Command{Name: "latchkey", EnableShellCompletion: true, Writer: in.stdout, ErrWriter: in.stderr}
		return script.Run(ctx, []string{"latchkey", "completion", shell})
	}
	return usageErrorf("unknown shell; want bash, zsh or fish")
}
