// Command latchkey is a small server for users and tokens: people register, log
// in with the OAuth 2.0 password form, and show the JSON Web Token they get as a
// Bearer header.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	keepFilesPrivate()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, errCutShort) {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(exitCode(err))
}

// exitCode returns 2 if the settings or arguments are wrong, and 1 for any other failure.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if _, ok := errors.AsType[configError](err); ok {
		return 2
	}
	return 1
}

// run does what args say, until ctx is done. It takes all but GOMAXPROCS as arguments, so
// that a test can run the whole program.
func run(ctx context.Context, args, environ []string, stdout io.Writer, stderr *os.File) error {
	word := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		word, args = args[0], args[1:]
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == word })
	if i < 0 {
		return configError{fmt.Sprintf("unknown command%s; want %s", shownWord("", word), commandNames())}
	}
	var cfg config
	if c := all[i]; c.needs != 0 {
		var err error
		cfg, err = readConfig(c.needs, args, environ, isTerminal(stderr))
		switch {
		case errors.Is(err, errHelp):
			return usage(stdout)
		case errors.Is(err, errVersion):
			return printVersion(stdout)
		case err != nil:
			return err
		}
	}
	return all[i].run(ctx, cfg, stdout, stderr)
}

// isTerminal reports whether f is a terminal, or another character device.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
