// Command openapi-generator-go uses the client that openapi-generator writes for Go.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"latchkey/e2e/clients/openapi-generator-go/api"
)

func main() {
	if err := run(context.Background(), os.Getenv("BASE"), os.Getenv("NAME"), os.Getenv("PASSWORD")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, base, name, password string) error {
	cfg := api.NewConfiguration()
	cfg.Servers = api.ServerConfigurations{{URL: base}}
	client := api.NewAPIClient(cfg)

	newUser := api.NewUserCreate(name, password)
	newUser.SetFullName("Test User")
	user, _, err := client.UsersAPI.CreateUser(ctx).UserCreate(*newUser).Execute()
	if err != nil || user.GetFullName() != "Test User" {
		return fmt.Errorf("register: %w, %v", err, user)
	}
	_, _, err = client.TokensAPI.LoginForAccessToken(ctx).GrantType("password").Username(name).Password("wrong").Execute()
	if problem, ok := problemIn(err); !ok || problem.Detail != "Incorrect username or password" {
		return fmt.Errorf("wrong password: %w", err)
	}
	login, _, err := client.TokensAPI.LoginForAccessToken(ctx).GrantType("password").Username(name).Password(password).Execute()
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	me, _, err := client.UsersAPI.ReadUsersMe(bearer(ctx, login)).Execute()
	if err != nil || me.Username != name {
		return fmt.Errorf("me: %w, %v", err, me)
	}
	refresh, _, err := client.TokensAPI.LoginForAccessToken(ctx).GrantType("refresh_token").RefreshToken(*login.RefreshToken).Execute()
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	return logOut(ctx, client, refresh)
}

// logOut lists the sessions, ends the only one, and looks whether it has ended.
func logOut(ctx context.Context, client *api.APIClient, tokens *api.Token) error {
	sessions, _, err := client.SessionsAPI.ReadSessions(bearer(ctx, tokens)).Limit(10).Execute()
	if err != nil || len(sessions) != 1 || !sessions[0].Current {
		return fmt.Errorf("sessions: %w, %v", err, sessions)
	}
	if _, _, err := client.TokensAPI.RevokeToken(ctx).Token(*tokens.RefreshToken).Execute(); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	_, resp, err := client.UsersAPI.ReadUsersMe(bearer(ctx, tokens)).Execute()
	if err == nil || resp.StatusCode != 401 {
		return fmt.Errorf("me, after logging out: %w", err)
	}
	return nil
}

func bearer(ctx context.Context, tokens *api.Token) context.Context {
	return context.WithValue(ctx, api.ContextAccessToken, tokens.AccessToken)
}

// problemIn returns the answer of the token endpoint that an error holds.
func problemIn(err error) (api.TokenProblem, bool) {
	failure, ok := errors.AsType[*api.GenericOpenAPIError](err)
	if !ok {
		return api.TokenProblem{}, false
	}
	problem, ok := failure.Model().(api.TokenProblem)
	return problem, ok
}
