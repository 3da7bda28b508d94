"""The exercise from which Latchkey began: FastAPI, python-jose, passlib, and a dict.

It answers as docs/compatibility.md says of the original; BenchmarkPeers measures it.
"""

import os
from datetime import datetime, timedelta, timezone
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, status
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from jose import JWTError, jwt
from passlib.context import CryptContext
from pydantic import BaseModel, EmailStr

SECRET_KEY = os.environ["SECRET_KEY"]
ALGORITHM = "HS256"
ACCESS_TOKEN_EXPIRE_MINUTES = 30

pwd_context = CryptContext(schemes=["pbkdf2_sha256"], deprecated="auto")
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")
app = FastAPI()
users_db: dict[str, dict] = {}


class Token(BaseModel):
    access_token: str
    token_type: str


class User(BaseModel):
    username: str
    email: EmailStr | None = None
    full_name: str | None = None


class UserCreate(User):
    password: str


class UserInDB(User):
    hashed_password: str


def authenticate_user(username: str, password: str) -> UserInDB | None:
    user = users_db.get(username)
    if user is None or not pwd_context.verify(password, user["hashed_password"]):
        return None
    return UserInDB(**user)


def create_access_token(username: str) -> str:
    expires = datetime.now(timezone.utc) + timedelta(minutes=ACCESS_TOKEN_EXPIRE_MINUTES)
    return jwt.encode({"sub": username, "exp": expires}, SECRET_KEY, algorithm=ALGORITHM)


async def current_user(token: Annotated[str, Depends(oauth2_scheme)]) -> UserInDB:
    refused = HTTPException(
        status_code=status.HTTP_401_UNAUTHORIZED,
        detail="Could not validate credentials",
        headers={"WWW-Authenticate": "Bearer"},
    )
    try:
        username = jwt.decode(token, SECRET_KEY, algorithms=[ALGORITHM]).get("sub")
    except JWTError:
        raise refused
    user = users_db.get(username) if username is not None else None
    if user is None:
        raise refused
    return UserInDB(**user)


@app.post("/token", response_model=Token)
async def login_for_access_token(form: Annotated[OAuth2PasswordRequestForm, Depends()]):
    user = authenticate_user(form.username, form.password)
    if user is None:
        raise HTTPException(
            status_code=status.HTTP_401_UNAUTHORIZED,
            detail="Incorrect username or password",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return {"access_token": create_access_token(user.username), "token_type": "bearer"}


@app.get("/users/me/", response_model=User)
async def read_users_me(user: Annotated[UserInDB, Depends(current_user)]):
    return user


@app.post("/users/", response_model=User)
async def create_user(user: UserCreate):
    if user.username in users_db:
        raise HTTPException(status_code=400, detail="Username already registered")
    kept = user.model_dump(exclude={"password"})
    users_db[user.username] = {**kept, "hashed_password": pwd_context.hash(user.password)}
    return kept
