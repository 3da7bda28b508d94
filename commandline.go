package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// run carries out what args ask for, until ctx is done.
func (p *program) run(ctx context.Context, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") && args[0] != completionRequest {
		args = append([]string{"serve"}, args...)
	}
	p.commands = commands()
	root := p.tree(command{name: "latchkey", sub: p.commands})
	root.EnableShellCompletion = true
	root.ExitErrHandler = func(context.Context, *cli.Command, error) {} // main prints errors and exits
	root.Writer, root.ErrWriter = p.stdout, p.stderr
	err := root.Run(ctx, append([]string{"latchkey"}, args...))
	if asked, ok := errors.AsType[helpRequest](err); ok {
		return p.printHelp(asked.fullName, asked.command)
	}
	return err
}

// A helpRequest is the error of a command line with -h or -help in it.
type helpRequest struct {
	fullName string
	command  command
}

func (helpRequest) Error() string { return "help requested" }

// completionRequest is what the scripts of latchkey completion add to a command line.
const completionRequest = "--generate-shell-completion"

// tree makes a command of package cli, which parses flags and completes words. Help and errors
// are ours: those of the package repeat arguments, which may be secrets.
func (p *program) tree(c command) *cli.Command {
	made := &cli.Command{Name: c.name, Usage: c.meaning, HideHelp: true, DisableSliceFlagSeparator: true}
	made.Flags = slices.Concat(c.flags, settingFlags(c.needs), []cli.Flag{
		&cli.BoolFlag{Name: "version", Local: true, Hidden: true},
	})
	for _, sub := range c.sub {
		made.Commands = append(made.Commands, p.tree(sub))
	}
	made.OnUsageError = func(_ context.Context, flags *cli.Command, err error, _ bool) error {
		if name := strings.TrimPrefix(err.Error(), undefinedFlag); name == "h" || name == "help" {
			return helpRequest{flags.FullName(), c}
		}
		return configError{p.usageProblem(flags, err.Error())}
	}
	made.Action = func(ctx context.Context, flags *cli.Command) error {
		switch {
		case flags.Bool("version"):
			return printVersion(p.stdout)
		case c.run == nil:
			return p.unknownCommand(c, flags.Args().First())
		}
		return p.invoke(ctx, c, flags)
	}
	return made
}

// invoke runs a command with its settings.
func (p *program) invoke(ctx context.Context, c command, flags *cli.Command) error {
	in := &invocation{program: p, flags: flags, args: flags.Args().Slice()}
	if err := p.checkArgs(c, flags.FullName(), in.args); err != nil {
		return err
	}
	if c.needs != 0 {
		var err error
		if in.cfg, err = readConfig(c.needs, givenSettings(c.needs, flags), p.environ, isTerminal(p.stderr)); err != nil {
			return err
		}
	}
	return c.run(ctx, in)
}

// givenSettings returns the settings that were given as flags, by their names.
func givenSettings(needs need, flags *cli.Command) map[string]string {
	given := make(map[string]string)
	for _, s := range settings {
		if s.flag != "" && s.needs&needs != 0 && flags.IsSet(s.flag) {
			given[s.name] = flags.String(s.flag)
		}
	}
	return given
}

// checkArgs returns an error unless a command has as many arguments as it names.
func (p *program) checkArgs(c command, fullName string, args []string) error {
	want := strings.Fields(c.args)
	isList := strings.HasSuffix(c.args, "...")
	switch {
	case c.name == "help": // of all, or of one
		return nil
	case len(args) < len(want):
		return configError{fmt.Sprintf("want %s; see %s -h", c.args, fullName)}
	case len(args) > len(want) && !isList:
		return configError{fmt.Sprintf("unexpected argument%s; see %s -h", p.shownWord("", args[len(want)]), fullName)}
	}
	return nil
}

// undefinedFlag begins the error of package cli for an unknown flag.
const undefinedFlag = "flag provided but not defined: -"

// usageProblem puts the text of an error of package cli in our words. It repeats no value.
func (p *program) usageProblem(flags *cli.Command, text string) string {
	if name, ok := strings.CutPrefix(text, undefinedFlag); ok {
		return p.unknownFlag(flags, name)
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: "); ok {
		return fmt.Sprintf("-%s: want a value after it", strings.TrimLeft(name, "-"))
	}
	const before = " for flag -" // and after the value
	i := strings.LastIndex(text, before)
	if i < 0 {
		return "the command line is wrong; see " + flags.FullName() + " -h"
	}
	name, reason, _ := strings.Cut(text[i+len(before):], ": ")
	if strings.Contains(reason, "duplicate") {
		return fmt.Sprintf("-%s: is given twice; want it once", name)
	}
	return fmt.Sprintf("-%s: want no value", name)
}

// unknownFlag returns the error text for an unknown flag: it lists the flags there are.
func (p *program) unknownFlag(flags *cli.Command, name string) string {
	name, _, _ = strings.Cut(name, "=")
	variable := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if slices.ContainsFunc(settings, func(s setting) bool { return s.name == variable && s.flag == "" }) {
		return fmt.Sprintf("-%s: %s has no flag; want it in the environment", name, variable)
	}
	var known []string
	for _, f := range flags.Flags {
		known = append(known, "-"+f.Names()[0])
	}
	return fmt.Sprintf("unknown flag%s; want %s or -h", p.shownWord("-", name), strings.Join(known, ", "))
}
