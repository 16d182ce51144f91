"""The permission token: a decision in a form that crosses the boundary to a provider and is checked again there.

Owns nothing but the names that the rest of the package uses; what is behind them is in `authority.tokens`: the token
and how a holder weakens it in `permission_token`, then `issuing`, `checking`, and which tokens were `used`.
"""

from cloister.authority.tokens.checking import TokenVerifier
from cloister.authority.tokens.issuing import KEY_BYTES_MIN, TOKEN_LIFETIME_MS, TokenIssuer
from cloister.authority.tokens.permission_token import CAVEATS_MAX, NO_ARGUMENTS_SHA256, Caveat, PermissionToken
from cloister.authority.tokens.used import USED_COUNT_MAX, UsedTokens

__all__ = [
    "CAVEATS_MAX",
    "KEY_BYTES_MIN",
    "NO_ARGUMENTS_SHA256",
    "TOKEN_LIFETIME_MS",
    "USED_COUNT_MAX",
    "Caveat",
    "PermissionToken",
    "TokenIssuer",
    "TokenVerifier",
    "UsedTokens",
]
