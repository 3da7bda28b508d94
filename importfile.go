package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// An importFile is a file of users that is read twice. It has a JSON object on each line, or is
// the answer of the original's GET /: one object with a member for each user.
type importFile struct {
	source io.ReadSeeker
	size   int64 // in bytes
	isDump bool
	read   int64             // how much has been read, in bytes
	sum    [sha256.Size]byte // of what was read last, to the end
}

const (
	maxImportLine  = 64 << 10 // of one user, in bytes
	maxImportPiped = 2 << 30  // of what is not a file, and so kept in memory
)

// importBatch is how many users are added in one transaction. With more, a server that writes to
// the same SQLite file would wait for longer; with fewer, each would cost more.
const importBatch = 5000

// openImport opens the file at a path, or stdin for "-". The error says what it is, if it is
// something else than users.
func openImport(path string, stdin *os.File) (*importFile, io.Closer, error) {
	file := stdin
	if path != "-" {
		var err error
		if file, err = os.Open(path); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, withoutPath(err))
		}
	}
	f, err := newImportFile(file)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return f, file, nil
}

func newImportFile(file *os.File) (*importFile, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, withoutPath(err)
	}
	if info.IsDir() {
		return nil, errors.New("it is a directory; want a file")
	}
	head := make([]byte, maxImportLine)
	n, err := io.ReadFull(file, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, withoutPath(err)
	}
	isDump, err := recognize(head[:n])
	if err != nil {
		return nil, err
	}
	f := &importFile{source: file, size: info.Size(), isDump: isDump}
	if !info.Mode().IsRegular() {
		rest, err := io.ReadAll(io.LimitReader(file, maxImportPiped))
		if err != nil {
			return nil, withoutPath(err)
		}
		if len(rest) == maxImportPiped {
			return nil, errors.New("more than 2 GiB; want a file instead of a pipe")
		}
		all := append(head[:n], rest...)
		f.source, f.size = bytes.NewReader(all), int64(len(all))
	}
	return f, nil
}

// signatures are the beginnings of files that people have instead.
var signatures = []struct{ begins, is string }{
	{"\x1f\x8b", "compressed by gzip; want it unpacked by gunzip"},
	{"PK\x03\x04", "a ZIP archive; want it unpacked"},
	{"\x28\xb5\x2f\xfd", "compressed by zstd; want it unpacked by unzstd"},
	{"SQLite format 3\x00", "a SQLite database; want an export of its users, as docs/moving-in.md shows"},
	{"\xff\xfe", "in UTF-16; want UTF-8"},
	{"\xfe\xff", "in UTF-16; want UTF-8"},
}

// recognize returns whether a file that begins like this is the original's dump, or an error
// that says what it is instead of users.
func recognize(head []byte) (isDump bool, err error) {
	for _, s := range signatures {
		if bytes.HasPrefix(head, []byte(s.begins)) {
			return false, fmt.Errorf("it is %s", s.is)
		}
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, byteOrderMark), " \t\r\n")
	switch {
	case len(text) == 0:
		return false, errors.New("it is empty; want a JSON object for each user, each on a line")
	case bytes.IndexByte(head, 0) >= 0:
		return false, errors.New("it is not a text; want a JSON object for each user, each on a line")
	case text[0] == '[':
		return false, errors.New("it is a JSON array; want its elements, each on a line, as jq -c '.[]' prints them")
	case text[0] != '{':
		first, _, _ := bytes.Cut(text, []byte("\n"))
		if bytes.ContainsAny(first, ",;\t") {
			return false, errors.New("it looks like CSV; want a JSON object for each user, each on a line")
		}
		return false, errors.New("it is not JSON; want a JSON object for each user, each on a line")
	}
	if string(bytes.TrimRight(text, " \t\r\n")) == "{}" {
		return false, errors.New("it has no users")
	}
	return beginsWithUser(text), nil
}

// beginsWithUser reports whether the first member of a JSON object is a user of the original's
// dump. Lines of other programs may begin with an object, too.
func beginsWithUser(text []byte) bool {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	dec.ReadToken() // {
	if _, err := dec.ReadToken(); err != nil {
		return false // the line will be found bad
	}
	value, err := dec.ReadValue()
	if err != nil {
		return false
	}
	members, _ := parseObject(value)
	return slices.ContainsFunc(members, func(m member) bool { return m.name == "username" || m.name == "hashed_password" })
}

