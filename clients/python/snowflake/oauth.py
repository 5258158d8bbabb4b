"""Two token endpoints: that of Snowflake's own OAuth, and that of an identity provider that the account trusts.

A client is named like the user that its tokens are of, and its secret is `f00d-4-secret-of-USER`. At Snowflake a user's
refresh token is `refresh-USER`; if it rotates, it is the one that came with the last access token.

Source: Snowflake docs, "Configure Snowflake OAuth for custom clients", token endpoint; RFC 6749.
"""

import base64
import binascii
import time
import urllib.parse
import uuid

ROLE_SCOPE = "session:role:TIDEGATE_ROLE"


class NoToken(Exception):
    """A refusal: the HTTP status, the code and the sentence."""


class Clients:
    def __init__(self, principal):
        self.principal, self.tokens, self.refresh = principal, {}, {}

    def authenticated(self, token):
        """Whose token it is; None if it does not count, or not any more."""
        name, until = self.tokens.get(token, (None, 0))
        return self.principal(name) if time.time() < until else None

    def end(self, token):
        self.tokens.pop(token, None)

    def client(self, authorization):
        try:
            name, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":", 1)
        except (ValueError, binascii.Error):
            raise NoToken(401, "invalid_client", "The client is not authenticated.") from None
        if secret != f"f00d-4-secret-of-{name}":
            raise NoToken(401, "invalid_client", f"The client {name} is not authenticated by {secret}.")
        return name

    def granted(self, authorization, body, is_snowflake):
        """What a token endpoint answers."""
        form = dict(urllib.parse.parse_qsl(body))
        name = self.client(authorization)
        who = self.principal(name)
        if form.get("grant_type") != ("refresh_token" if is_snowflake else "client_credentials"):
            raise NoToken(400, "unsupported_grant_type", "The grant type is not supported.")
        if is_snowflake and form.get("refresh_token") != self.refresh.get(name, f"refresh-{name}"):
            raise NoToken(400, "invalid_grant", f"The refresh token {form.get('refresh_token')} is not valid.")
        if not is_snowflake and form.get("scope") != ROLE_SCOPE:
            raise NoToken(400, "invalid_scope", "The scope is not one of the client's.")
        token = f"ver:1-hint:{uuid.uuid4().hex}"
        self.tokens[token] = (name, time.time() + who.seconds)
        who.granted += 1
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": who.seconds}
        if is_snowflake and who.rotates:
            answer["refresh_token"] = self.refresh[name] = f"refresh-{uuid.uuid4().hex}"
        return answer
