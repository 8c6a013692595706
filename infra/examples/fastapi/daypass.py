"""Verifies access tokens of Daypass in FastAPI, and rejects those of revoked sessions."""

import base64
import hashlib
import json
import logging
import re
import threading
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import jwt
from fastapi import Header, HTTPException
from fastapi.security import SecurityScopes


class RevocationFeed:
    """Follows the revocation feed in the background."""

    def __init__(self, issuer, url, interval, when_stale, stale_seconds):
        if when_stale not in ("open", "closed"):
            raise ValueError(f"when_stale is {when_stale}, not open or closed")
        self.issuer, self.url, self.interval = issuer, url, interval
        self.when_stale, self.stale_seconds = when_stale, stale_seconds
        self._ended, self._after, self._tag, self._good_at = {}, "", None, float("-inf")
        self._poll_once()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        while True:
            time.sleep(self.interval)
            self._poll_once()

    def _poll_once(self):
        """A failed poll leaves the known revocations in place."""
        started_at = time.monotonic()
        try:
            self._poll()
            self._good_at = started_at
        except Exception as error:
            logging.error("the revocation feed fails: %s", error)

    def _poll(self):
        for _ in range(22):
            if not self._add(*self._fetch()):
                break
        else:
            raise ValueError("the list has no end")
        now = time.monotonic()
        # Requests read the old dictionary until the new one replaces it.
        self._ended = {digest: until for digest, until in self._ended.items() if until >= now}

    def _fetch(self):
        """The next page and its tag; no page if nothing has changed."""
        query = self._after and f"?after={self._after}"
        headers = {"If-None-Match": self._tag} if self._tag else {}
        try:
            with urlopen(Request(self.url + query, headers=headers), timeout=2) as answer:
                page, answered = json.load(answer), answer.headers
        except HTTPError as error:
            if error.code == 400:  # The feed rejects the cursor: fetch the whole list next time.
                self._after, self._tag = "", None
            if error.code != 304:
                raise
            page, answered = None, error.headers
        if not -30 < time.time() - int(answered["daypass-as-of"]) / 1000 < 35:
            raise ValueError("an old response, or a wrong clock")
        return page, answered["etag"]

    def _add(self, page, tag):
        """Adds the entries of a page. Returns whether there are more."""
        if page is None:
            return False
        if page["v"] != 1 or page["iss"] != self.issuer:
            raise ValueError("the response is of another feed")
        digests = base64.urlsafe_b64decode(page["sessions"] + "=" * (-len(page["sessions"]) % 4))
        until = time.monotonic() + page["keep"]
        for at in range(0, len(digests), 8):
            self._ended[digests[at : at + 8]] = until
        # A tag belongs to a URL, so to a cursor that stayed the same.
        self._tag = tag if page["cursor"] == self._after else None
        self._after = page["cursor"]
        return page["more"]

    def has_ended(self, sid):
        """Whether the session has ended; None if the list is stale and `when_stale` is `closed`."""
        is_stale = time.monotonic() - self._good_at >= self.stale_seconds
        if is_stale and self.when_stale == "closed":
            return None
        return hashlib.sha256(sid.encode()).digest()[:8] in self._ended


class Daypass:
    """A dependency with the claims of the caller: `Security(daypass, scopes=["orders:read"])`."""

    def __init__(
        self, issuer, audience, algorithms, revocations_url=None, interval=5, when_stale="open", stale_seconds=60
    ):
        self.checks = {
            "issuer": issuer,
            "audience": audience,
            "algorithms": algorithms,
            "leeway": 30,
            "options": {"require": ["sub", "client_id", "sid", "iat", "exp"]},
        }
        self.keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json", timeout=2)
        url = revocations_url or f"{issuer}/revocations"
        self.feed = RevocationFeed(issuer, url, interval, when_stale, stale_seconds)

    # Not `async`: FastAPI runs it in a thread, where it may wait for the keys.
    def __call__(self, needed: SecurityScopes, authorization: str = Header("")):
        match = re.fullmatch(r"Bearer +([\w.~+/=-]+)", authorization, re.IGNORECASE | re.ASCII)
        if not match:
            raise rejection(401, "Bearer")  # RFC 6750 §3.1: without a token, the challenge names no error.
        try:
            token = self.verify(match[1])
            has_ended = self.feed.has_ended(token["sid"])
        except jwt.PyJWKClientConnectionError:
            raise HTTPException(503) from None
        except (jwt.PyJWTError, TypeError):
            raise rejection(401, 'Bearer error="invalid_token"') from None
        if has_ended is None:
            raise HTTPException(503)
        if has_ended:
            raise rejection(401, 'Bearer error="invalid_token"')
        if not set(needed.scopes) <= set(token.get("scope", "").split()):
            raise rejection(403, f'Bearer error="insufficient_scope", scope="{needed.scope_str}"')
        return token

    def verify(self, token):
        found = jwt.decode_complete(token, self.keys.get_signing_key_from_jwt(token), **self.checks)
        if found["header"].get("typ") != "at+jwt":
            raise jwt.InvalidTokenError("not an access token")
        return found["payload"]


def rejection(status, challenge):
    return HTTPException(status, headers={"WWW-Authenticate": challenge})
