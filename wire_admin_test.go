package main

import (
	"slices"
	"testing"
)

// FuzzListQueries: whatever a query string says, it is refused, or asks for something that every
// store can look for, within the limits.
func FuzzListQueries(f *testing.F) {
	f.Add("q=kim&email=a%40b.example&disabled=true&scope=admin&limit=10&after=bob")
	f.Add("username=kim&event=authn_login_fail&since=2026-11-25T08:30:00Z&limit=1000&after=7")
	f.Add("q=%EF%B7%BA&q=%00&after=%ff&limit=99999999999999999999;=&&%zz")
	f.Add("since=2026-11-25T08:30:00+01:00&after=-1&disabled=1&scope=any")
	f.Fuzz(func(t *testing.T, text string) {
		users, limit, err := parseUserQuery(text)
		if err == nil && (limit < 1 || limit > maxRowsShown || len(users.After) > maxUsernameKey ||
			checkStorable(users.Text, users.Email, users.Scope, users.After) != nil) {
			t.Errorf("users: %+v, %d", users, limit)
		}
		events, limit, err := parseEventQuery(text)
		_, known := eventKinds[events.Name]
		if err == nil && (limit < 1 || limit > maxRowsShown || events.After < 0 || events.Name != "" && !known ||
			len(events.Key) > maxUsernameKey || checkStorable(events.Key) != nil) {
			t.Errorf("events: %+v, %d", events, limit)
		}
	})
}

// FuzzUserEdit: an edit has what its members say and nothing else, and every store can hold it.
func FuzzUserEdit(f *testing.F) {
	f.Add(`{"email":"a@b.example","full_name":null,"password":"another password","disabled":true,"scopes":["a","admin"]}`)
	f.Add(`{"scopes":[],"disabled":false,"email":null}`)
	f.Add(`{"scopes":[null,"a b"],"disabled":"true","username":"x"}`)
	known := []string{"email", "full_name", "password", "disabled", "scopes"}
	f.Fuzz(func(t *testing.T, body string) {
		members, err := parseObject([]byte(body))
		if err != nil {
			return
		}
		edit, err := parseUserEdit(members, "bob", 8)
		if err != nil {
			return
		}
		has := func(name string) bool {
			return slices.ContainsFunc(members, func(m member) bool { return m.name == name })
		}
		for _, m := range members {
			if !slices.Contains(known, m.name) {
				t.Errorf("the member %q is accepted", m.name)
			}
		}
		change, err := edit.change(testUser("bob"), edit.Password, testTime)
		if err != nil || edit.Email.Set != has("email") || edit.FullName.Set != has("full_name") || (edit.Password != nil) != has("password") ||
			(change.Disabled != nil) != has("disabled") || change.Scopes != nil && !has("scopes") {
			t.Errorf("%s becomes %+v, %v", body, change, err)
		}
		if edit.Password == nil && checkChange(change) != nil {
			t.Errorf("%s becomes %+v, which no store can hold", body, change)
		}
	})
}

// FuzzAge: an age is never negative, and whole days are as many.
func FuzzAge(f *testing.F) {
	for _, text := range []string{"24h", "7d", "90m", "-1h", "65536d", "1e9h", "d", "1h30m"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if age, err := parseAge(text); err == nil && age < 0 {
			t.Errorf("%q is %v", text, age)
		}
	})
}
