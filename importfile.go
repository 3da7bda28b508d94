package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// An importFile is a file of users that is read twice. It has a JSON object on each line, or is
// the answer of the original's GET /: one object with a member for each user.
type importFile struct {
	io.Closer
	source     io.ReadSeeker
	size       int64 // in bytes
	isOriginal bool
}

const (
	maxImportLine  = 64 << 10 // of one user, in bytes
	maxImportPiped = 2 << 30  // of what is not a file, and so kept in memory
)

// openImport opens the file at a path, or stdin for "-". The error says what it is, if it is
// something else than users.
func openImport(path string, stdin *os.File) (*importFile, error) {
	file := stdin
	if path != "-" {
		var err error
		if file, err = os.Open(path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, withoutPath(err))
		}
	}
	f, err := newImportFile(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	f.Closer = file
	return f, nil
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
	isOriginal, err := recognize(head[:n])
	if err != nil {
		return nil, err
	}
	f := &importFile{source: file, size: info.Size(), isOriginal: isOriginal}
	if !info.Mode().IsRegular() {
		rest, err := io.ReadAll(io.LimitReader(file, maxImportPiped))
		if err != nil {
			return nil, withoutPath(err)
		}
		if int64(len(rest)) == maxImportPiped {
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

// recognize returns whether a file that begins like this is the answer of the original's GET /,
// or an error that says what it is instead of users.
func recognize(head []byte) (isOriginal bool, err error) {
	for _, s := range signatures {
		if bytes.HasPrefix(head, []byte(s.begins)) {
			return false, fmt.Errorf("it is %s", s.is)
		}
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, byteOrderMark), " \t\r\n")
	switch {
	case len(text) == 0:
		return false, errors.New("it is empty" + wantLines)
	case bytes.IndexByte(head, 0) >= 0:
		return false, errors.New("it is not a text" + wantLines)
	case text[0] == '[':
		return false, errors.New("it is a JSON array; want its elements, each on a line, as jq -c '.[]' prints them")
	case text[0] != '{':
		line, _, _ := bytes.Cut(text, []byte("\n"))
		if bytes.ContainsAny(line, ",;\t") {
			return false, errors.New("it looks like CSV" + wantLines)
		}
		return false, errors.New("it is not JSON" + wantLines)
	}
	isOriginal = beginsWithUser(text)
	first, _, _ := bytes.Cut(text, []byte("\n"))
	switch {
	case string(bytes.TrimSpace(text)) == "{}":
		return false, errors.New("it has no users")
	case string(bytes.TrimSpace(first)) == "{" && !isOriginal:
		return false, errors.New("it has a JSON object on several lines; want one object per line, as jq -c . prints it")
	}
	return isOriginal, nil
}

// beginsWithUser reports whether the first member of a JSON object is a user of the original's
// GET /. Lines of other programs may begin with an object, too.
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

// wantLines says what a file has to be.
const wantLines = "; want a JSON object for each user, each on a line"

var byteOrderMark = []byte("\ufeff")

// place describes a place for people.
func (f *importFile) place(n int) string {
	if f.isOriginal {
		return fmt.Sprintf("user %d", n)
	}
	return fmt.Sprintf("line %d", n)
}
