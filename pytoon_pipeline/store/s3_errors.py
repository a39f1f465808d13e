"""Explain failures of S3 and its client in plain words, with a remedy."""

from __future__ import annotations

from typing import Any


def _error_answer(error: Exception) -> dict[str, Any]:
    return getattr(error, "response", None) or {}


def error_status(error: Exception) -> int:
    """Return the HTTP status of an error of the client, 0 where it has none."""
    return int(_error_answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def error_code(error: Exception) -> str:
    """Return S3's code of an error, such as `NoSuchKey`; empty where it has none."""
    return str(_error_answer(error).get("Error", {}).get("Code", ""))


def retry_count(error: Exception) -> int:
    """Return how many times the client repeated the request."""
    return int(_error_answer(error).get("ResponseMetadata", {}).get("RetryAttempts", 0))


def is_unavailable(error: BaseException | None) -> bool:
    """Return whether an error is of the kind that passes: nobody answers, or the server says that
    it can't answer now."""
    from botocore import exceptions as known

    if isinstance(error, known.ClientError):
        return error_status(error) >= 500 or error_code(error) in ("SlowDown", "RequestTimeout")
    if isinstance(error, (known.SSLError, known.ProxyConnectionError)):
        return False
    return isinstance(error, (known.ConnectionError, known.HTTPClientError))


_LOGIN = "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the role that Pytoon runs with."
_REGION = "Set AWS_REGION to the region of the bucket."
_SERVER = "Check PYTOON_S3_ENDPOINT, AWS_REGION and this machine's network, then try again."
_RIGHT = "Allow {right} there to whom Pytoon runs as (docs/s3.md has a policy)."
_SAID: dict[str, tuple[str, str]] = {
    "NoSuchBucket": ("there is no bucket {bucket}", "Create it, or correct PYTOON_STORE."),
    "AccessDenied": ("there is no permission for it", _RIGHT),
    "AllAccessDisabled": ("the bucket is closed to everybody", "Ask whoever owns it."),
    "InvalidAccessKeyId": ("the credentials are not known there", _LOGIN),
    "SignatureDoesNotMatch": ("the credentials are not accepted", _LOGIN),
    "ExpiredToken": ("the credentials have run out", _LOGIN),
    "InvalidToken": ("the credentials are not accepted", _LOGIN),
    "RequestTimeTooSkewed": (
        "this machine's clock differs from the server's",
        "Set the clock (NTP), then try again.",
    ),
    "PermanentRedirect": ("the bucket is in another region", _REGION),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", _REGION),
    "IllegalLocationConstraintException": ("the bucket is in another region", _REGION),
    "301": ("the bucket is in another region", _REGION),
    "400": ("the server refuses the request", f"{_LOGIN} {_REGION}"),
    "KeyTooLongError": ("its key is too long", "Shorten the name of the campaign or the brief."),
    "EntityTooLarge": ("it is too large for the server", "Raise the server's limit."),
    "XMinioStorageFull": ("the server's disk is full", "Make room there."),
    "InvalidObjectState": ("it lies in an archive", "Restore the object first."),
}
_SAID["403"] = (
    "there is no permission for it, or it is not there",
    "Allow {right} and s3:ListBucket there to whom Pytoon runs as (docs/s3.md has a policy).",
)


def explain_error(error: Exception, bucket: str, right: str) -> tuple[str, str]:
    """Return what went wrong, and the remedy. Nothing of the request is repeated, since it holds a
    signature."""
    from botocore import exceptions as known

    if isinstance(error, known.ClientError):
        code = error_code(error) or str(error_status(error))
        if code in _SAID:
            why, remedy = _SAID[code]
        elif error_status(error) >= 500 or code == "SlowDown":
            why = f"the server answers {code} ({retry_count(error) + 1} tries)"
            remedy = "Try again later; see what is wrong with the server if it stays."
        else:
            said = str(_error_answer(error).get("Error", {}).get("Message", "")).strip().rstrip(".")
            why, remedy = f"the server answers {code}" + (f" ({said})" if said else ""), _SERVER
        return why.format(bucket=bucket), remedy.format(right=right)
    logins = (
        known.NoCredentialsError,
        known.PartialCredentialsError,
        known.CredentialRetrievalError,
        known.TokenRetrievalError,
    )
    if isinstance(error, logins):
        return "there are no credentials for it", _LOGIN
    if isinstance(error, (known.ReadTimeoutError, known.ConnectTimeoutError)):
        return "the server does not answer", _SERVER
    if isinstance(error, known.SSLError):
        remedy = "Name the authority that signed it in AWS_CA_BUNDLE."
        return "the server's certificate is not trusted", remedy
    if isinstance(error, known.ProxyConnectionError):
        return "the proxy can't be reached", "Check HTTPS_PROXY."
    if isinstance(error, (known.ConnectionError, known.HTTPClientError)):
        return "the server can't be reached", _SERVER
    return type(error).__name__, _SERVER
