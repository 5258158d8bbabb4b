"""Google's token endpoint, its security token service, and the metadata server of its machines, as far as a service
account and a workload of another platform need them.

The identity provider of that platform signs with the key that the double knows; its issuer is ISSUER, and what it
calls a workload (`sub`) is the account that the double knows."""

import base64
import hashlib
import hmac
import json
import time
import urllib.parse
import uuid

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ISSUER = "https://idp.example"
# The one pool that is there, and its provider. Source: Google IAM docs, "Workload identity federation".
POOL = "//iam.googleapis.com/projects/1234/locations/global/workloadIdentityPools/shop"
PROVIDER = f"{POOL}/providers/idp"
AWS_SECRET = "an-example-of-a-secret"
SCOPES = {"https://www.googleapis.com/auth/bigquery", "https://www.googleapis.com/auth/cloud-platform"}


class Refused(Exception):
    """What OAuth answers with 400: a code and a sentence."""


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Tokens:
    def __init__(self, key):
        self.public = load_pem_private_key(key, password=None).public_key()
        self.known = {}

    def grant(self, name, seconds=3599):
        token = f"ya29.{uuid.uuid4().hex}"
        self.known[token] = name
        return {"access_token": token, "expires_in": seconds, "token_type": "Bearer"}

    def signed(self, assertion):
        """What a JWT says, if its signature counts. Raises ValueError and InvalidSignature."""
        header, claims, signature = assertion.split(".")
        said, wanted = json.loads(decoded(header)), json.loads(decoded(claims))
        if said["alg"] != "RS256":
            raise InvalidSignature
        self.public.verify(decoded(signature), f"{header}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        return wanted

    def exchanged(self, form):
        """The workload whose token is exchanged, and the scopes of what it gets for it.

        Source: Security Token Service API, `token`."""
        form = dict(urllib.parse.parse_qsl(form))
        if form.get("grant_type") != EXCHANGE:
            raise Refused("unsupported_grant_type", "Unsupported grant type")
        if form.get("requested_token_type") != "urn:ietf:params:oauth:token-type:access_token":
            raise Refused("invalid_request", "Invalid requested_token_type")
        if form.get("audience") != PROVIDER:
            raise Refused("invalid_target", "The target service indicated by the \"audience\" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn't exist.")
        scopes = set(form.get("scope", "").split())
        if not scopes:
            raise Refused("invalid_scope", "The scope is missing")
        if form.get("subject_token_type") == "urn:ietf:params:aws:token-type:aws4_request":
            return caller_identity(form.get("subject_token", "")), scopes
        if form.get("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt":
            raise Refused("invalid_request", "Invalid subject_token_type")
        try:
            claims = self.signed(form.get("subject_token", ""))
        except ValueError:
            raise Refused("invalid_request", "Unable to parse the ID Token.") from None
        except InvalidSignature:
            raise Refused("invalid_grant", "Error connecting to the given credential's issuer.") from None
        if claims["iss"] != ISSUER:
            raise Refused("invalid_grant", f"The issuer in ID Token {claims['iss']} does not match the expected ones: {ISSUER}.")
        if claims["aud"] not in (f"https:{PROVIDER}", PROVIDER):
            raise Refused("invalid_grant", f"The audience in ID Token [{claims['aud']}] does not match the expected audience.")
        if claims["exp"] < time.time():
            raise Refused("invalid_grant", f"ID Token issued at {claims['iat']} is stale to sign-in.")
        if claims.get("rejected"):
            raise Refused("unauthorized_client", "The given credential is rejected by the attribute condition.")
        return claims["sub"], scopes

    def claims(self, form, audience):
        """What the assertion of a token request says, if its signature counts."""
        form = dict(urllib.parse.parse_qsl(form))
        if form.get("grant_type") != GRANT:
            raise Refused("unsupported_grant_type", "Invalid grant_type: " + form.get("grant_type", ""))
        try:
            wanted = self.signed(form.get("assertion", ""))
        except ValueError:
            raise Refused("invalid_request", "Bad Request") from None
        except InvalidSignature:
            raise Refused("invalid_grant", "Invalid JWT Signature.") from None
        if wanted["aud"] not in (audience, "https://oauth2.googleapis.com/token"):
            raise Refused("invalid_grant", "Invalid JWT: Failed audience check.")
        if not SCOPES & set(wanted.get("scope", "").split()):
            raise Refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        if not wanted["iss"].endswith(".iam.gserviceaccount.com"):
            raise Refused("invalid_grant", "Invalid grant: account not found")
        return wanted


def caller_identity(token):
    """Who a signed question to AWS is from: the id of the access key, all of which have one secret here.

    Source: Google AIP 4117; AWS docs, "Create a signed AWS API request"."""
    try:
        asked = json.loads(urllib.parse.unquote(token))
        headers = {one["key"].lower(): one["value"] for one in asked["headers"]}
        credential, signed, signature = (part.strip().split("=", 1)[1] for part in headers["authorization"].split(" ", 1)[1].split(","))
        key, day, region, service, _ = credential.split("/")
        address = urllib.parse.urlsplit(asked["url"])
        known = [asked["method"], address.netloc, headers["host"], service, headers["x-goog-cloud-target-resource"]]
    except (ValueError, KeyError, IndexError):
        raise Refused("invalid_request", "Unable to parse the serialized GetCallerIdentity request.") from None
    if known != ["POST", f"sts.{region}.amazonaws.com", address.netloc, "sts", PROVIDER]:
        raise Refused("invalid_request", "The serialized GetCallerIdentity request is not for this provider.")
    query = "&".join(sorted(address.query.split("&")))
    lines = "".join(f"{name}:{headers[name]}\n" for name in signed.split(";"))
    canonical = "\n".join(["POST", address.path or "/", query, lines, signed, hashlib.sha256(b"").hexdigest()])
    scope = f"{day}/{region}/sts/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    derived = f"AWS4{AWS_SECRET}".encode()
    for part in scope.split("/"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    if hmac.new(derived, text.encode(), "sha256").hexdigest() != signature:
        raise Refused("invalid_grant", "The request signature we calculated does not match the signature you provided.")
    return key


def prove_time(claims):
    now = time.time()
    if not now - 300 < claims["iat"] < now + 300 or not now < claims["exp"] <= claims["iat"] + 3600:
        raise Refused("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")
