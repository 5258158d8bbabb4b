"""Google's token endpoint and the metadata server of its machines, as far as a service account needs them."""

import base64
import json
import time
import urllib.parse
import uuid

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = {"https://www.googleapis.com/auth/bigquery", "https://www.googleapis.com/auth/cloud-platform"}


class Refused(Exception):
    """What OAuth answers with 400: a code and a sentence."""


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Tokens:
    def __init__(self, key):
        self.public = load_pem_private_key(key, password=None).public_key()
        self.known = {}

    def grant(self, name):
        token = f"ya29.{uuid.uuid4().hex}"
        self.known[token] = name
        return {"access_token": token, "expires_in": 3599, "token_type": "Bearer"}

    def claims(self, form, audience):
        """What the assertion of a token request says, if its signature counts."""
        form = dict(urllib.parse.parse_qsl(form))
        if form.get("grant_type") != GRANT:
            raise Refused("unsupported_grant_type", "Invalid grant_type: " + form.get("grant_type", ""))
        try:
            header, claims, signature = form.get("assertion", "").split(".")
            said, wanted = json.loads(decoded(header)), json.loads(decoded(claims))
        except ValueError:
            raise Refused("invalid_request", "Bad Request") from None
        try:
            assert said["alg"] == "RS256"
            self.public.verify(decoded(signature), f"{header}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        except (AssertionError, InvalidSignature):
            raise Refused("invalid_grant", "Invalid JWT Signature.") from None
        if wanted["aud"] not in (audience, "https://oauth2.googleapis.com/token"):
            raise Refused("invalid_grant", "Invalid JWT: Failed audience check.")
        if not SCOPES & set(wanted.get("scope", "").split()):
            raise Refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        if not wanted["iss"].endswith(".iam.gserviceaccount.com"):
            raise Refused("invalid_grant", "Invalid grant: account not found")
        return wanted


def prove_time(claims):
    now = time.time()
    if not now - 300 < claims["iat"] < now + 300 or not now < claims["exp"] <= claims["iat"] + 3600:
        raise Refused("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")
