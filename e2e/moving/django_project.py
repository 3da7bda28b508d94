"""A Django project with the default tables, in which each of Django's hashers has hashed."""

import os
import subprocess
import sys

import people

os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
subprocess.run([sys.executable, "-m", "django", "startproject", "project", "."],
               check=True, env={**os.environ, "DJANGO_SETTINGS_MODULE": ""})
with open("project/settings.py", "a", encoding="utf-8") as f:
    f.write('''
PASSWORD_HASHERS = ["django.contrib.auth.hashers." + name + "PasswordHasher" for name in (
    "PBKDF2", "PBKDF2SHA1", "Argon2", "BCryptSHA256", "BCrypt", "Scrypt")]
''')
subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], check=True)

sys.path.insert(0, ".")
import django  # noqa: E402: only now there are settings

django.setup()
from django.contrib.auth.hashers import get_hashers, make_password  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402


def create(person, **fields):
    """Makes a user as Django does, but of a set date."""
    name = person["name"]
    first, _, last = (person["full_name"] or "").partition(" ")
    user = User.objects.create_user(
        name, person["email"], person["password"], first_name=first, last_name=last,
        is_active=not person["disabled"], date_joined=person["created_at"], **fields)
    people.expect(person, name, **people.account(person))
    return user


everybody = people.read()
for person in everybody:
    create(person, is_superuser=person["name"] == "ada")
for hasher in get_hashers()[1:]:
    user = create({**everybody[0], "name": hasher.algorithm})
    user.password = make_password(everybody[0]["password"], hasher=hasher.algorithm)
    user.save()
