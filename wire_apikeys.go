package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// apiKeyFacts are what users see of an API key at any time.
type apiKeyFacts struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Scope     scopes     `json:"scope"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"` // nil: never
}

func newAPIKeyFacts(k APIKey) apiKeyFacts {
	return apiKeyFacts{k.ID, k.Name, k.Scopes, k.CreatedAt, filledTime(k.ExpiresAt)}
}

// filledTime returns nil for the zero time.
func filledTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// A createdAPIKey is what users see of an API key once.
type createdAPIKey struct {
	apiKeyFacts
	Key string `json:"key"`
}

// A listedAPIKey is what users see of an API key in a list.
type listedAPIKey struct {
	apiKeyFacts
	LastUsedAt *time.Time `json:"last_used_at"` // to the hour; nil: not yet
}

func newListedAPIKey(k APIKey) listedAPIKey {
	return listedAPIKey{newAPIKeyFacts(k), filledTime(k.LastUsedAt)}
}

func newAPIKeyList(keys []APIKey) []listedAPIKey {
	list := make([]listedAPIKey, 0, len(keys))
	for _, k := range keys {
		list = append(list, newListedAPIKey(k))
	}
	return list
}

// Limits on what people may choose for an API key.
const (
	maxAPIKeyName     = 100 // code points
	defaultAPIKeyDays = 90
	maxAPIKeyDays     = 366
)

// parseAPIKeyRequest reads the members of a new API key, for somebody who may do what is granted. It
// reports every wrong field, as fieldErrors. It ignores unknown members, as pydantic does.
func parseAPIKeyRequest(members []member, granted scopes) (apiKeyRequest, error) {
	var bad fieldErrors
	fields := memberValues(members)
	k := apiKeyRequest{Scopes: bad.apiKeyScope(fields, granted), Life: bad.apiKeyLife(fields)}
	if name, ok := bad.requiredString(fields, "name"); ok {
		k.Name = name
		bad.add("name", checkAPIKeyName(name))
	}
	return k, bad.err()
}

// checkAPIKeyName returns what is wrong with the name of an API key, or nil.
func checkAPIKeyName(name string) *fieldError {
	if bad := checkLength(name, 1, maxAPIKeyName); bad != nil {
		return bad
	}
	if strings.ContainsFunc(name, isInvisible) || strings.TrimSpace(name) != name {
		return valueError("the name must not contain control, format or invisible characters, nor begin or end with white space")
	}
	return nil
}

// apiKeyScope returns the scopes of a new API key, none by default.
func (e *fieldErrors) apiKeyScope(fields map[string]json.RawMessage, granted scopes) scopes {
	text, ok := e.optionalString(fields, "scope")
	if !ok {
		return ""
	}
	wanted, err := newScopes(strings.Fields(text)...)
	switch {
	case err != nil:
		e.add("scope", valueError(err.Error()))
	case granted.missing(wanted) != "":
		e.add("scope", valueError("the scope is more than is granted to you"))
	}
	return wanted
}

// apiKeyLife returns how long a new API key lives. A null is wrong, because it could be meant as "for
// ever", which only the command line can do.
func (e *fieldErrors) apiKeyLife(fields map[string]json.RawMessage) time.Duration {
	days := defaultAPIKeyDays
	if value, ok := fields["expires_in_days"]; ok {
		var err error
		if days, err = strconv.Atoi(string(value)); err != nil {
			e.add("expires_in_days", &fieldError{Type: "int_type", Msg: "Input should be a valid integer"})
			return 0
		}
		e.add("expires_in_days", checkRange(days, 1, maxAPIKeyDays))
	}
	return time.Duration(days) * day
}
