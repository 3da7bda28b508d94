"""Hashes the passwords of standard input with every library in Python that people come from.

Standard input is a JSON list of passwords; standard output has a JSON object a line. Of the
dear settings, which are mostly the defaults, only the first password is hashed.
"""

import json
import sys
from importlib.metadata import version

import argon2
import django
import passlib.hash
import pwdlib.hashers.argon2
import pwdlib.hashers.bcrypt
import werkzeug.security
from django.conf import settings
from django.contrib.auth import hashers

settings.configure(PASSWORD_HASHERS=[
    "django.contrib.auth.hashers." + name for name in (
        "PBKDF2PasswordHasher", "PBKDF2SHA1PasswordHasher", "Argon2PasswordHasher",
        "BCryptSHA256PasswordHasher", "BCryptPasswordHasher", "ScryptPasswordHasher")])
django.setup()


def django_schemes():
    """Django's six hashers, as they are and with less work."""
    for hasher in hashers.get_hashers():
        def of(*cost, salt=None, hasher=hasher):
            return lambda password: hasher.encode(password, salt or hasher.salt(), *cost)

        name = hasher.algorithm
        yield name, of(), True
        if name.startswith("pbkdf2"):
            yield name + " 1000", of(1000), False
            yield name + " 870, a salt with spaces", of(870, salt="sält 1,5"), False
        elif name == "scrypt":
            yield "scrypt 1024:8:1", of(1024, 8, 1), False
            yield "scrypt 32:5:3", of(32, 5, 3), False
        elif name == "argon2":
            hasher.time_cost, hasher.memory_cost, hasher.parallelism = 1, 256, 3
            yield "argon2, quick", of(), False
        else:
            hasher.rounds = 4
            yield name + " 4", of(), False


def werkzeug_schemes():
    def of(method, salt_size=16):
        return lambda password: werkzeug.security.generate_password_hash(password, method, salt_size)

    yield "scrypt", of("scrypt"), True
    yield "pbkdf2", of("pbkdf2"), True
    for method in (
        "scrypt:1024:8:1", "scrypt:64:3:4",
        "pbkdf2:sha256:1000", "pbkdf2:sha512:1000", "pbkdf2:sha1:1000",
    ):
        for size in 1, 16, 64:
            yield f"{method}, salt of {size}", of(method, size), False


def passlib_schemes():
    of = passlib.hash
    pbkdf2 = "pbkdf2_sha256", "pbkdf2_sha512", "pbkdf2_sha1"
    for name in *pbkdf2, "argon2", "scrypt", "bcrypt", "phpass":
        yield name, getattr(of, name).hash, True
    for name in pbkdf2:
        for rounds, size in (1, 1), (999, 16), (1000, 64):
            yield f"{name} {rounds}, salt of {size}", (
                getattr(of, name).using(rounds=rounds, salt_size=size).hash), False
    for ident in "2a", "2b", "2y":
        yield "bcrypt " + ident, of.bcrypt.using(rounds=4, ident=ident).hash, False
    for kind in "i", "id":
        yield "argon2" + kind, of.argon2.using(
            type=kind, time_cost=2, memory_cost=64, parallelism=2).hash, False
    yield "scrypt, quick", of.scrypt.using(rounds=6, block_size=4, parallelism=3).hash, False
    for ident in "P", "H":
        yield "phpass " + ident, of.phpass.using(rounds=8, ident=ident).hash, False
    yield "django_pbkdf2_sha256", of.django_pbkdf2_sha256.using(rounds=1000).hash, False
    yield "django_pbkdf2_sha1", of.django_pbkdf2_sha1.using(rounds=1000).hash, False
    yield "django_bcrypt", of.django_bcrypt.using(rounds=4).hash, False
    yield "django_bcrypt_sha256", of.django_bcrypt_sha256.using(rounds=4).hash, False
    yield "django_argon2", of.django_argon2.using(time_cost=1, memory_cost=64).hash, False


def pwdlib_schemes():
    yield "argon2", pwdlib.hashers.argon2.Argon2Hasher().hash, True
    yield "argon2, quick", pwdlib.hashers.argon2.Argon2Hasher(
        time_cost=1, memory_cost=64, parallelism=1).hash, False
    yield "bcrypt", pwdlib.hashers.bcrypt.BcryptHasher().hash, True
    for prefix in "2a", "2b":
        hasher = pwdlib.hashers.bcrypt.BcryptHasher(rounds=4, prefix=prefix)
        yield "bcrypt " + prefix, hasher.hash, False


def argon2_schemes():
    for name, kind in ("argon2id", argon2.Type.ID), ("argon2i", argon2.Type.I):
        yield name, argon2.PasswordHasher(type=kind).hash, True
        for lanes in 1, 4, 16:
            for salt, key in (8, 16), (16, 32), (32, 64):
                hasher = argon2.PasswordHasher(2, 8 * lanes, lanes, key, salt, type=kind)
                yield f"{name}, {lanes} lanes, salt {salt}, key {key}", hasher.hash, False


passwords = json.load(sys.stdin)
for producer, schemes in (
    ("django", django_schemes), ("werkzeug", werkzeug_schemes), ("passlib", passlib_schemes),
    ("pwdlib", pwdlib_schemes), ("argon2-cffi", argon2_schemes),
):
    for scheme, hash, dear in schemes():
        for password in passwords[:1] if dear else passwords:
            print(json.dumps({
                "scheme": f"{producer} {scheme}", "producer": producer, "version": version(producer),
                "hash": hash(password), "password": password}))
