import os

from openapi_client import ApiClient, ApiException, Configuration, SessionsApi, TokenProblem, TokensApi, UserCreate, UsersApi

base, name, password = os.environ["BASE"], os.environ["NAME"], os.environ["PASSWORD"]
api = ApiClient(Configuration(host=base))
users, tokens = UsersApi(api), TokensApi(api)

user = users.create_user(UserCreate(username=name, password=password, full_name="Test User"))
assert user.full_name == "Test User", user

try:
    tokens.login_for_access_token(grant_type="password", username=name, password="wrong")
    raise AssertionError("a wrong password logs in")
except ApiException as wrong:
    assert wrong.status == 401 and isinstance(wrong.data, TokenProblem), wrong
    assert wrong.data.detail == "Incorrect username or password", wrong

login = tokens.login_for_access_token(grant_type="password", username=name, password=password)
signed_in = ApiClient(Configuration(host=base, access_token=login.access_token))
assert UsersApi(signed_in).read_users_me().username == name

refreshed = tokens.login_for_access_token(grant_type="refresh_token", refresh_token=login.refresh_token)
signed_in = ApiClient(Configuration(host=base, access_token=refreshed.access_token))
sessions = SessionsApi(signed_in).read_sessions(limit=10)
assert [session.current for session in sessions] == [True], sessions

assert refreshed.refresh_token, refreshed
tokens.revoke_token(refreshed.refresh_token)
try:
    UsersApi(signed_in).read_users_me()
    raise AssertionError("the session lives on")
except ApiException as gone:
    assert gone.status == 401, gone
