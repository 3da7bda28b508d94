// Command latchkey is a small server for users and tokens: people register, log
// in with the OAuth 2.0 password form, and show the JSON Web Token they get as a
// Bearer header.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	keepFilesPrivate()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	p := program{environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	err := p.run(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, errCutShort) {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(exitCode(err))
}

// exitCode returns 2 if the settings or arguments are wrong, 130 after a signal, as shells have
// it, and 1 for any other failure.
func exitCode(err error) int {
	_, isConfig := errors.AsType[configError](err)
	switch {
	case err == nil:
		return 0
	case isConfig:
		return 2
	case errors.Is(err, errInterrupted):
		return 130
	}
	return 1
}
