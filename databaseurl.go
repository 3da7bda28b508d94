package main

import (
	"errors"
	"regexp"
	"strings"
)

const sqlitePrefix = "sqlite:"

// sqlitePath returns the path of the file that a URL names, and whether it names one.
func sqlitePath(url string) (path string, ok bool) { return strings.CutPrefix(url, sqlitePrefix) }

// fromSQLAlchemy returns a URL in our spelling if it is in SQLAlchemy's, with the name of a
// Python driver after a + and three slashes before a SQLite file, and otherwise as it is
// (https://docs.sqlalchemy.org/en/20/core/engines.html#database-urls).
func fromSQLAlchemy(url string) string {
	scheme, rest, found := strings.Cut(url, "://")
	dialect, driver, hasDriver := strings.Cut(scheme, "+")
	path, hasPath := strings.CutPrefix(rest, "/")
	switch {
	case dialect == "sqlite" && found && hasPath && !strings.Contains(path, "?"):
		return sqlitePrefix + path
	case driver == "asyncpg" && isPostgres(dialect+"://"): // its name for sslmode is ssl
		return dialect + "://" + asyncpgSSL.Replace(rest)
	case hasDriver && isPostgres(dialect+"://"):
		return dialect + "://" + rest
	}
	return url
}

var asyncpgSSL = strings.NewReplacer("?ssl=true", "?sslmode=require", "?ssl=", "?sslmode=", "&ssl=true", "&sslmode=require", "&ssl=", "&sslmode=")

// checkDatabaseURL returns what is wrong with a URL. The error does not quote the URL, which
// may have a password in it, in any place if it is malformed.
func checkDatabaseURL(url string) error {
	path, isFile := sqlitePath(url)
	switch {
	case url == "":
		return nil
	case isFile && (path == "" || path == ":memory:" || strings.HasPrefix(path, "//") || strings.HasPrefix(path, "file:")):
		return errors.New("want the path of a file after sqlite:, such as sqlite:users.db or sqlite:/var/lib/latchkey/users.db, without parameters")
	case isFile && holdsSecret.MatchString(path):
		return errors.New("want the path of a file after sqlite:, without a password")
	case isFile:
		return nil
	case isPostgres(url):
		_, err := parsePostgres(url)
		return err
	}
	return errors.New("want sqlite:path/to/file.db, postgres://user:password@host:5432/name, or nothing for memory")
}

// holdsSecret matches a path that looks like a URL, or has parameters with a secret.
var holdsSecret = regexp.MustCompile(`(?s)://|:.*@|(?i)[?&;]\w*(pass|pwd|key|token|secret|pragma)\w*=`)

// describeDatabaseURL returns a URL without its user, password and parameters.
// checkDatabaseURL must have accepted it.
func describeDatabaseURL(url string) string {
	if !isPostgres(url) {
		return url
	}
	cfg, err := parsePostgres(url)
	if err != nil {
		return "set"
	}
	return "postgres://" + strings.Join(hosts(cfg.ConnConfig), ",") + "/" + cfg.ConnConfig.Database
}

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}
