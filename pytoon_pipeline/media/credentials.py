"""Content Credentials (C2PA): a signed statement in the file of what it is made of.

Nothing here asks the network: no time authority, no revocation list, no manifest elsewhere.
`c2pa` and `cryptography` are loaded only when something is signed or read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytoon_pipeline.errors import MediaError, Problem, PytoonError, SettingsError
from pytoon_pipeline.media.probe import hash_file
from pytoon_pipeline.media.sniff import sniff_kind

CERTIFICATE, KEY = "PYTOON_C2PA_CERTIFICATE", "PYTOON_C2PA_KEY"

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""Where IPTC defines the digital source types; C2PA uses the same."""

_USES = (
    "1.3.6.1.5.5.7.3.4",  # email protection
    "1.3.6.1.5.5.7.3.36",  # document signing
    "1.3.6.1.4.1.62558.2.1",  # C2PA claim signing
)
"""Extended key usages that a certificate may sign with."""
_SETTINGS = {
    "trust": {"trust_config": "\n".join(_USES)},
    "verify": {"verify_after_sign": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "TIFF": "image/tiff",
    "GIF": "image/gif",
}
_OTHER = "application/octet-stream"
_UNTRUSTED = "signingCredential.untrusted"
"""Which certificates to trust is for whoever looks at the video to say."""


class CredentialsError(PytoonError):
    """A video could not be signed, though the certificate is good."""


@dataclass(frozen=True)
class SigningIdentity:
    """Who signs."""

    certificates: str
    """The signer's own first, as PEM."""
    key: str = field(repr=False)
    algorithm: str
    """As C2PA calls it: `es256`, `ps256`, `ed25519`, ..."""
    name: str
    """The organisation of the certificate, else its common name."""
    fingerprint: str
    """SHA-256 of the certificates, hex."""
    since: datetime
    until: datetime


@dataclass(frozen=True)
class ContentIngredient:
    """A file that the video is made of."""

    id: str
    title: str
    path: Path
    relationship: str = "componentOf"
    """`inputTo` for what was only shown to a model."""
    description: str = ""


@dataclass(frozen=True)
class FileCredentials:
    """What was read of a file's Content Credentials."""

    valid: bool
    """The signature is whole, and the file is the one that was signed."""
    signer: str | None = None
    source_types: tuple[str, ...] = ()
    """Of the action that made the file: `trainedAlgorithmicMedia`, ..."""
    ingredients: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    expired: bool = False
    """The certificate ran out since, and no time authority said when the file was signed."""


def _credentials_setting_error(name: str, message: str, remedy: str) -> SettingsError:
    return SettingsError(Problem("settings.c2pa", message, remedy, field=name))


def load_identity(certificate: Path | None, key: Path | None) -> SigningIdentity | None:
    """Return the signer of this install; None where none is set.

    Raises SettingsError, naming the variable and the remedy, when only one of the two is set, one
    can't be read, or they don't belong together. Dates are `check_identity`'s to look at.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing, there = (CERTIFICATE, KEY) if certificate is None else (KEY, CERTIFICATE)
        raise _credentials_setting_error(
            missing, f"it is not set, but {there} is.", "Set both, or neither."
        )
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.x509.oid import NameOID

    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise _credentials_setting_error(
            CERTIFICATE,
            f"{certificate.name} can't be read as certificates in PEM: {error}.",
            "Give the signer's certificate and those between it and its authority, in that order.",
        ) from error
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except TypeError as error:
        raise _credentials_setting_error(
            KEY,
            f"{key.name} is locked with a passphrase.",
            "Unlock it (`openssl pkcs8 -topk8 -nocrypt`) and let only Pytoon read the file.",
        ) from error
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise _credentials_setting_error(
            KEY,
            f"{key.name} can't be read as a private key in PEM.",
            "Give the key that belongs to the certificate.",
        ) from error

    def public_numbers(part: Any) -> bytes:
        return part.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    own = chain[0]
    if public_numbers(own) != public_numbers(private):
        later = any(public_numbers(c) == public_numbers(private) for c in chain[1:])
        raise _credentials_setting_error(
            KEY,
            f"{key.name} is not the key of the first certificate of {certificate.name}.",
            "Put the signer's own certificate first in the file."
            if later
            else "Give the key that belongs to the certificate.",
        )
    names = [
        own.subject.get_attributes_for_oid(oid)
        for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
    ]
    name = next((str(found[0].value) for found in names if found), "unnamed")
    pem = serialization.Encoding.PEM
    certificates = "".join(c.public_bytes(pem).decode() for c in chain)
    return SigningIdentity(
        certificates=certificates,
        key=private.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        algorithm=_choose_algorithm(private, key),
        name=name,
        fingerprint=hashlib.sha256(certificates.encode()).hexdigest(),
        since=own.not_valid_before_utc,
        until=own.not_valid_after_utc,
    )


def _choose_algorithm(private: Any, key: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(private, ec.EllipticCurvePrivateKey):
        curves = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
        if private.curve.name in curves:
            return curves[private.curve.name]
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= 2048:
        return "ps256"
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise _credentials_setting_error(
        KEY,
        f"{key.name} is of a kind that C2PA does not sign with.",
        "Use a key on the curve P-256, P-384 or P-521, Ed25519, or RSA of at least 2048 bits.",
    )


def check_identity(identity: SigningIdentity) -> None:
    """Check that what is signed now would be valid. This signs one pixel, so that it is known
    before anything else is done. Raises SettingsError naming the variable and the remedy."""
    import c2pa
    from PIL import Image

    now = datetime.now(UTC)
    if not identity.since <= now <= identity.until:
        word = "is not valid before" if now < identity.since else "ran out on"
        date = identity.since if now < identity.since else identity.until
        raise _credentials_setting_error(
            CERTIFICATE,
            f"the certificate of {identity.name} {word} {date:%Y-%m-%d}.",
            "Renew it, or unset both variables to leave videos unsigned.",
        )
    pixel = io.BytesIO()
    Image.new("RGB", (1, 1)).save(pixel, "PNG")
    pixel.seek(0)
    made = {"action": "c2pa.created", "digitalSourceType": f"{VOCABULARY}digitalCreation"}
    trial = {"assertions": [{"label": "c2pa.actions", "data": {"actions": [made]}}]}
    signed = io.BytesIO()
    try:
        _sign_file(pixel, signed, "image/png", identity, trial, ())
        state = _read_credentials(signed, "image/png")
    except c2pa.C2paError as error:
        reason = str(error).split(" (self#")[0]
        raise _unfit_identity_error(identity, " ".join(reason.split())) from error
    if not state.valid:
        raise _unfit_identity_error(identity, "; ".join(state.faults))


def _unfit_identity_error(identity: SigningIdentity, reason: str) -> SettingsError:
    return _credentials_setting_error(
        CERTIFICATE,
        f"the certificate of {identity.name} can't sign Content Credentials: {reason}.",
        "Use one that an authority issued for digital signatures, with the extended key usage "
        "C2PA claim signing, document signing or email protection.",
    )


def sign_video(
    video: str | os.PathLike[str],
    out: str | os.PathLike[str],
    identity: SigningIdentity,
    manifest: dict[str, Any],
    ingredients: Sequence[ContentIngredient],
) -> None:
    """Write `video`, an MP4, to `out` with a signed manifest in it; ingredients are named in the
    manifest's actions by their `id`. `out` appears whole and valid, or not at all.

    Raises CredentialsError.
    """
    import c2pa

    video, out = Path(video), Path(out)
    temporary = out.with_name(f".{out.name}.part")
    try:
        with open(video, "rb") as source, open(temporary, "w+b") as target:
            _sign_file(source, target, "video/mp4", identity, manifest, ingredients)
        read = read_credentials(temporary)
        if not read.valid:
            raise CredentialsError(f"{out.name} can't be signed: {'; '.join(read.faults)}.")
        os.replace(temporary, out)
    except (c2pa.C2paError, OSError) as error:
        raise CredentialsError(f"{out.name} can't be signed: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _sign_file(
    source: Any,
    target: Any,
    kind: str,
    identity: SigningIdentity,
    manifest: dict[str, Any],
    ingredients: Sequence[ContentIngredient],
) -> None:
    import c2pa

    info = c2pa.C2paSignerInfo(
        identity.algorithm, identity.certificates.encode(), identity.key.encode(), None
    )
    with (
        c2pa.Signer.from_info(info) as signer,
        c2pa.Context.from_dict(_SETTINGS) as context,
        c2pa.Builder(manifest, context) as builder,
    ):
        for ingredient in ingredients:
            _add_ingredient(builder, ingredient)
        builder.sign(signer, kind, source, target)


def _add_ingredient(builder: Any, ingredient: ContentIngredient) -> None:
    """An ingredient by its hash. Where it has Content Credentials of its own they are kept."""
    import c2pa

    said = {
        "title": ingredient.title,
        "label": ingredient.id,
        "relationship": ingredient.relationship,
        "instance_id": f"urn:sha256:{hash_file(ingredient.path)}",
    }
    if ingredient.description:
        said["description"] = ingredient.description
    with open(ingredient.path, "rb") as file:
        kind = _sniff_kind(file.read(4096))
        file.seek(0)
        try:
            builder.add_ingredient(json.dumps(said), kind, file)
        except c2pa.C2paError:
            # Good enough to be shown, too odd to be searched for credentials of its own.
            file.seek(0)
            builder.add_ingredient(json.dumps(said), _OTHER, file)


def _sniff_kind(head: bytes) -> str:
    if head[4:8] == b"ftyp" and sniff_kind(head) not in _TYPES:
        return "video/mp4"
    return _TYPES.get(sniff_kind(head) or "", _OTHER)


def read_credentials(path: str | os.PathLike[str]) -> FileCredentials:
    """Return the Content Credentials of an MP4 that has some. What is damaged is no error here: it
    is said in `faults`."""
    import c2pa

    try:
        with open(path, "rb") as file:
            return _read_credentials(file, "video/mp4")
    except (c2pa.C2paError, MediaError, OSError, ValueError, KeyError) as error:
        return FileCredentials(False, faults=(f"they can't be read: {error}",))


def _read_credentials(file: Any, kind: str) -> FileCredentials:
    import c2pa

    file.seek(0)
    with (
        c2pa.Context.from_dict(_SETTINGS) as context,
        c2pa.Reader(kind, file, context=context) as reader,
    ):
        found = json.loads(reader.json())
        results = reader.get_validation_results() or {}
    manifest = found["manifests"][found["active_manifest"]]
    failures = list(results.get("activeManifest", {}).get("failure", []))
    for delta in results.get("ingredientDeltas") or []:
        failures += delta["validationDeltas"]["failure"]
    failures = [f for f in failures if f["code"] != _UNTRUSTED]
    # One that is not named is a fault all the same.
    whole = found.get("validation_state") in ("Valid", "Trusted")
    codes = [f["code"] for f in failures]
    actions = [
        action
        for assertion in manifest.get("assertions", [])
        if assertion["label"].startswith("c2pa.actions")
        for action in assertion["data"]["actions"]
    ]
    signature = manifest.get("signature_info", {})
    return FileCredentials(
        valid=whole and not failures,
        signer=signature.get("issuer") or signature.get("common_name"),
        source_types=tuple(
            a["digitalSourceType"].removeprefix(VOCABULARY)
            for a in actions
            if a["action"] == "c2pa.created" and "digitalSourceType" in a
        ),
        ingredients=tuple(i.get("title", "") for i in manifest.get("ingredients", [])),
        faults=tuple(f.get("explanation") or f["code"] for f in failures)
        or (() if whole else ("they are not valid",)),
        expired=codes == ["signingCredential.expired"],
    )
