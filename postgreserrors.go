package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// pgFaults says what an error of the server means, by its SQLSTATE
// (https://www.postgresql.org/docs/current/errcodes-appendix.html). All others are
// faultOther.
var pgFaults = map[string]fault{
	"40001": faultUndone,     // serialization_failure
	"40P01": faultUndone,     // deadlock_detected
	"42P05": faultUnprepared, // duplicate_prepared_statement: of another client
	"26000": faultUnprepared, // invalid_sql_statement_name: it is on another connection
	"0A000": faultStalePlan,  // feature_not_supported: "cached plan must not change result type"
	"25006": faultDemoted,    // read_only_sql_transaction: a failover has made it a standby
	"23503": faultUserGone,   // foreign_key_violation
	"57P01": faultLost,       // admin_shutdown
	"57P02": faultLost,       // crash_shutdown
	"57P03": faultLost,       // cannot_connect_now
}

// pgFault says what an error of pgx means, whether the server answered or not.
func pgFault(err error) fault {
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgFaults[answer.Code]
	}
	switch {
	case pgconn.SafeToRetry(err):
		return faultUndone // it was not even sent
	case errors.Is(err, sql.ErrNoRows), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return faultOther
	}
	return faultLost
}

// isRefusedPG reports whether the server, or a pooler before it, takes no more
// connections: class 53 is insufficient_resources, 08004 and 08P01 are what poolers say.
func isRefusedPG(err error) bool {
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	answer, ok := errors.AsType[*pgconn.PgError](err)
	return connecting && ok && (strings.HasPrefix(answer.Code, "53") || answer.Code == "08004" || answer.Code == "08P01")
}

// isTemporaryPG reports whether a server may become usable without help: it is not there yet,
// is starting up, takes no more connections, or is not yet a primary. A wrong password is
// final, and so is an untrusted certificate.
func isTemporaryPG(err error) bool {
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgFaults[answer.Code] == faultLost || isRefusedPG(err)
	}
	if alert, ok := errors.AsType[*net.OpError](err); ok && alert.Op == "remote error" { // of crypto/tls
		return false
	}
	_, onNetwork := errors.AsType[net.Error](err)
	return onNetwork || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, pgconn.ErrReadOnlyConnection)
}

// explainPG says why a connection could not be made: what the servers answered, or, if none
// did, why each host could not be reached. The text of pgx begins with attempts to use TLS,
// and with names that the caller adds.
func explainPG(err error) error {
	failed, ok := errors.AsType[*pgconn.ConnectError](err)
	if !ok {
		return err
	}
	var answers, others []string
	for _, one := range joinedErrors(failed) {
		list := &others
		if _, ok := errors.AsType[*pgconn.PgError](one); ok {
			list = &answers
		}
		if text := oneLine(one); !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	if len(answers) > 0 {
		others = answers
	}
	return explained{strings.Join(others, "; "), err}
}

// joinedErrors returns the errors that were joined in err.
func joinedErrors(err error) []error {
	for err != nil {
		if all, ok := err.(interface{ Unwrap() []error }); ok {
			return all.Unwrap()
		}
		if errors.Unwrap(err) == nil {
			break
		}
		err = errors.Unwrap(err)
	}
	return []error{err}
}

// ownSchema is how to keep the tables of two applications apart.
const ownSchema = "a schema of its own (CREATE SCHEMA latchkey AUTHORIZATION its_role, and search_path=latchkey in DATABASE_URL) or a database of its own"

// pgCures says what to do about an error of the server at the start, by its SQLSTATE.
var pgCures = map[string]string{
	"3D000": "want a database that is there: CREATE DATABASE",
	"3F000": "the search_path names no schema that is there and may be used: CREATE SCHEMA, or GRANT USAGE, CREATE ON SCHEMA",
	"25006": "want a server that takes writes, which a standby does not",
	"42501": "want a role that may create tables and owns Latchkey's: GRANT CREATE ON SCHEMA, or " + ownSchema,
	"42P07": "another application has it: want " + ownSchema,          // duplicate_table
	"42710": "another application has it: want " + ownSchema,          // duplicate_object
	"42701": "another application has it: want " + ownSchema,          // duplicate_column
	"42P01": "the tables there are not Latchkey's: want " + ownSchema, // undefined_table
	"42703": "the tables there are not Latchkey's: want " + ownSchema, // undefined_column
	"42804": "the tables there are not Latchkey's: want " + ownSchema, // datatype_mismatch
	"42809": "the tables there are not Latchkey's: want " + ownSchema, // wrong_object_type
	"42883": "the tables there are not Latchkey's: want " + ownSchema, // undefined_function: of other types
	"42P10": "the tables there are not Latchkey's: want " + ownSchema, // invalid_column_reference: no such unique index
	"55P03": "others use the tables for longer than 3 s: start again, at a quieter time",
}

func curePG(err error) string {
	if errors.Is(err, pgconn.ErrReadOnlyConnection) {
		return pgCures["25006"]
	}
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgCures[answer.Code]
	}
	return ""
}
