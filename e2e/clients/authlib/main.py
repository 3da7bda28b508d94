"""Authlib logs in with a scope, and repeats it when it refreshes by itself."""

import os

from authlib.integrations.requests_client import OAuth2Session

base, name, password = os.environ["BASE"], os.environ["NAME"], os.environ["PASSWORD"]
client = OAuth2Session(client_id="app", client_secret="", scope="read", token_endpoint=base + "/token",
                       revocation_endpoint_auth_method="none", token_endpoint_auth_method="none")
login = client.fetch_token(base + "/token", username=name, password=password)
assert client.get(base + "/users/me/").json()["username"] == name

client.token = {**login, "expires_at": 1}
assert client.get(base + "/users/me/").json()["username"] == name
assert client.token["refresh_token"] != login["refresh_token"], "it has not refreshed"

assert client.revoke_token(base + "/revoke", token=client.token["refresh_token"]).json() == {}
assert client.get(base + "/users/me/").status_code == 401
