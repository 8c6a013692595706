"""Hashes of the given passwords by Django, Passlib, Werkzeug, pwdlib (FastAPI Users) and bcrypt, as lines for `daypass user import`.

Standard input: {"passwords": [...]}. Standard output: {"library", "version", "users": [{"system", "line", "password"}]}.
Costs are low: the spelling and the treatment of the password matter here.
"""

import json
import sys
import warnings
from importlib.metadata import version

import bcrypt
import passlib.hash
from django.conf import settings
from django.contrib.auth import hashers
from pwdlib.hashers.argon2 import Argon2Hasher
from werkzeug.security import generate_password_hash

warnings.simplefilter("ignore")
settings.configure()


def django(hasher, **cost):
    for name in ("rounds", "time_cost", "memory_cost"):
        if name in cost:
            setattr(hasher, name, cost.pop(name))
    return lambda password: hasher.encode(password, hasher.salt(), **cost)


DJANGO = {
    "pbkdf2_sha256": django(hashers.PBKDF2PasswordHasher(), iterations=1000),
    "pbkdf2_sha1": django(hashers.PBKDF2SHA1PasswordHasher(), iterations=1000),
    "argon2": django(hashers.Argon2PasswordHasher(), time_cost=1, memory_cost=64),
    "bcrypt_sha256": django(hashers.BCryptSHA256PasswordHasher(), rounds=4),
    "bcrypt": django(hashers.BCryptPasswordHasher(), rounds=4),
    "scrypt": django(hashers.ScryptPasswordHasher(), n=1024),
}
PASSLIB = {
    "pbkdf2_sha1": {"rounds": 1000},
    "pbkdf2_sha256": {"rounds": 1000},
    "pbkdf2_sha512": {"rounds": 1000},
    "django_pbkdf2_sha256": {"rounds": 1000},
    "scrypt": {"rounds": 10},
    "argon2": {"rounds": 1, "memory_cost": 64},
    "bcrypt": {"rounds": 4},
    "bcrypt_sha256": {"rounds": 4},
    "sha256_crypt": {"rounds": 1000},
    "sha512_crypt": {"rounds": 5000},
    "phpass": {"rounds": 7},
    "grub_pbkdf2_sha512": {"rounds": 1000},
    "ldap_pbkdf2_sha1": {"rounds": 1000},
    "ldap_pbkdf2_sha256": {"rounds": 1000},
    "ldap_pbkdf2_sha512": {"rounds": 1000},
    "ldap_bcrypt": {"rounds": 4},
    "ldap_sha512_crypt": {"rounds": 1000},
}
WERKZEUG = ["scrypt:1024:8:1", "pbkdf2:sha256:1000", "pbkdf2:sha1:1000", "pbkdf2:sha512:1000"]


def users(password):
    for encode in DJANGO.values():
        yield "django", {"password": encode(password), "is_active": True}, "username"
    hashes = [getattr(passlib.hash, name).using(**cost).hash(password) for name, cost in PASSLIB.items()]
    hashes.append(passlib.hash.bcrypt_sha256.using(rounds=4, version=1).hash(password))
    hashes.append(passlib.hash.atlassian_pbkdf2_sha1.hash(password))
    hashes += [generate_password_hash(password, method) for method in WERKZEUG]
    hashes.append(bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode())
    for text in hashes:
        yield "daypass", {"password_hash": text}, "username"
    argon2 = Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1).hash(password)
    yield "fastapi-users", {"hashed_password": argon2, "is_active": True, "is_verified": True}, "email"


made = []
for number, password in enumerate(json.load(sys.stdin)["passwords"]):
    for system, members, name in users(password):
        line = json.dumps({name: f"user-{len(made)}", **members})
        made.append({"system": system, "line": line, "password": password})
libraries = ["Django", "passlib", "Werkzeug", "pwdlib", "bcrypt"]
print(json.dumps({
    "library": ", ".join(libraries),
    "version": ", ".join(version(library) for library in libraries),
    "users": made,
}))
