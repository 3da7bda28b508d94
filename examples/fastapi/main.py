"""Notes, a service that verifies Latchkey's access tokens itself.

    pip install fastapi uvicorn 'pyjwt[crypto]'
    ISSUER=https://auth.example AUDIENCE=notes uvicorn main:app --port 9000
"""

import os
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

ISSUER, AUDIENCE = os.environ["ISSUER"], os.environ["AUDIENCE"]
keys = jwt.PyJWKClient(ISSUER + "/.well-known/jwks.json", timeout=5)
bearer = HTTPBearer(auto_error=False)


def refusal(status: int, detail: str, challenge: str) -> HTTPException:
    return HTTPException(status, detail, {"WWW-Authenticate": challenge})


# This is no async function, because the keys are fetched with a call that blocks.
def claims(
    wanted: SecurityScopes,
    sent: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> dict[str, Any]:
    if sent is None:
        raise refusal(401, "Not authenticated", "Bearer")
    try:
        token = jwt.decode(
            sent.credentials,
            keys.get_signing_key_from_jwt(sent.credentials),
            algorithms=["ES256"],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": ["exp", "iss", "aud", "uid"]},
        )
    except jwt.PyJWKClientConnectionError:
        raise HTTPException(503, "The keys cannot be fetched") from None
    except jwt.PyJWTError:
        raise refusal(401, "Could not validate credentials", 'Bearer error="invalid_token"') from None
    if not set(wanted.scopes) <= set(token.get("scope", "").split()):
        challenge = f'Bearer error="insufficient_scope", scope="{wanted.scope_str}"'
        raise refusal(403, "Not enough permissions", challenge)
    return token


app = FastAPI()


@app.get("/notes/")
def read_notes(user: Annotated[dict[str, Any], Security(claims, scopes=["read"])]):
    return {"owner": user["uid"], "name": user["sub"], "notes": []}  # keep data by uid: names are reused
