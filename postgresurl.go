package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	pgMaxConns       = 10              // at most, unless the URL says pool_max_conns
	pgConnectTimeout = 2 * time.Second // per host, within storeTimeout
)

// pgKeepAlive detects within 30 s that the other side of a quiet connection is gone.
var pgKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// parsePostgres reads a libpq URL, with the parameters of pgxpool. Its errors do not quote the
// URL, which has a password in it; the parser's own errors do. Unless the URL says otherwise,
// only a server that takes writes is used: a standby may not know a session yet, and would
// cause a wrong 401.
func parsePostgres(url string) (*pgxpool.Config, error) {
	if isMisread(url) {
		return nil, errMisread
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New(whatIsWrong(url, err) + wantURL)
	}
	if hasStrayText(cfg.ConnConfig) {
		return nil, errMisread
	}
	if !strings.Contains(url, "pool_max_conns=") { // cfg does not say whether it was set
		cfg.MaxConns = pgMaxConns
	}
	if cfg.MaxConns < 2 { // a slow statement must not hold up all others
		return nil, errors.New("pool_max_conns: want at least 2")
	}
	conn := cfg.ConnConfig
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = pgConnectTimeout
	}
	if !strings.Contains(url, "target_session_attrs=") {
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if conn.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement && conn.StatementCacheCapacity == 0 {
		conn.DefaultQueryExecMode = pgx.QueryExecModeExec // pgx would refuse every statement
	}
	cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // acquire does
	conn.DialFunc = (&net.Dialer{Timeout: pgConnectTimeout, KeepAliveConfig: pgKeepAlive}).DialContext
	return cfg, nil
}

const wantURL = "; want a PostgreSQL URL such as postgres://user:password@host:5432/name?sslmode=verify-full, with special characters in the password as %XX"

var errMisread = errors.New("cannot tell where the password ends" + wantURL)

// isMisread reports whether the parser might take a part of the password for a host, a
// database or a parameter, which are printed. After a password with @ or / in it there is an
// @ left, and a password with a ? ends the address.
func isMisread(url string) bool {
	_, rest, _ := strings.Cut(url, "://")
	end := strings.IndexAny(rest, "@/") // as the parser and libpq find it
	if end < 0 {
		return false
	}
	user := rest[:end]
	return strings.Contains(user, ":") && strings.Contains(rest[end+1:], "@") ||
		rest[end] == '@' && parameter.MatchString(user)
}

// hasStrayText reports whether the user, a host, the database or the name of a parameter looks
// like a part of a password.
func hasStrayText(conn *pgx.ConnConfig) bool {
	names := slices.AppendSeq(append(hosts(conn), conn.Database), maps.Keys(conn.RuntimeParams))
	return strings.Contains(conn.User, ":") ||
		slices.ContainsFunc(names, func(name string) bool { return strings.ContainsAny(name, noName) })
}

// parameter matches the beginning of one in a URL. noName are characters that are in no host,
// and hardly ever in the name of a database or a parameter.
var parameter = regexp.MustCompile(`\?\w+=`)

const noName = "@#=;&?!$*()+{}|^\"'<>\\` "

// parameterWants is what the parameters accept that a URL can get wrong.
var parameterWants = map[string]string{
	"channel_binding":               "want disable, prefer or require",
	"connect_timeout":               "want a number of seconds",
	"default_query_exec_mode":       "want cache_statement, cache_describe, describe_exec, exec or simple_protocol",
	"description_cache_capacity":    "want a whole number",
	"host":                          "want as many hosts as ports",
	"max_protocol_version":          "want 3.0, 3.2 or latest",
	"min_protocol_version":          "want 3.0, 3.2 or latest",
	"pool_health_check_period":      "want a duration, such as 1m",
	"pool_max_conn_idle_time":       "want a duration, such as 30m",
	"pool_max_conn_lifetime":        "want a duration, such as 1h",
	"pool_max_conn_lifetime_jitter": "want a duration, such as 5m",
	"pool_max_conns":                "want a whole number from 2 on",
	"pool_min_conns":                "want a whole number",
	"pool_min_idle_conns":           "want a whole number",
	"pool_ping_timeout":             "want a duration, such as 1s",
	"port":                          "want a number from 1 to 65535",
	"require_auth":                  "want methods such as scram-sha-256",
	"service":                       "want one from the service file",
	"servicefile":                   "want a file with that service",
	"sslcert":                       "want PEM files for both sslcert and sslkey",
	"sslcertmode":                   "want disable, allow or require",
	"sslkey":                        "want PEM files for both sslcert and sslkey",
	"sslmode":                       "want disable, allow, prefer, require, verify-ca or verify-full",
	"sslnegotiation":                "want postgres, or direct with sslmode=require or stricter",
	"sslpassword":                   "want the password of sslkey",
	"sslrootcert":                   "want a PEM file of certificates, or system with sslmode=verify-full",
	"sslsni":                        "want 0 or 1",
	"statement_cache_capacity":      "want a whole number",
	"target_session_attrs":          "want read-write, primary, any, read-only, standby or prefer-standby",
}

// whatIsWrong returns why the parser has refused a URL, without quoting it. The parser's own
// error repeats the URL, so it leaves out one part after the other until the parser accepts
// the rest.
func whatIsWrong(url string, err error) string {
	reason := ""
	if bad, ok := errors.AsType[*fs.PathError](err); ok { // of a file that a parameter names
		reason = bad.Err.Error() + "; "
	}
	address, query, _ := strings.Cut(url, "?")
	parameters := strings.Split(query, "&")
	for i, parameter := range parameters {
		name, _, _ := strings.Cut(parameter, "=")
		others := strings.Join(slices.Delete(slices.Clone(parameters), i, i+1), "&")
		if want := parameterWants[name]; want != "" && parses(address+"?"+others) {
			return name + ": " + reason + want
		}
	}
	switch {
	case !parses("postgres://localhost"):
		return cmp.Or(strings.TrimSuffix(reason, "; "), "not understood") + " (in one of the variables PG…)"
	case !parses(address):
		return "the address is not understood: its port is no number from 1 to 65535, or a % is not followed by two hexadecimal digits"
	}
	if reason != "" {
		return "a file that its parameters name: " + strings.TrimSuffix(reason, "; ")
	}
	return "its parameters are not understood"
}

func parses(url string) bool {
	_, err := pgxpool.ParseConfig(url)
	return err == nil
}

// hosts returns the addresses that cfg names, each once.
func hosts(cfg *pgx.ConnConfig) []string {
	all := []string{net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))}
	for _, other := range cfg.Fallbacks { // a host is there twice if TLS is only preferred
		addr := net.JoinHostPort(other.Host, strconv.Itoa(int(other.Port)))
		if !slices.Contains(all, addr) {
			all = append(all, addr)
		}
	}
	return all
}

// describePostgres returns a name for people, without any secret.
func describePostgres(cfg *pgx.ConnConfig) string {
	return fmt.Sprintf("PostgreSQL database %s at %s", cfg.Database, strings.Join(hosts(cfg), ", "))
}