var byteOrderMark = []byte("\ufeff")

// An importedUser is a user of a file, or what is wrong with them.
type importedUser struct {
	place int // the number of the line, or of the user in a dump
	user  User
	bad   fieldErrors
}

// entry is the text of a user, before it is understood.
type entry struct {
	place int
	key   string // in a dump, under which the user stands
	text  []byte
	bad   string // why there is no text
}

// place describes a place for people.
func (f *importFile) place(n int) string {
	if f.isDump {
		return fmt.Sprintf("user %d", n)
	}
	return fmt.Sprintf("line %d", n)
}

// eachBatch reads the file from its start and calls yield with at most maxLookup users at a
// time, in their order. It parses them on all cores. now is when users without a date are
// created.
func (f *importFile) eachBatch(ctx context.Context, now time.Time, yield func([]importedUser) error) error {
	if _, err := f.source.Seek(0, io.SeekStart); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	type parsing struct {
		done  chan []importedUser
		until int64 // how much of the file has been read then
	}
	queue := make(chan parsing, importBatch/maxLookup) // what can be parsed while a batch is added
	var readErr error
	defer func() {
		cancel()
		for range queue { // until the reader has ended: the file may be read again
		}
	}()
	go func() {
		defer close(queue)
		sum := sha256.New()
		reader := &countingReader{r: io.TeeReader(f.source, sum)}
		readErr = f.eachChunk(reader, func(entries []entry) error {
			p := parsing{make(chan []importedUser, 1), reader.n}
			select {
			case queue <- p:
			case <-ctx.Done():
				return ctx.Err()
			}
			go func() { p.done <- parseEntries(entries, now) }()
			return nil
		})
		f.sum = [sha256.Size]byte(sum.Sum(nil))
	}()
	for p := range queue {
		users := <-p.done
		f.read = p.until
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield(users); err != nil {
			return err
		}
	}
	return readErr
}

// eachChunk calls yield with at most maxLookup entries at a time.
func (f *importFile) eachChunk(r *countingReader, yield func([]entry) error) error {
	var chunk []entry
	collect := func(e entry) error {
		if chunk = append(chunk, e); len(chunk) < maxLookup {
			return nil
		}
		full := chunk
		chunk = make([]entry, 0, maxLookup)
		return yield(full)
	}
	each := eachLine
	if f.isDump {
		each = eachMember
	}
	if err := each(r, collect); err != nil {
		return err
	}
	if len(chunk) == 0 {
		return nil
	}
	return yield(chunk)
}

// A countingReader counts the bytes that it has read. If it is limited, it fails when it has
// read more than left.
type countingReader struct {
	r       io.Reader
	n       int64
	left    int64
	limited bool
}

// limit makes it fail if the next member of a dump is far too long.
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
			e.bad = errLongEntry.Error()
		} else {
			e.text = bytes.Clone(line)
		}
		if e.bad != "" || len(bytes.TrimLeft(line, " \t")) > 0 {
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
		return brokenDump(0, err)
	}
	place := 0
	for dec.PeekKind() != '}' {
		place++
		e, err := readMember(dec, place)
		if err != nil {
			return brokenDump(place-1, err)
		}
		if err := yield(e); err != nil {
			return err
		}
		r.limit()
	}
	dec.ReadToken()
	if _, err := dec.ReadToken(); err != io.EOF {
		return brokenDump(place, err)
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
		e.bad = errLongEntry.Error()
	} else {
		e.text = bytes.Clone(value)
	}
	return e, nil
}

// brokenDump says why a dump cannot be read further than user n.
func brokenDump(n int, err error) error {
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
	if e.bad != "" {
		u.bad.add("", &fieldError{Msg: e.bad})
		return u
	}
	members, err := parseObject(e.text)
	if err != nil {
		u.bad.add("", &fieldError{Msg: notAnObject(e.text, err)})
		return u
	}
	u.user, u.bad = parseImportedUser(members, now)
	if key, _ := normalName(e.key); e.key != "" && u.bad == nil && key != u.user.Username {
		u.bad.add("username", &fieldError{Msg: "stands under the name " + quoted(e.key)})
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
	case strings.TrimSpace(string(text)) == "{":
		return "not a whole JSON object; want each on one line, as jq -c prints them"
	}
	return "not valid JSON, or a name that is there twice"
}
