"""The FastAPI exercise that Latchkey began as, as far as moving needs it.

It has a dict of users, passlib's hashes, and tokens that are signed with SECRET_KEY.
"""

import datetime
import os
import sys
from typing import Annotated

import jwt
import uvicorn
from fastapi import Depends, FastAPI
from fastapi.security import OAuth2PasswordRequestForm
from passlib.context import CryptContext
from pydantic import BaseModel

SECRET_KEY = os.environ["SECRET_KEY"]
pwd_context = CryptContext(schemes=["pbkdf2_sha256"], deprecated="auto")
fake_users_db = {}
app = FastAPI()


class UserCreate(BaseModel):
    username: str
    email: str | None = None
    full_name: str | None = None
    password: str


@app.post("/users/")
def create_user(user: UserCreate):
    fake_users_db[user.username] = {
        "username": user.username, "email": user.email, "full_name": user.full_name,
        "hashed_password": pwd_context.hash(user.password),
    }
    return {}


@app.post("/token")
def login_for_access_token(form_data: Annotated[OAuth2PasswordRequestForm, Depends()]):
    assert pwd_context.verify(form_data.password, fake_users_db[form_data.username]["hashed_password"])
    expire = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=30)
    token = jwt.encode({"sub": form_data.username, "exp": expire}, SECRET_KEY, algorithm="HS256")
    return {"access_token": token, "token_type": "bearer"}


@app.get("/")
def read_root():
    return fake_users_db


uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
