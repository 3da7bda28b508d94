"""The FastAPI exercise that Latchkey began as, without its tokens: users in a dict, passlib."""

import sys

import uvicorn
from fastapi import FastAPI
from passlib.context import CryptContext
from pydantic import BaseModel

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


@app.get("/")
def read_root():
    return fake_users_db


uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
