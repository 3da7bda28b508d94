import os

from api import AuthenticatedClient, Client
from api.api.sessions import read_sessions
from api.api.tokens import login_for_access_token, revoke_token
from api.api.users import create_user, read_users_me
from api.models import RevokeForm, Token, TokenForm, TokenFormGrantType, TokenProblem, User, UserCreate

base, name, password = os.environ["BASE"], os.environ["NAME"], os.environ["PASSWORD"]
client = Client(base_url=base)

user = create_user.sync(client=client, body=UserCreate(username=name, password=password, full_name="Test User"))
assert isinstance(user, User) and user.full_name == "Test User", user

wrong = login_for_access_token.sync(
    client=client, body=TokenForm(grant_type=TokenFormGrantType.PASSWORD, username=name, password="wrong")
)
assert isinstance(wrong, TokenProblem) and wrong.detail == "Incorrect username or password", wrong

login = login_for_access_token.sync(
    client=client, body=TokenForm(grant_type=TokenFormGrantType.PASSWORD, username=name, password=password)
)
assert isinstance(login, Token), login
me = read_users_me.sync(client=AuthenticatedClient(base_url=base, token=login.access_token))
assert isinstance(me, User) and me.username == name, me

refreshed = login_for_access_token.sync(
    client=client, body=TokenForm(grant_type=TokenFormGrantType.REFRESH_TOKEN, refresh_token=login.refresh_token)
)
assert isinstance(refreshed, Token), refreshed
signed_in = AuthenticatedClient(base_url=base, token=refreshed.access_token)
sessions = read_sessions.sync(client=signed_in, limit=10)
assert isinstance(sessions, list) and [session.current for session in sessions] == [True], sessions

assert isinstance(refreshed.refresh_token, str), refreshed
revoked = revoke_token.sync_detailed(client=client, body=RevokeForm(token=refreshed.refresh_token))
assert revoked.status_code == 200, revoked
gone = read_users_me.sync_detailed(client=signed_in)
assert gone.status_code == 401, gone
