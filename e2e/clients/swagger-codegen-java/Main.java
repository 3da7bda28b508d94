import java.util.List;
import java.util.Map;
import io.swagger.client.ApiClient;
import io.swagger.client.ApiException;
import io.swagger.client.api.SessionsApi;
import io.swagger.client.api.TokensApi;
import io.swagger.client.api.UsersApi;
import io.swagger.client.model.Token;
import io.swagger.client.model.User;
import io.swagger.client.model.UserCreate;

class Main {
    static final String BASE = System.getenv("BASE"), NAME = System.getenv("NAME"), PASSWORD = System.getenv("PASSWORD");

    public static void main(String[] args) throws ApiException {
        ApiClient anonymous = new ApiClient().setBasePath(BASE);
        TokensApi tokens = new TokensApi(anonymous);

        User user = new UsersApi(anonymous)
                .createUser(new UserCreate().username(NAME).password(PASSWORD).fullName("Test User"));
        check("Test User".equals(user.getFullName()), user);

        try {
            tokens.loginForAccessToken("password", NAME, "wrong", "", "", "", "");
            check(false, "a wrong password logs in");
        } catch (ApiException wrong) {
            check(wrong.getCode() == 401, wrong);
        }

        Token login = tokens.loginForAccessToken("password", NAME, PASSWORD, "", "", "", "");
        User me = new UsersApi(signedIn(login)).readUsersMe();
        check(NAME.equals(me.getUsername()), me);

        Token refreshed = tokens.loginForAccessToken("refresh_token", "", "", login.getRefreshToken(), "", "", "");
        List<?> sessions = (List<?>) new SessionsApi(signedIn(refreshed)).readSessions(10);
        check(sessions.size() == 1 && Boolean.TRUE.equals(((Map<?, ?>) sessions.get(0)).get("current")), sessions);

        tokens.revokeToken(refreshed.getRefreshToken(), "");
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
        client.setAccessToken((String) token.getAccessToken());
        return client;
    }

    static void check(boolean ok, Object what) {
        if (!ok) {
            throw new AssertionError(what);
        }
    }
}
