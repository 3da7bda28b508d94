package e2e

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// testReplicaRefresh: one token is refreshed at two replicas at once.
func testReplicaRefresh(t *testing.T, p place) {
	settings := p.with("REFRESH_GRACE_SECONDS=60")
	replicas := []*server{start(t, settings...), start(t, settings...)}
	replicas[0].register(t, "alice")
	g := replicas[0].signIn(t, "alice")
	for step := range 5 {
		g = checkOneSuccessor(t, refreshAtOnce(t, 50, g.Refresh, replicas...))
		p.checkGeneration(t, step+1)
	}
	for _, s := range replicas {
		g = checkGoesOn(t, s, g, "alice")
	}
}

// replicaEnds are the ways to end the session of a victim, or all, from another one of
// the same user.
var replicaEnds = []struct {
	name string
	end  func(t *testing.T, s *server, victim, other grant) answer
	all  bool
}{
	{"logout by the access token", func(t *testing.T, s *server, victim, _ grant) answer {
		return s.do(t, "POST", "/revoke", "token="+victim.Access, formType)
	}, false},
	{"logout by the refresh token", func(t *testing.T, s *server, victim, _ grant) answer {
		return s.do(t, "POST", "/revoke", "token="+victim.Refresh, formType)
	}, false},
	{"the end from another session", func(t *testing.T, s *server, victim, other grant) answer {
		return s.authorized(t, "DELETE", "/users/me/sessions/"+s.current(t, victim.Access).ID, "", other.Access)
	}, false},
	{"the end of all others", func(t *testing.T, s *server, _, other grant) answer {
		return s.authorized(t, "DELETE", "/users/me/sessions/?keep=current", "", other.Access)
	}, false},
	{"a change of password", func(t *testing.T, s *server, _, other grant) answer {
		return s.authorized(t, "POST", "/users/me/password", change(password, nextPassword), other.Access)
	}, false},
	{"the end of all", func(t *testing.T, s *server, _, other grant) answer {
		return s.authorized(t, "DELETE", "/users/me/sessions/", "", other.Access)
	}, true},
	{"deletion", func(t *testing.T, s *server, _, other grant) answer {
		return s.authorized(t, "DELETE", "/users/me/", "", other.Access)
	}, true},
}

// testReplicaEnds: what one replica ends is over at the other with the next request,
// though it has just seen that all was well.
func testReplicaEnds(t *testing.T, p place) {
	here, there := p.start(t), p.start(t)
	for _, tt := range replicaEnds {
		t.Run(tt.name, func(t *testing.T) {
			here.register(t, tt.name)
			victim, other := here.signIn(t, tt.name), there.signIn(t, tt.name)
			checkMe(t, there.me(t, victim.Access), tt.name)
			checkMe(t, there.me(t, other.Access), tt.name)
			if a := tt.end(t, here, victim, other); a.StatusCode != 200 && a.StatusCode != 204 {
				t.Fatalf("got %d %s; want success", a.StatusCode, a.body)
			}
			checkEnded(t, there, victim)
			if tt.all {
				checkEnded(t, there, other)
			} else {
				checkGoesOn(t, there, other, tt.name)
			}
		})
	}
}

// testReplicaTheft: a token that was used at one replica comes again at the other.
func testReplicaTheft(t *testing.T, p place) {
	const strict = "REFRESH_GRACE_SECONDS=0"
	here, there := p.start(t, strict), p.start(t, strict)
	here.register(t, "alice")
	first, other := here.signIn(t, "alice"), here.signIn(t, "alice")
	next := checkGoesOn(t, here, first, "alice")
	checkOAuthProblem(t, there.refresh(t, first.Refresh), "invalid_grant", "refresh token already used; the session has ended")
	for _, s := range []*server{here, there} {
		checkEnded(t, s, first)
		checkEnded(t, s, next)
		other = checkGoesOn(t, s, other, "alice")
		checkGoesOn(t, s, s.signIn(t, "alice"), "alice")
	}
	checkTheftLogged(t, there)
	if n := len(here.events(t, "authn_token_reuse")); n != 0 {
		t.Errorf("%d warnings where nothing was stolen", n)
	}
}

// testReplicaRaces: clients refresh at both replicas while a session ends. However
// they meet, no token that anybody has got is good afterwards.
func testReplicaRaces(t *testing.T, p place) {
	replicas := []*server{p.start(t), p.start(t)}
	replicas[0].register(t, "alice")
	other := replicas[0].signIn(t, "alice") // which ends the rest, and lives on
	current := password
	ends := []func(g grant) answer{
		func(g grant) answer { return replicas[0].do(t, "POST", "/revoke", "token="+g.Access, formType) },
		func(grant) answer {
			return replicas[1].authorized(t, "DELETE", "/users/me/sessions/?keep=current", "", other.Access)
		},
		func(grant) answer {
			body := change(current, current+".")
			current += "."
			return replicas[rand.N(2)].authorized(t, "POST", "/users/me/password", body, other.Access)
		},
	}
	for round := range 30 {
		first := replicas[0].logInWith(t, current).granted(t)
		var clients sync.WaitGroup
		got := make([][]grant, 4)
		for i := range got {
			clients.Go(func() { got[i] = refreshUntilEnded(t, replicas[i%2], first) })
		}
		if a := ends[round%len(ends)](first); a.StatusCode != 200 && a.StatusCode != 204 {
			t.Errorf("the end got %d %s; want success", a.StatusCode, a.body)
		}
		clients.Wait()
		for _, g := range slices.Concat(append(got, []grant{first})...) {
			checkEnded(t, replicas[rand.N(2)], g)
		}
	}
	checkGoesOn(t, replicas[0], other, "alice")
}

// refreshUntilEnded returns what a client gets, from one refresh to the next, until it
// is told that the session has ended, perhaps because it has fallen behind another.
func refreshUntilEnded(t *testing.T, s *server, g grant) []grant {
	var all []grant
	for !t.Failed() {
		a, err := s.try(t.Context(), "POST", "/token", refreshBody(g.Refresh), formType)
		if err != nil {
			t.Error(err)
			return all
		}
		if a.StatusCode != 200 {
			checkOAuthCode(t, a, "invalid_grant")
			return all
		}
		g = a.granted(t)
		all = append(all, g)
	}
	return all
}
