"""DPoP proofs (RFC 9449): a request with a bound token shows that its sender has the key of the token."""

import base64
import hashlib
import json
import threading
import time
from urllib.parse import urlsplit

import jwt
from jwt.algorithms import OKPAlgorithm

# Greatest difference between the clock and the `iat` of a proof, in seconds.
WINDOW = 10
# PyJWT does not know the newer name of EdDSA (RFC 9864).
ALGORITHMS = {"ES256": "ES256", "EdDSA": "EdDSA", "Ed25519": "EdDSA", "RS256": "RS256"}
JWS = jwt.PyJWS()
JWS.register_algorithm("Ed25519", OKPAlgorithm())
# The members of a thumbprint (RFC 7638).
MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


class Proofs:
    """Checks proofs for requests to `origins`, the base URLs of this server as clients call it."""

    def __init__(self, origins):
        self.origins = [origin.rstrip("/") for origin in origins]
        self._used, self._lock = {}, threading.Lock()

    def accepts(self, request, token, thumbprint):
        """Whether the request has a new proof for this access token, by the key with this thumbprint."""
        try:
            [proof] = request.headers.getlist("dpop")
            header = jwt.get_unverified_header(proof)
            jwk = header["jwk"]
            if header["typ"] != "dpop+jwt" or PRIVATE & jwk.keys():
                return False
            key = jwt.PyJWK(jwk, ALGORITHMS[header["alg"]]).key
            claims = json.loads(JWS.decode(proof, key, algorithms=list(ALGORITHMS)))
            # Never from `Host`, which the client chooses.
            urls = [comparable(origin + request.scope["raw_path"].decode()) for origin in self.origins]
            return (
                abs(int(time.time()) - claims["iat"]) <= WINDOW
                and claims["htm"] == request.method
                and comparable(claims["htu"]) in urls
                and claims["ath"] == digest(token)
                and thumbprint_of(jwk) == thumbprint
                and self._is_new((thumbprint, digest(claims["jti"])))
            )
        except (jwt.PyJWTError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def _is_new(self, proof):
        """Each process remembers the proofs of its own requests."""
        with self._lock:
            now = time.monotonic()
            # A dictionary has the order of insertion.
            while self._used and self._used[first := next(iter(self._used))] < now:
                del self._used[first]
            if proof in self._used:
                return False
            self._used[proof] = now + 2 * WINDOW + 2
            return True


def thumbprint_of(jwk):
    return digest(json.dumps({name: jwk[name] for name in MEMBERS[jwk["kty"]]}, separators=(",", ":")))


def digest(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def comparable(url):
    """A URL without query and fragment, in the form in which equal URLs are equal."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return parts.scheme, parts.hostname, port, parts.path or "/"
