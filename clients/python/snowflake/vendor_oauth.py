"""The OAuth clients of Snowflake's own connector against the token endpoints of the double.

usage: vendor_oauth.py ADDRESS
"""

import sys
import types
import uuid

from snowflake.connector.auth.oauth_code import AuthByOauthCode
from snowflake.connector.auth.oauth_credentials import AuthByOauthCredentials
from snowflake.connector.errors import Error

ADDRESS = sys.argv[1]
USER = f"CLIENT_{uuid.uuid4().hex[:8]}".upper()


class Connection:
    """What the clients ask of a connection."""

    login_timeout = 5
    user, account, service_name, _authenticator = USER, "tide-gate", None, "OAUTH"
    messages: list = []
    errorhandler = staticmethod(Error.default_errorhandler)
    _rest = types.SimpleNamespace(_host="127.0.0.1", _port=0)

    def __getattr__(self, name):
        return None


def ok(what, holds):
    if not holds:
        sys.exit(f"NOT {what}")
    print("ok ", what)


def own(secret, scope):
    client = AuthByOauthCredentials("tests", USER, secret, f"{ADDRESS}/idp/token", scope)
    return client._request_tokens(conn=Connection(), authenticator="OAUTH", service_name=None, account="tide-gate", user=USER)


def refused(what, secret, scope):
    try:
        ok(what, own(secret, scope) == (None, None))
    except Error:
        ok(what, True)


def refreshed(token):
    client = AuthByOauthCode(
        application="tests", client_id=USER, client_secret=f"f00d-4-secret-of-{USER}", authentication_url="https://127.0.0.1/oauth/authorize",
        token_request_url=f"{ADDRESS}/oauth/token-request", redirect_uri="http://127.0.0.1", scope="", host="127.0.0.1", pkce_enabled=False,
        token_cache=None, refresh_token_enabled=True,
    )
    client._scope, client._refresh_token = "", token
    try:
        client._do_refresh_token(conn=Connection())
    except Error:
        return None
    return client._access_token


secret = f"f00d-4-secret-of-{USER}"
token, _ = own(secret, "session:role:TIDEGATE_ROLE")
ok("a client gets a token for itself", token)
refused("a wrong secret gets none", "zanzibar", "session:role:TIDEGATE_ROLE")
refused("nor does another scope", secret, "session:role:NONE")
ok("a refresh token gets a token", refreshed(f"refresh-{USER}"))
ok("a wrong one gets none", refreshed("zanzibar") is None)
