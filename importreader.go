package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// An importedUser is a user of a file, or what is wrong with them.
type importedUser struct {
	place    int // the number of the line, or of the user in the original's answer
	user     User
	problems fieldErrors
}

// An entry is the text of a user, before it is parsed.
type entry struct {
	place   int
	key     string // in the original's answer, under which the user stands
	text    []byte
	problem string // why there is no text
}

// A chunk is as many users as are looked up together, in their order.
type chunk struct {
	users []importedUser
	read  int64 // how much of the file has been read by then, in bytes
}

// importBatch is how many users are added in one transaction. With more, a server that writes to
// the same SQLite file would wait for longer; with fewer, each would cost more.
const importBatch = 5000

// eachChunk reads the file from its start, calls yield for each chunk, and returns the SHA-256 sum
// of the file. It parses on all cores, up to a batch ahead. now is when users without a date are
// created.
func (f *importFile) eachChunk(ctx context.Context, now time.Time, yield func(chunk) error) (sum [sha256.Size]byte, err error) {
	if _, err := f.source.Seek(0, io.SeekStart); err != nil {
		return sum, err
	}
	ctx, cancel := context.WithCancel(ctx)
	queue := make(chan chan chunk, importBatch/maxLookup) // in the order of the file
	defer func() {
		cancel()
		for range queue { // until the reader has ended: the file may be read again
		}
	}()
	digest := sha256.New()
	var readErr error
	go func() {
		defer close(queue)
		reader := &countingReader{r: io.TeeReader(f.source, digest)}
		readErr = f.groupEntries(reader, func(entries []entry) error {
			parsed, read := make(chan chunk, 1), reader.n
			select {
			case queue <- parsed:
			case <-ctx.Done():
				return ctx.Err()
			}
			go func() { parsed <- chunk{parseEntries(entries, now), read} }()
			return nil
		})
	}()
	for parsed := range queue {
		c := <-parsed
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		if err := yield(c); err != nil {
			return sum, err
		}
	}
	return [sha256.Size]byte(digest.Sum(nil)), readErr
}

// groupEntries calls yield with as many entries as make a chunk.
func (f *importFile) groupEntries(r *countingReader, yield func([]entry) error) error {
	const maxSize = 256 << 10 // so that long lines do not fill the memory
	var group []entry
	size := 0
	collect := func(e entry) error {
		size += len(e.text)
		if group = append(group, e); len(group) < maxLookup && size < maxSize {
			return nil
		}
		full := group
		group, size = make([]entry, 0, maxLookup), 0
		return yield(full)
	}
	each := eachLine
	if f.isOriginal {
		each = eachMember
	}
	if err := each(r, collect); err != nil {
		return err
	}
	if len(group) == 0 {
		return nil
	}
	return yield(group)
}

// A countingReader counts the bytes that it has read. If it is limited, it fails when it has
// read more than left.
type countingReader struct {
	r       io.Reader
	n       int64
	left    int64
	limited bool
}

// limit makes it fail if the next member is far too long.
func (c *countingReader) limit() {
	const slack = 128 << 10 // of buffers
	c.limited, c.left = true, 2*maxImportLine+slack
}

var errLongEntry = fmt.Errorf("more than %d KiB", maxImportLine>>10)

func (c *countingReader) Read(p []byte) (int, error) {
	if c.limited && c.left <= 0 {
		return 0, errLongEntry
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.left -= int64(n)
	return n, err
}

// eachLine calls yield for every line that is not blank.
func eachLine(r *countingReader, yield func(entry) error) error {
	buffered := bufio.NewReaderSize(r, maxImportLine+2) // with \r\n
	for number := 1; ; number++ {
		line, err := buffered.ReadSlice('\n')
		e := entry{place: number}
		isLong := err == bufio.ErrBufferFull
		for err == bufio.ErrBufferFull {
			_, err = buffered.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return err
		}
		if number == 1 {
			line = bytes.TrimPrefix(line, byteOrderMark)
		}
		line = bytes.TrimRight(line, "\r\n")
		if isLong || len(line) > maxImportLine {
			e.problem = errLongEntry.Error()
		} else {
			e.text = bytes.Clone(line)
		}
		if e.problem != "" || len(bytes.TrimLeft(line, " \t")) > 0 {
			if err := yield(e); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// eachMember calls yield for every member of a JSON object.
func eachMember(r *countingReader, yield func(entry) error) error {
	text := bufio.NewReader(r)
	if begin, _ := text.Peek(len(byteOrderMark)); bytes.Equal(begin, byteOrderMark) {
		text.Discard(len(byteOrderMark))
	}
	r.limit()
	dec := jsontext.NewDecoder(text, jsontext.AllowDuplicateNames(true)) // or it would remember all names
	if _, err := dec.ReadToken(); err != nil {
		return brokenObject(0, err)
	}
	place := 0
	for dec.PeekKind() != '}' {
		place++
		e, err := readMember(dec, place)
		if err != nil {
			return brokenObject(place-1, err)
		}
		if err := yield(e); err != nil {
			return err
		}
		r.limit()
	}
	dec.ReadToken()
	if _, err := dec.ReadToken(); err != io.EOF {
		return brokenObject(place, err)
	}
	return nil
}

func readMember(dec *jsontext.Decoder, place int) (entry, error) {
	name, err := dec.ReadToken()
	if err != nil {
		return entry{}, err
	}
	e := entry{place: place, key: name.String()}
	value, err := dec.ReadValue()
	if err != nil {
		return entry{}, err
	}
	if len(value) > maxImportLine {
		e.problem = errLongEntry.Error()
	} else {
		e.text = bytes.Clone(value)
	}
	return e, nil
}

// brokenObject says why the original's answer cannot be read further than user n.
func brokenObject(n int, err error) error {
	if errors.Is(err, errLongEntry) {
		return fmt.Errorf("user %d has %w", n+1, errLongEntry)
	}
	return fmt.Errorf("the file is not JSON after user %d", n)
}

func parseEntries(entries []entry, now time.Time) []importedUser {
	users := make([]importedUser, len(entries))
	for i, e := range entries {
		users[i] = parseEntry(e, now)
	}
	return users
}

func parseEntry(e entry, now time.Time) importedUser {
	u := importedUser{place: e.place}
	if e.problem != "" {
		u.problems.add("", &fieldError{Msg: e.problem})
		return u
	}
	members, err := parseObject(e.text)
	if err != nil {
		u.problems.add("", &fieldError{Msg: notAnObject(e.text, err)})
		return u
	}
	u.user, u.problems = parseImportedUser(members, now)
	if key, _ := normalName(e.key); e.key != "" && u.problems == nil && key != u.user.Username {
		u.problems.add("username", &fieldError{Msg: "stands under the name " + quoted(e.key)})
	}
	return u
}

// notAnObject says why a text is no JSON object.
func notAnObject(text []byte, err error) string {
	switch {
	case errors.Is(err, errNotObject):
		return "not a JSON object"
	case !utf8.Valid(text):
		return "not valid UTF-8"
	case json.Valid(text):
		return "a member appears twice"
	}
	return "not valid JSON"
}
