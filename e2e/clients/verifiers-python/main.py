"""Authlib, joserfc and python-jose verify tokens with the keys that the issuer's metadata lead to."""

import os
from typing import Any, Callable

import requests
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc import jwk
from joserfc import jwt as joserfc_jwt
from jose import jwt as python_jose

issuer, audience = os.environ["ISSUER"], os.environ["AUDIENCE"]
metadata = requests.get(issuer + "/.well-known/oauth-authorization-server").json()
assert metadata == requests.get(issuer + "/.well-known/openid-configuration").json()
keys = requests.get(metadata["jwks_uri"]).json()


def with_authlib(token: str) -> dict[str, Any]:
    wanted = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": audience}, "exp": {"essential": True}}
    claims = JsonWebToken(["ES256"]).decode(token, JsonWebKey.import_key_set(keys), claims_options=wanted)
    claims.validate()
    return claims


def with_joserfc(token: str) -> dict[str, Any]:
    claims = joserfc_jwt.decode(token, jwk.KeySet.import_key_set(keys), algorithms=["ES256"]).claims
    joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer}, aud={"essential": True, "value": audience}, exp={"essential": True},
    ).validate(claims)
    return claims


def with_python_jose(token: str) -> dict[str, Any]:
    return python_jose.decode(
        token, keys, algorithms=["ES256"], issuer=issuer, audience=audience,
        options={"require_iss": True, "require_aud": True, "require_exp": True},
    )


def accepts(verify: Callable[[str], Any], token: str) -> bool:
    try:
        verify(token)
    except Exception:
        return False
    return True


for verify in with_authlib, with_joserfc, with_python_jose:
    claims = verify(os.environ["TOKEN"])
    assert claims["scope"] == "read" and claims["roles"] == ["read"], claims
    for bad in os.environ["BAD"].split():
        assert not accepts(verify, bad), f"{verify.__name__} accepts {bad}"

AuthorizationServerMetadata(metadata).validate()
provider = OpenIDProviderMetadata({**metadata, "authorization_endpoint": issuer + "/none"})
provider.validate()
