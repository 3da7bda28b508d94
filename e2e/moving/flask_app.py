"""Users of a Flask application, made by SQLAlchemy and Werkzeug."""

import datetime
import os

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from werkzeug.security import generate_password_hash

import people


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str]
    email: Mapped[str | None]
    password_hash: Mapped[str | None]
    created_at: Mapped[datetime.datetime]


os.mkdir("instance")
engine = create_engine("sqlite:///instance/app.db")
Base.metadata.create_all(engine)
with Session(engine) as session:
    for person, method in zip(people.read(), ["scrypt", "pbkdf2:sha256", "scrypt", "scrypt"]):
        password = person["password"]
        session.add(User(
            username=person["name"], email=person["email"],
            password_hash=password and generate_password_hash(password, method),
            created_at=datetime.datetime.fromisoformat(person["created_at"].removesuffix("Z"))))
        people.expect(person, person["name"], email=person["email"], created_at=person["created_at"])
    session.commit()
