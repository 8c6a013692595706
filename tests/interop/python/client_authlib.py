"""https://authlib.org: its OAuth client over requests, as a public client, which has no secret."""

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import get_well_known_url
from case import INPUT, covered

session = OAuth2Session(INPUT["client_id"], token_endpoint_auth_method="none")
metadata = session.get(get_well_known_url(INPUT["issuer"], external=True), withhold_token=True).json()
assert metadata["issuer"] == INPUT["issuer"]


def refresh(token, **options):
    return session.refresh_token(metadata["token_endpoint"], refresh_token=token, **options)


def refused(token, code, **options):
    try:
        refresh(token, **options)
    except OAuthError as error:
        assert error.error == code, repr(error)
    else:
        raise AssertionError(f"expected {code}")


first = refresh(INPUT["refresh_token"])
assert first["token_type"] == "Bearer"
assert first["scope"] == INPUT["scope"]
second = refresh(first["refresh_token"])
assert second["refresh_token"] != first["refresh_token"]
assert second["access_token"] != first["access_token"]

narrowed = refresh(second["refresh_token"], scope=INPUT["narrower_scope"])
assert narrowed["scope"] == INPUT["narrower_scope"]
refused(narrowed["refresh_token"], "invalid_scope", scope=INPUT["wider_scope"])
refused("unknown", "invalid_grant")

for hint in (None, "refresh_token"):
    answer = session.revoke_token(
        metadata["revocation_endpoint"], token=narrowed["refresh_token"], token_type_hint=hint
    )
    assert answer.status_code == 200, answer.text
refused(narrowed["refresh_token"], "invalid_grant")

covered("Authlib", ["discovery", "refresh", "rotation", "narrower_scope", "wider_scope", "unknown", "revoke"])
