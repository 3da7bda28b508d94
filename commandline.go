package main

import (
	"context"
	"fmt"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v3"
)

// run carries out what args ask for, until ctx is done.
func (p *program) run(ctx context.Context, args []string) error {
	args, asks := cutQuestions(args)
	switch {
	case asks.version:
		return p.printVersion()
	case len(args) > 0 && args[0] == "help":
		args, asks.help = args[1:], true
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") && args[0] != completionFlag {
		args = append([]string{"serve"}, args...)
	}
	root := p.cliCommand(command{name: "latchkey", sub: commands()}, asks.help)
	root.EnableShellCompletion = true
	root.ShellCompletionCommandName = "_completion"                     // ours is a row of the table
	root.ExitErrHandler = func(context.Context, *cli.Command, error) {} // main prints errors and exits
	root.Writer, root.ErrWriter = p.stdout, p.stderr
	return root.Run(ctx, append([]string{"latchkey"}, args...))
}

// questions are flags that every command has.
type questions struct{ help, version bool }

// cutQuestions takes -h, -help and -version out of a command line.
func cutQuestions(args []string) (rest []string, asks questions) {
	for i, arg := range args {
		switch arg {
		case "-h", "--h", "-help", "--help":
			asks.help = true
		case "-version", "--version":
			asks.version = true
		case "--":
			return append(rest, args[i:]...), asks
		default:
			rest = append(rest, arg)
		}
	}
	return rest, asks
}

// completionFlag is what the scripts of latchkey completion add to a command line.
const completionFlag = "--generate-shell-completion"

// cliCommand makes a command of package cli, which parses options and completes words. Help and
// errors are ours: those of the package repeat arguments, which may be secrets.
func (p *program) cliCommand(c command, help bool) *cli.Command {
	made := &cli.Command{Name: c.name, Usage: c.meaning, HideHelp: true, DisableSliceFlagSeparator: true}
	for _, o := range c.allOptions() {
		made.Flags = append(made.Flags, o.flag())
	}
	for _, sub := range c.sub {
		made.Commands = append(made.Commands, p.cliCommand(sub, help))
	}
	made.OnUsageError = func(_ context.Context, parsed *cli.Command, err error, _ bool) error {
		return usageErrorf("%s", usageProblem(c, parsed.FullName(), err.Error()))
	}
	made.Action = func(ctx context.Context, parsed *cli.Command) error {
		if help {
			return p.printHelp(parsed.FullName(), c)
		}
		return p.invoke(ctx, c, parsed)
	}
	return made
}

// flag returns an option for package cli.
func (o option) flag() cli.Flag {
	switch {
	case o.value == "":
		return &cli.BoolFlag{Name: o.name, Usage: o.meaning, Local: true}
	case o.repeated:
		return &cli.StringSliceFlag{Name: o.name, Usage: o.meaning, Local: true}
	}
	return &cli.StringFlag{Name: o.name, Usage: o.meaning, Local: true, OnlyOnce: true}
}

// invoke runs a command with its settings.
func (p *program) invoke(ctx context.Context, c command, parsed *cli.Command) error {
	in := &invocation{program: p, args: parsed.Args().Slice(), given: givenOptions(c, parsed)}
	if c.run == nil {
		return unknownCommand(c, parsed.Args().First())
	}
	if err := checkArgs(c, parsed.FullName(), in.args); err != nil {
		return err
	}
	if !c.isDefault { // the server has another use for it
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGHUP)
		defer stop()
	}
	if c.needs != 0 {
		if err := in.readSettings(c); err != nil {
			return err
		}
	}
	if c.isForDatabase() && in.cfg.DatabaseURL == "" {
		in.printWarnings() // the name of the variable may be misspelt
		return errInMemory
	}
	return c.run(ctx, in)
}

// readSettings reads the settings that a command needs. A socket that systemd has passed to the
// server takes the place of ADDR, on which other settings depend.
func (in *invocation) readSettings(c command) (err error) {
	given := in.givenSettings()
	if c.isDefault {
		if in.socket, err = inheritedListener(); err != nil {
			return err
		}
	}
	if in.socket != nil {
		given["ADDR"] = in.socket.Addr().String()
	}
	in.cfg, err = readConfig(c.needs, given, in.environ, isTerminal(in.stderr))
	return err
}

