"""What kc.sh export writes: the realm in one file and the users in others.

The passwords are hashed by Keycloak's own classes, as each of its versions hashed them.
"""

import json
import os
import subprocess

import people

PRODUCERS = os.environ["HASH_PRODUCERS"]
JAVA = ["java", "-cp", PRODUCERS + "/java/*", os.path.dirname(__file__) + "/../producers/Keycloak.java"]


def credentials(password):
    """Returns a credential by each version of Keycloak."""
    printed = subprocess.run(JAVA, check=True, capture_output=True, input=json.dumps([password]).encode())
    lines = map(json.loads, printed.stdout.splitlines())
    return {made.pop("version"): {"type": "password", **made} for made in lines}


def user(person, name, credential):
    first, _, last = (person["full_name"] or "").partition(" ")
    otp = {"type": "otp", "secretData": "{}", "credentialData": "{}"}
    people.expect(person, name, **people.account(person))
    return {"username": name, "email": person["email"], "firstName": first, "lastName": last,
            "enabled": not person["disabled"], "createdTimestamp": people.milliseconds(person),
            "credentials": [otp, credential] if credential else [],
            "realmRoles": ["default-roles-myrealm"], "groups": []}


def newest(password):
    return password and credentials(password)["since 25"]


everybody = people.read()
service = {"username": "service-account-api", "serviceAccountClientId": "api", "enabled": True,
           "createdTimestamp": 0}
files = {
    "realm": {"realm": "myrealm", "enabled": True},
    "users-0": {"realm": "myrealm", "users": [
        service, *(user(person, person["name"], newest(person["password"])) for person in everybody)]},
    "users-1": {"realm": "myrealm", "users": [
        user(everybody[0], version, credential)
        for version, credential in credentials(everybody[0]["password"]).items()]},
}
os.mkdir("export")
for name, content in files.items():
    with open(f"export/myrealm-{name}.json", "w", encoding="utf-8") as f:
        json.dump(content, f)
