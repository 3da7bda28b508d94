package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"
)

// A program is what a run has from outside, so that a test can run the whole program. Only
// signals and GOMAXPROCS are not in it.
type program struct {
	environ []string // NAME=value
	stdin   *os.File
	stdout  io.Writer
	stderr  *os.File

	commands []command // all there are
}

// A command is what the first words of the command line ask for.
type command struct {
	name    string
	args    string // their names; the last may end with "..."
	meaning string // a line without a period
	details string // more of it, for its own help
	needs   need   // 0: it reads no settings
	flags   []cli.Flag
	run     func(ctx context.Context, in *invocation) error
	sub     []command
}

// An invocation is a command with what stood after it.
type invocation struct {
	*program
	flags *cli.Command
	args  []string
	cfg   config
}

// settingFlags returns the flags of the settings that a command needs.
func settingFlags(needs need) []cli.Flag {
	var all []cli.Flag
	for _, s := range settings {
		if s.flag != "" && s.needs&needs != 0 {
			all = append(all, &cli.StringFlag{Name: s.flag, DefaultText: "VALUE", Usage: "of " + s.name, OnlyOnce: true, Local: true})
		}
	}
	return all
}

// errInterrupted means that a signal ended a command.
var errInterrupted = errors.New("interrupted")

// errUsage is the error of a command whose arguments are wrong, with what would be right.
func errUsage(format string, args ...any) error { return configError{fmt.Sprintf(format, args...)} }

// interrupted returns errInterrupted if ctx has ended, and err otherwise.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !errors.Is(err, errInterrupted) {
		return fmt.Errorf("%w: %w", errInterrupted, err)
	}
	return err
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && f != nil && term.IsTerminal(int(f.Fd()))
}

// report prints the result of a command.
func (in *invocation) report(format string, args ...any) error {
	_, err := fmt.Fprintf(in.stdout, format+"\n", args...)
	return err
}
