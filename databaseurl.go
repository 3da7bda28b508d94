package main

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const sqlitePrefix = "sqlite:"

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

// checkDatabaseURL returns what is wrong with a URL, without repeating it: it may
// have a password in it, in any place if it was written wrong.
func checkDatabaseURL(url string) error {
	path, isFile := strings.CutPrefix(url, sqlitePrefix)
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
		return checkPostgresURL(url)
	}
	return errors.New("want sqlite:path/to/file.db, postgres://user:password@host:5432/name, or nothing for memory")
}

// holdsSecret matches a path that is rather a URL, or has parameters with a secret.
var holdsSecret = regexp.MustCompile(`(?s)://|:.*@|(?i)[?&;]\w*(pass|pwd|key|token|secret|pragma)\w*=`)

// checkPostgresURL returns what is wrong with a PostgreSQL URL. It refuses what the parser
// takes although a part of the password ends up as a host, a database or a parameter: those are
// not secrets, and are printed.
func checkPostgresURL(url string) error {
	cfg, err := parsePostgres(url)
	if err != nil {
		return err
	}
	user := ""
	_, rest, _ := strings.Cut(url, "://")
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' { // as the parser and libpq find it
		user = rest[:i]
	}
	conn := cfg.ConnConfig
	names := slices.AppendSeq(append(hosts(conn), conn.Database), maps.Keys(conn.RuntimeParams))
	if parameter.MatchString(user) || strings.Contains(conn.User, ":") ||
		slices.ContainsFunc(names, func(name string) bool { return strings.ContainsAny(name, noName) }) {
		return errMisreadURL
	}
	return nil
}

// parameter matches the beginning of one in a URL. noName are characters that are in no host,
// and hardly ever in the name of a database or a parameter.
var parameter = regexp.MustCompile(`\?\w+=`)

const noName = "@#=;&?!$*()+{}|^\"'<>\\` "

var errMisreadURL = errors.New("want a PostgreSQL URL such as postgres://user:password@host:5432/name, with special characters in the password, and every @ but the one before the host, as %XX")

// describeDatabaseURL returns a URL that checkDatabaseURL has found good without its
// user, password and parameters.
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
