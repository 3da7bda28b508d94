package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// followInterval is how often events -f looks for new events.
const followInterval = time.Second

// eventsRead is how many events are read at once.
const eventsRead = 1000

// eventsCommand prints events, each as a line of JSON, and with -f goes on with those to come.
func eventsCommand(ctx context.Context, in *invocation) error {
	wanted, err := in.eventQuery(time.Now())
	if err != nil {
		return err
	}
	return in.withAccounts(ctx, leaveSchema, func(a *accounts) error {
		if !in.isSet("f") {
			_, err := printEvents(ctx, in.stdout, a.store, wanted, wanted)
			return err
		}
		return in.followEvents(ctx, a.store, wanted)
	})
}

// followEvents prints the events that wanted asks for, and those to come, until ctx ends. It goes on
// when the database is back after an outage. It reads all other events, too: otherwise the store
// would look through them again each time.
func (in *invocation) followEvents(ctx context.Context, store eventStore, wanted eventQuery) (err error) {
	read := eventQuery{After: wanted.After, Since: wanted.Since}
	for {
		read.After, err = printEvents(ctx, in.stdout, store, read, wanted)
		if errors.Is(err, errUnavailable) {
			fmt.Fprintln(in.stderr, "warning:", err)
		} else if err != nil {
			return err
		}
		if !sleep(ctx, followInterval) {
			return errInterrupted
		}
	}
}

// eventQuery returns which events the options ask for.
func (in *invocation) eventQuery(now time.Time) (eventQuery, error) {
	q := eventQuery{Name: in.text("event"), Key: usernameKey(in.text("user"))}
	if _, ok := eventKinds[q.Name]; !ok && in.isSet("event") {
		return q, usageErrorf("-event: there is no event %s; want one of %s", quoted(q.Name), strings.Join(eventNames(), ", "))
	}
	if in.isSet("user") && (q.Key == "" || !isStorable(q.Key)) {
		return q, usageErrorf("-user: want the name of a user")
	}
	if in.isSet("since") {
		age, err := parseAge(in.text("since"))
		if err != nil {
			return q, usageErrorf("-since: %s; want a duration such as 90m, 24h or 7d", quoted(in.text("since")))
		}
		q.Since = now.Add(-age)
	}
	if in.isSet("after") {
		id, err := strconv.ParseInt(in.text("after"), 10, 64)
		if err != nil || id < 0 {
			return q, usageErrorf("-after: %s; want the ID of an event", quoted(in.text("after")))
		}
		q.After = id
	}
	return q, nil
}

// parseAge reads a duration, which may also be a number of days.
func parseAge(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * day, err
	}
	age, err := time.ParseDuration(text)
	if err == nil && age < 0 {
		err = errors.New("a negative duration")
	}
	return age, err
}

// printEvents reads the events that q asks for, prints those that wanted asks for, and returns the
// ID of the last that it has read, or q.After.
func printEvents(ctx context.Context, w io.Writer, store eventStore, q, wanted eventQuery) (last int64, err error) {
	out := bufio.NewWriter(w)
	for {
		events, err := store.Events(ctx, q, eventsRead)
		if err != nil {
			return q.After, errors.Join(err, out.Flush())
		}
		for _, e := range events {
			q.After = e.ID
			if !wanted.matches(e) {
				continue
			}
			if err := writeLine(out, newEventResponse(e)); err != nil {
				return q.After, err
			}
		}
		if len(events) < eventsRead {
			return q.After, out.Flush()
		}
	}
}
