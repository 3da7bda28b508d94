package main

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

// testStoreLoginHistory: failures count for an account, until they are cleared, and
// familiar is where that user was before.
func testStoreLoginHistory(t *testing.T, s store) {
	alice, bob := mustCreate(t, s, testUser("alice")), mustCreate(t, s, testUser("bob"))
	check := func(what, account string, userID int64, source string, want loginHistory) {
		t.Helper()
		if got, err := s.LoginHistory(t.Context(), account, userID, source); err != nil || got.Failures != want.Failures ||
			want.Failures > 0 && !got.LastAt.Equal(want.LastAt) || want.SeenAt.Unix() > 0 && !got.SeenAt.Equal(want.SeenAt) ||
			want.SeenAt.IsZero() && got.SeenAt.Unix() > 0 {
			t.Errorf("%s: %+v, %v; want %+v", what, got, err, want)
		}
	}
	fail := func(account string, now, stale int) {
		t.Helper()
		if err := s.AddFailure(t.Context(), account, inSeconds(now), inSeconds(stale)); err != nil {
			t.Errorf("AddFailure: %v", err)
		}
	}
	check("nothing is known", "a", alice.ID, "x", loginHistory{})
	fail("a", 1, 0)
	fail("a", 2, 0)
	fail("b", 9, 0)
	check("two failures", "a", alice.ID, "x", loginHistory{streak: streak{2, inSeconds(2)}})
	check("for nobody too", "a", 0, "", loginHistory{streak: streak{2, inSeconds(2)}})
	fail("a", 9, 1)
	check("a third, soon enough", "a", alice.ID, "x", loginHistory{streak: streak{3, inSeconds(9)}})
	fail("a", 20, 9)
	check("one that comes late", "a", alice.ID, "x", loginHistory{streak: streak{1, inSeconds(20)}})
	for range 2 {
		if err := s.ClearFailures(t.Context(), "a"); err != nil {
			t.Errorf("ClearFailures: %v", err)
		}
	}
	check("cleared", "a", alice.ID, "x", loginHistory{})
	check("another account", "b", alice.ID, "x", loginHistory{streak: streak{1, inSeconds(9)}})

	for _, now := range []int{1, 2} {
		if err := s.RememberSource(t.Context(), alice.ID, "x", inSeconds(now)); err != nil {
			t.Errorf("RememberSource: %v", err)
		}
	}
	check("a familiar source", "a", alice.ID, "x", loginHistory{SeenAt: inSeconds(2)})
	check("another source", "a", alice.ID, "y", loginHistory{})
	check("another user", "a", bob.ID, "x", loginHistory{})
	if err := s.RememberSource(t.Context(), alice.ID+bob.ID, "x", testTime); !errors.Is(err, errNotFound) {
		t.Errorf("the source of nobody: %v", err)
	}
	for i := range maxSources {
		if err := s.RememberSource(t.Context(), alice.ID, fmt.Sprint("s", i), inSeconds(10+i)); err != nil {
			t.Errorf("RememberSource: %v", err)
		}
	}
	check("the one before the last twenty", "a", alice.ID, "x", loginHistory{})
	check("the first of the last twenty", "a", alice.ID, "s0", loginHistory{SeenAt: inSeconds(10)})
	check("the last", "a", alice.ID, fmt.Sprint("s", maxSources-1), loginHistory{SeenAt: inSeconds(9 + maxSources)})

	if err := s.RememberSource(t.Context(), bob.ID, "s0", inSeconds(3)); err != nil {
		t.Errorf("RememberSource: %v", err)
	}
	for range 2 { // the second time there is nothing to forget
		if err := s.ForgetSources(t.Context(), alice.ID, "s1"); err != nil {
			t.Errorf("ForgetSources: %v", err)
		}
	}
	check("a source that is forgotten", "a", alice.ID, "s0", loginHistory{})
	check("the one that is kept", "a", alice.ID, "s1", loginHistory{SeenAt: inSeconds(11)})
	check("that of another user", "a", bob.ID, "s0", loginHistory{SeenAt: inSeconds(3)})
	if err := s.ForgetSources(t.Context(), alice.ID, "nowhere"); err != nil {
		t.Errorf("ForgetSources: %v", err)
	}
	check("none is kept", "a", alice.ID, "s1", loginHistory{})
	if err := s.ForgetSources(t.Context(), alice.ID+bob.ID, "s0"); err != nil {
		t.Errorf("ForgetSources of nobody: %v", err)
	}
	if err := s.DeleteUser(t.Context(), alice.ID); err != nil {
		t.Errorf("a user with sources cannot be deleted: %v", err)
	}
}

// testStoreOldFailures: what is old is forgotten, in batches, and nothing that is not;
// and of guesses that are counted at once none is lost.
func testStoreOldFailures(t *testing.T, s store) {
	for i := range 5 {
		if err := s.AddFailure(t.Context(), fmt.Sprint(i), inSeconds(i), testTime); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct{ before, limit, want int }{{0, 9, 0}, {2, 1, 1}, {2, 9, 1}, {2, 9, 0}, {9, 9, 3}} {
		n, err := s.DeleteOldFailures(t.Context(), inSeconds(step.before), step.limit)
		if n != step.want || err != nil {
			t.Errorf("before %d s, at most %d: %d, %v; want %d", step.before, step.limit, n, err, step.want)
		}
	}
	for at, account := range []string{"oldest", "oldest", "oldest", "older", "old", "old", "newest"} { // of several lengths
		if err := s.AddFailure(t.Context(), account, inSeconds(at), testTime); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"oldest", "older", "old"} {
		if n, err := s.DeleteOldFailures(t.Context(), inSeconds(6), 1); n != 1 || err != nil {
			t.Errorf("%d, %v; want 1", n, err)
		}
		if g, err := s.LoginHistory(t.Context(), want, 0, ""); err != nil || g.Failures != 0 {
			t.Errorf("%s is not forgotten next: %+v, %v", want, g, err)
		}
	}
	if g, err := s.LoginHistory(t.Context(), "newest", 0, ""); err != nil || g.Failures != 1 {
		t.Errorf("the newest: %+v, %v", g, err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := s.AddFailure(t.Context(), "a", testTime, inSeconds(-1)); err != nil {
				t.Errorf("AddFailure: %v", err)
			}
		})
	}
	all.Wait()
	if g, err := s.LoginHistory(t.Context(), "a", 0, ""); err != nil || g.Failures != 50 {
		t.Errorf("%+v, %v; want 50 failures", g, err)
	}
}
