package main

import (
	"errors"
)

// An errorResult says what the metrics call an error.
type errorResult struct {
	err    error
	result string
}

// Whatever is not in these tables is a fault of ours: resultError. A form that cannot be read
// is no login, and no use of a refresh token.
var (
	loginResults = []errorResult{
		{errBadCredentials, resultFailure},
		{errBusy, resultBusy},
	}
	refreshResults = []errorResult{
		{errRefreshReused, resultReuse},
		{errRefreshExpired, resultExpired},
		{errSessionEnded, resultEnded},
		{errBadRefreshToken, resultInvalid},
	}
	clientResults = []errorResult{
		{errBadClient, resultFailure},
		{errBadScope, resultInvalid},
		{errTwoWays, resultInvalid},
	}
	registrationResults = []errorResult{
		{errExists, resultTaken},
		{errRegistrationClosed, resultClosed},
		{errBusy, resultBusy},
		{errBadBody, resultInvalid},
		{errTooLarge, resultInvalid},
	}
)

// loginResult returns the result of a login that ended with err.
func loginResult(err error) string { return resultOf(err, loginResults) }

// refreshResult returns the result of a use of a refresh token that ended with err.
func refreshResult(tokens issuedTokens, err error) string {
	if err == nil && tokens.Repeated {
		return resultGrace
	}
	return resultOf(err, refreshResults)
}

// clientResult returns the result of a request for a token by a client that ended with err.
func clientResult(err error) string { return resultOf(err, clientResults) }

// registrationResult returns the result of a registration that ended with err.
func registrationResult(err error) string {
	if _, ok := errors.AsType[fieldErrors](err); ok {
		return resultInvalid
	}
	return resultOf(err, registrationResults)
}

func resultOf(err error, results []errorResult) string {
	if err == nil {
		return resultSuccess
	}
	if _, ok := errors.AsType[throttledError](err); ok {
		return resultThrottled
	}
	for _, row := range results {
		if errors.Is(err, row.err) {
			return row.result
		}
	}
	return resultError
}
