"""Users of fastapi-users, made by its manager in app.db, and copied to old.sql for PostgreSQL.

One of them has the bcrypt hash that passlib made before fastapi-users changed to pwdlib.
"""

import asyncio

import passlib.hash
from fastapi_users import BaseUserManager, UUIDIDMixin, schemas
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from sqlalchemy import select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.schema import CreateTable

import people


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class Manager(UUIDIDMixin, BaseUserManager):
    pass


def copy_to_sql(rows):
    postgres = postgresql.dialect()
    with open("old.sql", "w", encoding="utf-8") as f:
        f.write(f"{CreateTable(User.__table__).compile(dialect=postgres)};\n")
        for row in rows:
            f.write(people.insert('"user"', {**row, "id": str(row["id"])}))


async def main():
    engine = create_async_engine("sqlite+aiosqlite:///app.db")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        manager = Manager(SQLAlchemyUserDatabase(session, User))
        for person in people.read():
            if person["password"] is None:
                continue
            user = await manager.create(schemas.BaseUserCreate(
                email=person["email"], password=person["password"], is_active=not person["disabled"]))
            if person["name"] == "bob":
                user.hashed_password = passlib.hash.bcrypt.using(rounds=10).hash(person["password"])
            people.expect(person, person["email"], email=person["email"], disabled=person["disabled"])
        await session.commit()
        rows = (await session.execute(select(User.__table__))).mappings().all()
    await engine.dispose()
    copy_to_sql(rows)


asyncio.run(main())
