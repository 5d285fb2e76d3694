"""Signed URLs of the object store: bound to a method and a path, valid for a time (`sutro-api.md` §6.7).

The parameters look like S3's; the signature is our own and means nothing elsewhere.
"""

import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote, urlencode

_DATE = "%Y%m%dT%H%M%SZ"


class Signer:
    """Signs and checks with a secret that lives as long as the emulator."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def query(self, method: str, path: str, now: datetime, expires_in: int) -> str:
        """The query string that permits `method` on `path` (unquoted) for so many seconds."""
        date = now.astimezone(UTC).strftime(_DATE)
        return urlencode(
            {
                "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                "X-Amz-Credential": f"emulator/{date[:8]}/auto/s3/aws4_request",
                "X-Amz-Date": date,
                "X-Amz-Expires": expires_in,
                "X-Amz-SignedHeaders": "host",
                "X-Amz-Signature": self._sign(method, path, date, str(expires_in)),
            }
        )

    def refusal(
        self, method: str, raw_path: str, query: Mapping[str, str], now: datetime
    ) -> tuple[str, str] | None:
        """The store's error code and message if this request may not pass; None if it may."""
        date, expires = query.get("X-Amz-Date", ""), query.get("X-Amz-Expires", "")
        given = query.get("X-Amz-Signature")
        if given is None:
            return "AccessDenied", "Access Denied"
        if not hmac.compare_digest(
            given.encode(), self._sign(method, unquote(raw_path), date, expires).encode()
        ):
            return (
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the one provided.",
            )
        signed_at = datetime.strptime(date, _DATE).replace(tzinfo=UTC)
        if now > signed_at + timedelta(seconds=int(expires)):
            return "AccessDenied", "Request has expired"
        return None

    def _sign(self, method: str, path: str, date: str, expires: str) -> str:
        text = "\n".join((method, path, date, expires))
        return hmac.new(self._secret, text.encode(errors="replace"), "sha256").hexdigest()