func givenOptions(c command, parsed *cli.Command) map[string][]string {
	given := make(map[string][]string)
	for _, o := range c.allOptions() {
		switch {
		case !parsed.IsSet(o.name):
		case o.value == "" && !parsed.Bool(o.name): // -json=false
		case o.value == "":
			given[o.name] = []string{""}
		case o.repeated:
			given[o.name] = parsed.StringSlice(o.name)
		default:
			given[o.name] = []string{parsed.String(o.name)}
		}
	}
	return given
}

// givenSettings returns the settings that were given as options, by their names.
func (in *invocation) givenSettings() map[string]string {
	given := make(map[string]string)
	for _, s := range settings {
		if s.flag != "" && in.isSet(s.flag) {
			given[s.name] = in.text(s.flag)
		}
	}
	return given
}

// checkArgs returns an error unless a command has as many arguments as it names. One in brackets may
// be left out.
func checkArgs(c command, fullName string, args []string) error {
	want := strings.Fields(c.args)
	required := slices.IndexFunc(append(want, "["), func(name string) bool { return name[0] == '[' })
	switch {
	case len(args) < required:
		return usageErrorf("missing argument; want %s %s", fullName, c.args)
	case len(args) > len(want) && !strings.HasSuffix(c.args, "..."):
		return usageErrorf("unexpected argument%s; want %s", shownWord("", args[len(want)]), strings.TrimSpace(fullName+" "+c.args))
	}
	return nil
}

// unknownCommand returns the error for a word in the place of a command.
func unknownCommand(c command, word string) error {
	var names []string
	for _, sub := range c.sub {
		names = append(names, sub.name)
	}
	last := len(names) - 1
	list := strings.Join(names[:last], ", ") + " or " + names[last]
	if word == "" {
		return usageErrorf("missing command; want %s after %s", list, c.name)
	}
	return usageErrorf("unknown command%s; want %s", shownWord("", word), list)
}

// usageProblem puts the text of an error of package cli in our words, because the package has no
// other sign of what is wrong. It repeats no value.
func usageProblem(c command, fullName, text string) string {
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		return unknownFlag(c, name)
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: "); ok {
		return fmt.Sprintf("-%s: missing value; want one after it", strings.TrimLeft(name, "-"))
	}
	const before = " for flag -" // and after the value
	i := strings.LastIndex(text, before)
	if i < 0 {
		return "the command line is wrong; see " + fullName + " -h"
	}
	name, reason, _ := strings.Cut(text[i+len(before):], ": ")
	if strings.Contains(reason, "duplicate") {
		return fmt.Sprintf("-%s: is given twice; want it once", name)
	}
	return fmt.Sprintf("-%s: takes no value", name)
}

// unknownFlag returns the error text for an unknown flag: it lists the flags there are.
func unknownFlag(c command, name string) string {
	name, _, _ = strings.Cut(name, "=")
	variable := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if slices.ContainsFunc(settings, func(s setting) bool { return s.name == variable && s.flag == "" }) {
		return fmt.Sprintf("-%s: %s has no flag; want it in the environment", name, variable)
	}
	var known []string
	for _, o := range c.allOptions() {
		known = append(known, "-"+o.name)
	}
	known = append(known, "-version")
	return fmt.Sprintf("unknown flag%s; want %s or -h", shownWord("-", name), strings.Join(known, ", "))
}

// shownWord returns a word of the command line in quotes, after a space. It returns "" if the
// word may be a secret: if it is neither short nor close to one of our own words.
func shownWord(prefix, word string) string {
	if shortWord.MatchString(word) || nearest(strings.ToLower(word), ownWords(commands())) != "" {
		return fmt.Sprintf(" %q", prefix+word)
	}
	return ""
}

// shortWord matches words that are too short to be secrets.
var shortWord = regexp.MustCompile(`^[a-z]{1,5}$`)

// ownWords returns the names of commands, of what is below them, and of their options.
func ownWords(all []command) []string {
	words := []string{"version", "help"}
	for _, c := range all {
		words = append(words, c.name)
		for _, o := range c.allOptions() {
			words = append(words, o.name)
		}
		if c.sub != nil {
			words = append(words, ownWords(c.sub)...)
		}
	}
	return words
}
