"""requests-oauthlib logs in with a scope, and repeats it when it refreshes by itself."""

import os
from typing import Any

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the test's server is on loopback, without TLS
os.environ["OAUTHLIB_RELAX_TOKEN_SCOPE"] = "1"  # no scope is granted yet, and oauthlib takes that for an attack

from oauthlib.oauth2 import InvalidGrantError, LegacyApplicationClient
from requests_oauthlib import OAuth2Session

base, name, password = os.environ["BASE"], os.environ["NAME"], os.environ["PASSWORD"]
saved: list[dict[str, Any]] = []
client = OAuth2Session(client=LegacyApplicationClient("app", scope="read"), scope="read",
                       auto_refresh_url=base + "/token", token_updater=saved.append)
try:
    client.fetch_token(base + "/token", username=name, password="wrong")
    raise AssertionError("a wrong password logs in")
except InvalidGrantError as wrong:
    assert wrong.description == "Incorrect username or password", wrong
login = client.fetch_token(base + "/token", username=name, password=password)
assert client.get(base + "/users/me/").json()["username"] == name

client.token = {**login, "expires_at": 1}
assert client.get(base + "/users/me/").json()["username"] == name
assert saved and saved[0]["refresh_token"] != login["refresh_token"], "it has not refreshed"
