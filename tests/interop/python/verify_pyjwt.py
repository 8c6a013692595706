"""https://github.com/jpadilla/pyjwt as a resource server uses it, with its own client for key sets."""

import json
from urllib.request import urlopen

import jwt
from case import INPUT, covered

metadata = json.load(urlopen(f"{INPUT['issuer']}/.well-known/openid-configuration"))
keys = jwt.PyJWKClient(metadata["jwks_uri"])


class NotAnAccessToken(jwt.InvalidTokenError):
    """The library leaves `typ` to its caller."""


def verify(token):
    token = jwt.decode_complete(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=[INPUT["algorithm"]],
        issuer=INPUT["issuer"],
        audience=INPUT["audience"],
        options={"require": ["exp", "iat", "iss", "aud", "sub"]},
    )
    if token["header"]["typ"] != "at+jwt":
        raise NotAnAccessToken
    return token["payload"]


REASONS = {
    "expired": jwt.ExpiredSignatureError,
    "another_audience": jwt.InvalidAudienceError,
    "another_issuer": jwt.InvalidIssuerError,
    "another_type": NotAnAccessToken,
    "changed_claims": jwt.InvalidSignatureError,
    "changed_signature": jwt.InvalidSignatureError,
    "another_key": jwt.InvalidSignatureError,
    "unsigned": jwt.InvalidAlgorithmError,
    "unsigned_with_a_signature": jwt.InvalidAlgorithmError,
    "hmac_with_the_public_key": jwt.InvalidAlgorithmError,
    "unknown_kid": jwt.PyJWKClientError,
}

claims = verify(INPUT["good"])
assert claims["sub"] == INPUT["subject"]
assert claims["scope"] == INPUT["scope"]
for name, reason in REASONS.items():
    try:
        verify(INPUT["refused"][name])
    except jwt.PyJWTError as error:
        assert type(error) is reason, f"{name} is refused for {error!r}"
    else:
        raise AssertionError(f"{name} is accepted")

covered("PyJWT", ["good", *REASONS])
