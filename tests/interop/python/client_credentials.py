"""https://authlib.org: its OAuth client over requests as a machine client, and as a resource server that introspects."""

import time

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import get_well_known_url
from case import INPUT, covered
from joserfc.jwk import import_key

metadata = OAuth2Session().get(get_well_known_url(INPUT["issuer"], external=True), withhold_token=True).json()
KTY = {"ES256": "EC", "RS256": "RSA", "EdDSA": "OKP"}[INPUT["algorithm"]]


def by_secret(secret):
    return OAuth2Session(INPUT["secret_client"], secret, token_endpoint_auth_method="client_secret_basic")


def by_key(key):
    private = import_key(key["pkcs8"], KTY)
    session = OAuth2Session(INPUT["key_client"], private, token_endpoint_auth_method="private_key_jwt")
    # The library signs for an hour by default.
    claims = {"exp": int(time.time()) + 60}
    method = PrivateKeyJWT(
        metadata["token_endpoint"], claims=claims, headers={"kid": key["kid"]}, alg=INPUT["algorithm"]
    )
    session.register_client_auth_method(method)
    return session


def token(session, **options):
    return session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials", **options)


def refused(session, code, **options):
    try:
        token(session, **options)
    except OAuthError as error:
        assert error.error == code, repr(error)
    else:
        raise AssertionError(f"expected {code}")


def introspect(session, of):
    answer = session.introspect_token(metadata["introspection_endpoint"], token=of)
    assert answer.status_code == 200, answer.text
    return answer.json()


METHODS = {
    "basic": (by_secret, INPUT["secret_client"], INPUT["secrets"], INPUT["revoked_secret"]),
    "private_key": (by_key, INPUT["key_client"], INPUT["keys"], INPUT["revoked_key"]),
}
cases = []
for name, (by, client_id, (first, second), revoked) in METHODS.items():
    whole = token(by(first))
    assert whole["token_type"] == "Bearer"
    assert whole["scope"] == INPUT["scope"]
    narrowed = token(by(second), scope=INPUT["narrower_scope"])
    assert narrowed["scope"] == INPUT["narrower_scope"]
    refused(by(first), "invalid_scope", scope=INPUT["wider_scope"])
    refused(by(revoked), "invalid_client")

    answer = introspect(by(first), narrowed["access_token"])
    assert (answer["active"], answer["sub"], answer["scope"]) == (True, client_id, INPUT["narrower_scope"])
    assert introspect(by(first), INPUT["user_token"])["sub"] == INPUT["user"]
    assert introspect(by(first), INPUT["forged_token"]) == {"active": False}
    cases += [name, f"{name}_rotated", f"{name}_revoked", f"{name}_introspection"]

covered("Authlib", cases)
