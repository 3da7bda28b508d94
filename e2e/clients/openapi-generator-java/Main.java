import java.util.List;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.SessionsApi;
import org.openapitools.client.api.TokensApi;
import org.openapitools.client.api.UsersApi;
import org.openapitools.client.model.Session;
import org.openapitools.client.model.Token;
import org.openapitools.client.model.User;
import org.openapitools.client.model.UserCreate;

class Main {
    static final String BASE = System.getenv("BASE"), NAME = System.getenv("NAME"), PASSWORD = System.getenv("PASSWORD");

    public static void main(String[] args) throws ApiException {
        ApiClient anonymous = new ApiClient().setBasePath(BASE);
        TokensApi tokens = new TokensApi(anonymous);

        User user = new UsersApi(anonymous)
                .createUser(new UserCreate().username(NAME).password(PASSWORD).fullName("Test User"));
        check("Test User".equals(user.getFullName()), user);

        try {
            tokens.loginForAccessToken("password", NAME, "wrong", null, null, null, null);
            check(false, "a wrong password logs in");
        } catch (ApiException wrong) {
            check(wrong.getCode() == 401, wrong);
        }

        Token login = tokens.loginForAccessToken("password", NAME, PASSWORD, null, null, null, null);
        User me = new UsersApi(signedIn(login)).readUsersMe();
        check(NAME.equals(me.getUsername()), me);

        Token refreshed = tokens.loginForAccessToken("refresh_token", null, null, login.getRefreshToken(), null, null, null);
        List<Session> sessions = new SessionsApi(signedIn(refreshed)).readSessions(10);
        check(sessions.size() == 1 && sessions.get(0).getCurrent(), sessions);

        tokens.revokeToken(refreshed.getRefreshToken(), null);
        try {
            new UsersApi(signedIn(refreshed)).readUsersMe();
            check(false, "the session lives on");
        } catch (ApiException gone) {
            check(gone.getCode() == 401, gone);
        }
        System.exit(0); // OkHttp's threads would keep the program running for a minute
    }

    static ApiClient signedIn(Token token) {
        ApiClient client = new ApiClient();
        client.setBasePath(BASE);
        client.setBearerToken(token.getAccessToken());
        return client;
    }

    static void check(boolean ok, Object what) {
        if (!ok) {
            throw new AssertionError(what);
        }
    }
}
