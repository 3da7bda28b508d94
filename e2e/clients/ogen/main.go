// Command ogen uses the client that ogen writes.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/ogen-go/ogen/ogenerrors"

	"latchkey/e2e/clients/ogen/api"
)

// bearer is a token for every request that needs one.
type bearer struct{ token string }

func (b *bearer) HTTPBearer(context.Context, api.OperationName) (api.HTTPBearer, error) {
	return api.HTTPBearer{Token: b.token}, nil
}

func (b *bearer) OAuth2PasswordBearer(context.Context, api.OperationName) (api.OAuth2PasswordBearer, error) {
	return api.OAuth2PasswordBearer{}, ogenerrors.ErrSkipClientSecurity
}

func main() {
	if err := run(context.Background(), os.Getenv("BASE"), os.Getenv("NAME"), os.Getenv("PASSWORD")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, base, name, password string) error {
	b := new(bearer)
	client, err := api.NewClient(base, b)
	if err != nil {
		return err
	}
	registered, err := client.CreateUser(ctx, &api.UserCreate{
		Username: name, Password: password, FullName: api.NewOptNilString("Test User")})
	if user, ok := registered.(*api.User); err != nil || !ok || user.FullName.Value != "Test User" {
		return fmt.Errorf("register: %w, %#v", err, registered)
	}
	wrong, err := client.LoginForAccessToken(ctx, &api.TokenForm{
		GrantType: api.NewOptTokenFormGrantType(api.TokenFormGrantTypePassword),
		Username:  api.NewOptString(name), Password: api.NewOptString("wrong")})
	if problem, ok := wrong.(*api.LoginForAccessTokenUnauthorized); err != nil || !ok || problem.Detail != "Incorrect username or password" {
		return fmt.Errorf("wrong password: %w, %#v", err, wrong)
	}
	login, err := client.LoginForAccessToken(ctx, &api.TokenForm{
		GrantType: api.NewOptTokenFormGrantType(api.TokenFormGrantTypePassword),
		Username:  api.NewOptString(name), Password: api.NewOptString(password)})
	tokens, ok := login.(*api.Token)
	if err != nil || !ok {
		return fmt.Errorf("log in: %w, %#v", err, login)
	}
	b.token = tokens.AccessToken
	me, err := client.ReadUsersMe(ctx)
	if user, ok := me.(*api.User); err != nil || !ok || user.Username != name {
		return fmt.Errorf("me: %w, %#v", err, me)
	}
	refresh, err := client.LoginForAccessToken(ctx, &api.TokenForm{
		GrantType:    api.NewOptTokenFormGrantType(api.TokenFormGrantTypeRefreshToken),
		RefreshToken: tokens.RefreshToken})
	tokens, ok = refresh.(*api.Token)
	if err != nil || !ok {
		return fmt.Errorf("refresh: %w, %#v", err, refresh)
	}
	b.token = tokens.AccessToken
	return logOut(ctx, client, tokens)
}

// logOut lists the sessions, ends the only one, and looks whether it has ended.
func logOut(ctx context.Context, client *api.Client, tokens *api.Token) error {
	sessions, err := client.ReadSessions(ctx, api.ReadSessionsParams{Limit: api.NewOptInt(10)})
	if list, ok := sessions.(*api.ReadSessionsOKApplicationJSON); err != nil || !ok || len(*list) != 1 || !(*list)[0].Current {
		return fmt.Errorf("sessions: %w, %#v", err, sessions)
	}
	revoked, err := client.RevokeToken(ctx, &api.RevokeForm{Token: tokens.RefreshToken.Value})
	if _, ok := revoked.(*api.RevokeTokenOK); err != nil || !ok {
		return fmt.Errorf("revoke: %w, %#v", err, revoked)
	}
	gone, err := client.ReadUsersMe(ctx)
	if _, ok := gone.(*api.Problem); err != nil || !ok {
		return fmt.Errorf("me, after logging out: %w, %#v", err, gone)
	}
	return nil
}
