"""https://github.com/guillp/requests_oauth2client with DPoP, as a public client and as a machine client."""

import requests
from case import INPUT, covered
from requests_oauth2client import ClientSecretBasic, DPoPKey, DPoPToken, OAuth2Client, PublicApp
from requests_oauth2client.exceptions import InvalidGrant, OAuth2Error

ISSUER = INPUT["issuer"]


def discover(auth):
    return OAuth2Client.from_discovery_endpoint(issuer=ISSUER, auth=auth)


def login(key):
    """A session that the key has opened."""
    url = f"{ISSUER}/login"
    nonce = None
    for _ in range(2):
        proof = str(key.proof(htm="POST", htu=url, nonce=nonce))
        answer = requests.post(url, json=INPUT["login"], headers={"DPoP": proof})
        nonce = answer.headers["DPoP-Nonce"]
    answer.raise_for_status()
    return DPoPToken(**answer.json(), _dpop_key=key)


def call(auth=None, **headers):
    return requests.get(f"{ISSUER}/whoami", auth=auth, headers=headers).status_code


def refused(error, use):
    try:
        use()
    except OAuth2Error as raised:
        assert isinstance(raised, error), repr(raised)
        return raised
    raise AssertionError(f"expected {error}")


def with_key(token, key):
    return DPoPToken(token.access_token, refresh_token=token.refresh_token, _dpop_key=key)


for algorithm in ("ES256", "EdDSA", "RS256"):
    key, other = DPoPKey.generate(algorithm), DPoPKey.generate(algorithm)
    public = discover(PublicApp(INPUT["login"]["client_id"]))
    first = login(key)
    second = public.refresh_token(first)
    assert second.token_type == "DPoP"
    machine = discover(ClientSecretBasic(INPUT["bound_client"], INPUT["bound_secret"]))
    own = machine.client_credentials(dpop=True, dpop_key=key)
    for token in (second, own):
        assert call(token) == 200
        assert call(Authorization=f"Bearer {token.access_token}") == 403
        assert call(with_key(token, other)) == 403
    without = refused(OAuth2Error, lambda: public.refresh_token(second.refresh_token))
    assert without.error == "invalid_dpop_proof"
    without = refused(OAuth2Error, machine.client_credentials)
    assert without.error == "invalid_dpop_proof"
    refused(InvalidGrant, lambda: public.refresh_token(with_key(second, other)))
    assert call(public.refresh_token(second)) == 200

covered(
    "requests-oauth2client",
    ["refresh", "client_credentials", "nonce", "guarded_call", "without_proof", "another_key"],
)
