"""What ak dumpdata authentik_core.user prints, with hashes of Django."""

import json

from django.conf import settings
from django.contrib.auth.hashers import make_password

import people

settings.configure()
users = [{
    "type": "internal_service_account", "username": "ak-outpost-1", "name": "Outpost", "email": "",
    "password": make_password(None), "is_active": True, "date_joined": "2024-01-01T00:00:00Z",
}]
for person in people.read():
    users.append({
        "password": make_password(person["password"]), "last_login": None, "uuid": "", "path": "users",
        "type": "internal", "username": person["name"], "name": person["full_name"] or "",
        "email": person["email"] or "", "is_active": not person["disabled"],
        "date_joined": person["created_at"], "attributes": {}, "groups": [],
    })
    people.expect(person, person["name"], **people.account(person))
with open("authentik.json", "w", encoding="utf-8") as f:
    json.dump([{"model": "authentik_core.user", "pk": 1, "fields": user} for user in users], f)
