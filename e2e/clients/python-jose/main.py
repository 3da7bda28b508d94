"""python-jose signs a token as the exercise does. Its time has fractions (RFC 7519 §2)."""

import math
import os
import time

import requests
from jose import jwt

base, name = os.environ["BASE"], os.environ["NAME"]


def status(**claims: object) -> int:
    token = jwt.encode({"sub": name, **claims}, os.environ["SECRET_KEY"], algorithm="HS256")
    return requests.get(base + "/users/me/", headers={"Authorization": "Bearer " + token}).status_code


now = time.time()
assert status(exp=int(now) + 600, iat=math.ceil(now)) == 200
assert status(exp=now + 600, iat=now) == 200, "fractions are refused"
assert status(exp=now - 600, iat=now - 1200) == 401, "a token that has expired is accepted"
assert status(exp=now + 600) == 401, "a token that may be older than the user is accepted"
