// Command oapi-codegen uses the client that oapi-codegen writes.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"latchkey/e2e/clients/oapi-codegen/api"
)

func main() {
	name, password := os.Getenv("NAME"), os.Getenv("PASSWORD")
	if err := run(context.Background(), os.Getenv("BASE"), name, password); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, base, name, password string) error {
	client, err := api.NewClientWithResponses(base)
	if err != nil {
		return err
	}
	user, err := client.CreateUserWithResponse(ctx, api.UserCreate{Username: name, Password: password, FullName: new("Test User")})
	if err != nil || user.JSON200 == nil || *user.JSON200.FullName != "Test User" {
		return fmt.Errorf("register: %w, %s", err, user.Body)
	}
	wrong, err := client.LoginForAccessTokenWithFormdataBodyWithResponse(ctx, api.TokenForm{
		GrantType: new(api.Password), Username: &name, Password: new("wrong")})
	if err != nil || wrong.JSON401 == nil || wrong.JSON401.Detail != "Incorrect username or password" {
		return fmt.Errorf("wrong password: %w, %s", err, wrong.Body)
	}
	login, err := client.LoginForAccessTokenWithFormdataBodyWithResponse(ctx, api.TokenForm{
		GrantType: new(api.Password), Username: &name, Password: &password})
	if err != nil || login.JSON200 == nil {
		return fmt.Errorf("log in: %w, %s", err, login.Body)
	}
	me, err := client.ReadUsersMeWithResponse(ctx, bearer(login.JSON200))
	if err != nil || me.JSON200 == nil || me.JSON200.Username != name {
		return fmt.Errorf("me: %w, %s", err, me.Body)
	}
	refresh, err := client.LoginForAccessTokenWithFormdataBodyWithResponse(ctx, api.TokenForm{
		GrantType: new(api.RefreshToken), RefreshToken: login.JSON200.RefreshToken})
	if err != nil || refresh.JSON200 == nil {
		return fmt.Errorf("refresh: %w, %s", err, refresh.Body)
	}
	return logOut(ctx, client, refresh.JSON200)
}

// logOut lists the sessions, ends the only one, and looks whether it has ended.
func logOut(ctx context.Context, client *api.ClientWithResponses, tokens *api.Token) error {
	sessions, err := client.ReadSessionsWithResponse(ctx, &api.ReadSessionsParams{Limit: new(10)}, bearer(tokens))
	if err != nil || sessions.JSON200 == nil || len(*sessions.JSON200) != 1 || !(*sessions.JSON200)[0].Current {
		return fmt.Errorf("sessions: %w, %s", err, sessions.Body)
	}
	revoked, err := client.RevokeTokenWithFormdataBodyWithResponse(ctx, api.RevokeForm{Token: *tokens.RefreshToken})
	if err != nil || revoked.JSON200 == nil {
		return fmt.Errorf("revoke: %w, %s", err, revoked.Body)
	}
	gone, err := client.ReadUsersMeWithResponse(ctx, bearer(tokens))
	if err != nil || gone.JSON401 == nil {
		return fmt.Errorf("me, after logging out: %w, %s", err, gone.Body)
	}
	return nil
}

func bearer(tokens *api.Token) api.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+tokens.AccessToken)
		return nil
	}
}
