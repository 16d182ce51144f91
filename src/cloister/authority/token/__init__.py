"""The permission token: a decision in a form that crosses the boundary to a provider and is checked again there.

What a token is, who may make a weaker one, and what one can no longer be used for is in `permission_token`, `issuing`,
`checking` and `used`; `rules` holds what issuing and checking compare alike.
"""

from cloister.authority.token.checking import TokenVerifier
from cloister.authority.token.issuing import KEY_BYTES_MIN, TOKEN_LIFETIME_MS, TokenIssuer
from cloister.authority.token.permission_token import CAVEATS_MAX, NO_ARGUMENTS_SHA256, Caveat, PermissionToken
from cloister.authority.token.used import USED_COUNT_MAX, UsedTokens

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
