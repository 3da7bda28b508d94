package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// newPassword asks for a new password twice on the terminal. Without a terminal it reads
// standard input. A password is never an argument, because others see the arguments.
func (in *invocation) newPassword(ctx context.Context) (string, error) {
	first, err := in.knownPassword(ctx, "New password: ")
	if err != nil || !isTerminal(in.stdin) {
		return first, err
	}
	again, err := in.askHidden(ctx, "Repeat the password: ")
	if err == nil && again != first {
		err = errors.New("the two passwords differ; nothing was changed")
	}
	return first, err
}

// knownPassword asks for a password once, or reads it from standard input.
func (in *invocation) knownPassword(ctx context.Context, prompt string) (string, error) {
	if !isTerminal(in.stdin) {
		return interruptible(ctx, func() (string, error) { return readPassword(in.stdin) })
	}
	return in.askHidden(ctx, prompt)
}

// maxPasswordInput is how long a password on standard input may be, in bytes.
const maxPasswordInput = 16 << 10

// readPassword reads a password to the end of r, and cuts one line break off.
func readPassword(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxPasswordInput+int64(len("\r\n"))+1))
	if err != nil {
		return "", fmt.Errorf("cannot read the password from standard input: %w", withoutPath(err))
	}
	password, ok := bytes.CutSuffix(text, []byte("\r\n"))
	if !ok {
		password = bytes.TrimSuffix(text, []byte("\n"))
	}
	switch {
	case len(password) > maxPasswordInput:
		return "", errors.New("standard input has more than 16 KiB; want a password, and nothing else")
	case len(password) == 0:
		return "", errors.New("standard input is empty; want a password")
	case bytes.ContainsAny(password, "\r\n"):
		return "", errors.New("standard input has several lines; want a password, and nothing else")
	case !utf8.Valid(password):
		return "", errors.New("the password on standard input is not valid UTF-8")
	}
	return string(password), nil
}

// askHidden reads a line from the terminal, which does not show it. It returns errInterrupted
// after a signal.
func (in *invocation) askHidden(ctx context.Context, prompt string) (string, error) {
	if !isTerminal(in.stderr) {
		return "", usageErrorf("cannot ask for a password: standard error is not a terminal; connect it to one, or send the password on standard input")
	}
	fd := int(in.stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	defer fmt.Fprintln(in.stderr)
	defer term.Restore(fd, before) // package term does not after a signal: go.dev/issue/31180
	return in.readInterruptibly(ctx, func() (string, error) {
		text, err := term.ReadPassword(fd)
		if err == nil && !utf8.Valid(text) {
			err = errors.New("the password is not valid UTF-8")
		}
		return string(text), err
	}, func() {
		waitUntilHidden(fd, before)
		fmt.Fprint(in.stderr, prompt)
	})
}

// waitUntilHidden waits until the terminal no longer shows what is typed, so that the prompt
// appears only then. It gives up after 0.2 s, because the echo may have been off from the start.
func waitUntilHidden(fd int, before *term.State) {
	for range 200 {
		if now, err := term.GetState(fd); err != nil || *now != *before {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// askLine reads a line from the terminal, which shows it.
func (in *invocation) askLine(ctx context.Context, question string) (string, error) {
	return in.readInterruptibly(ctx, func() (string, error) {
		line, err := bufio.NewReader(in.stdin).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil // nothing was typed, which is an answer
		}
		return strings.TrimRight(line, "\r\n"), err
	}, func() { fmt.Fprint(in.stderr, question) })
}

// readInterruptibly returns what read returns, or errInterrupted after a signal. It calls question
// when read has begun.
func (in *invocation) readInterruptibly(ctx context.Context, read func() (string, error), question func()) (string, error) {
	began := make(chan struct{})
	go func() { <-began; question() }()
	text, err := interruptible(ctx, func() (string, error) {
		close(began)
		return read()
	})
	if errors.Is(err, io.EOF) {
		err = errors.New("nothing was typed")
	}
	return text, err
}

// interruptible returns what read returns, or errInterrupted if ctx ends first: a read from a
// terminal or a pipe cannot be stopped, and so is left behind.
func interruptible[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	results := make(chan result, 1)
	go func() {
		value, err := read()
		results <- result{value, err}
	}()
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, errInterrupted
	}
}
