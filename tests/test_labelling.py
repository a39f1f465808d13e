"""Videos with generated footage say so in the file, and what is signed stays as it was signed."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import c2pa
import numpy as np
import pytest
from conftest import picture
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from test_engines import Fake
from test_render import build

from pytoon_pipeline.engines.base import Footage
from pytoon_pipeline.engines.compositor import Compositor
from pytoon_pipeline.engines.policy import EngineSet
from pytoon_pipeline.engines.still import StillEngine
from pytoon_pipeline.errors import EngineUnavailableError, LinkError, SettingsError
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.media import credentials, source_label
from pytoon_pipeline.media.mp4_boxes import edit_lists, is_faststart, read_boxes
from pytoon_pipeline.plan.model import RenderSpec
from pytoon_pipeline.plan.segment import Generate, Segment
from pytoon_pipeline.plan.text import Overlay
from pytoon_pipeline.quality.verdicts import CheckVerdict
from pytoon_pipeline.stages import labelling
from pytoon_pipeline.stages.assemble import assemble_video
from pytoon_pipeline.stages.compile import compile_source
from pytoon_pipeline.stages.documents import MetricsDocument, SegmentRecord, SegmentsDocument
from pytoon_pipeline.stages.labelling import source_type
from pytoon_pipeline.stages.results import judge_video
from pytoon_pipeline.stages.services import Services

PROMPT = "steam over a cup at dawn"
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"


class Dreamer(Fake):
    """An engine that makes generated segments: a bright bar that wanders."""

    def can_render(self, job) -> bool:
        return job.type == "generated"

    def inputs(self, job) -> dict:
        return {"name": self.name, "workflow": "t2v", "models": ["dream-1.safetensors"], "seed": 7}

    def render(self, job, media, workdir, progress) -> Footage:
        super().render(job, media, workdir, progress)

        def frames() -> Iterator[tuple[np.ndarray, ...]]:
            for i in range(job.count):
                y = np.full((job.height, job.width), 90, np.uint8)
                y[:, 4 * i : 4 * i + 40] = 170
                chroma = np.full((job.height // 2, job.width // 2), 128, np.uint8)
                yield y, chroma, chroma.copy()
                progress(1)

        return Footage(job.width, job.height, job.rate, job.count, frames)


@pytest.fixture
def dreaming(services: Services) -> Services:
    return replace(services, engines=EngineSet([Compositor(), Dreamer("dreamer")], StillEngine()))


def brief(folder: Path, *more: dict) -> Path:
    """A picture, then generated footage, then more."""
    picture(folder / "cup.jpg", (500, 400))
    picture(folder / "pot.jpg", (300, 400), (60, 90, 200))
    spec = {
        "archetype": "hero",
        "brand": "neutral",
        "resolution": "270x480",
        "audioTrack": False,
        "segments": [
            {"media": "cup.jpg", "duration": 1, "text": "One"},
            {"duration": 2, "generate": {"prompt": PROMPT}},
            *more,
        ],
        "constraints": {"allowRegeneration": True},
    }
    (folder / "render_spec.json").write_text(json.dumps(spec), encoding="utf-8")
    return folder


def name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Morrow Ltd"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def certify(folder: Path, days: float = 30, alone: bool = False) -> tuple[Path, Path, str]:
    """A signer's certificate with its authority's, its key, and the authority's in PEM; `alone`,
    one that signed itself, as `openssl req -x509` makes them."""
    folder.mkdir(parents=True, exist_ok=True)
    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = dt.datetime.now(dt.UTC)

    def certificate(common: str, key, issuer: str, issuer_key, ca: bool) -> x509.Certificate:
        usage = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        made = (
            x509.CertificateBuilder()
            .subject_name(name(common))
            .issuer_name(name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=60))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca, None), True)
            .add_extension(x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, **usage), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
            )
        )
        if not ca:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            made = made.add_extension(purpose, False)
        return made.sign(issuer_key, hashes.SHA256())

    def pem(made: x509.Certificate) -> str:
        return made.public_bytes(serialization.Encoding.PEM).decode()

    authority = certificate("Authority", root, "Authority", root, True)
    issuer = ("Films", own) if alone else ("Authority", root)
    signer = certificate("Films", own, *issuer, alone)
    (folder / "chain.pem").write_text(pem(signer) + ("" if alone else pem(authority)))
    (folder / "key.pem").write_bytes(
        own.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return folder / "chain.pem", folder / "key.pem", pem(authority)


def signing(services: Services, certificate: Path | None, key: Path | None) -> Services:
    settings = replace(services.settings, c2pa_certificate=certificate, c2pa_key=key)
    return replace(services, settings=settings)


def verdict(metrics: MetricsDocument) -> CheckVerdict:
    return next(v for v in metrics.verdicts if v.name == "ai_label")


def test_generated_footage_is_marked_in_the_file(dreaming: Services, tmp_path: Path) -> None:
    folder = brief(tmp_path / "camp" / "cup")
    segments, metrics = build(dreaming, folder)
    assert [r.engine for r in segments.segments] == ["compositor", "dreamer"]
    errors = [v for v in metrics.verdicts if not v.passed and v.severity == "error"]
    assert not errors and "not signed" in verdict(metrics).message

    video = dreaming.store.local(metrics.video.key)
    assert is_faststart(video) and not edit_lists(video) and read_boxes(video)[-1].path == "uuid"
    assert hashlib.sha256(video.read_bytes()).hexdigest() == metrics.video.sha256
    # Another reader finds it too, and every frame.
    with av.open(str(video), container_options={"export_xmp": "1"}) as file:
        assert IPTC + "compositeWithTrainedAlgorithmicMedia" in file.metadata["xmp"]
        assert sum(1 for _ in file.decode(video=0)) == metrics.video.frames == 90

    written = json.loads(dreaming.store.read_bytes("videos/camp/cup/metrics.json"))["disclosure"]
    assert written == {
        "ai_generated": True,
        "digital_source_type": "compositeWithTrainedAlgorithmicMedia",
        "segments": [
            {
                "segment": "s2",
                "engine": "dreamer",
                "workflow": "t2v",
                "models": ["dream-1.safetensors"],
                "seed": 7,
                "prompt_sha256": hashlib.sha256(PROMPT.encode()).hexdigest(),
            }
        ],
        "c2pa": "unsigned",
        "signer": None,
    }
    # What a record says goes before what the engine says now; a graph, which holds the prompt, is
    # named by its hash.
    taken = segments.model_copy(deep=True)
    taken.segments[1].take = {"workflow": {"6": {"text": PROMPT}}, "seed": 9}
    spec = compile_source(find_sources([folder])[0], dreaming)
    [take] = labelling.build_disclosure(spec, taken, dreaming).segments
    assert (take.models, take.seed) == (None, 9) and PROMPT not in take.workflow

    # The same brief gives the same bytes.
    assert (
        assemble_video(spec, segments, dreaming, "camp/cup", fresh=True).sha256
        == metrics.video.sha256
    )

    # Who asks for a signature is told that there is none; a mark that is gone or wrong is missed.
    strict = replace(dreaming.settings, c2pa_required=True)
    _, verdicts = judge_video(spec, metrics.video, replace(dreaming, settings=strict), segments)
    assert "PYTOON_C2PA_CERTIFICATE" in next(v.remedy for v in verdicts if v.name == "ai_label")
    whole = video.read_bytes()
    mark = read_boxes(video)[-1]
    for damaged, says in (
        (whole[: mark.start], "says nothing"),
        (whole.replace(b"compositeWithTrained", b"compositeWithDrained"), "Drained"),
        (whole.replace(b"<x:xmpmeta", b"<y:xmpmeta"), "can't be read"),
    ):
        dreaming.store.put_bytes(metrics.video.key, damaged)
        _, verdicts = judge_video(spec, metrics.video, dreaming, segments)
        found = next(v for v in verdicts if v.name == "ai_label")
        assert not found.passed and found.severity == "error" and says in found.message


def test_what_is_not_generated_is_not_marked(services: Services, tmp_path: Path) -> None:
    """A picture of the brief's own, standing in where no engine came, is no generated footage."""
    gone = replace(
        services,
        engines=EngineSet(
            [Compositor(), Dreamer("dreamer", [EngineUnavailableError("off")])], StillEngine()
        ),
    )
    segments, metrics = build(gone, brief(tmp_path / "camp" / "cup"))
    assert segments.segments[1].degraded and verdict(metrics).passed
    video = gone.store.local(metrics.video.key)
    assert [b.path for b in read_boxes(video) if "/" not in b.path][-1] == "mdat"
    assert metrics.disclosure.model_dump() == {
        "ai_generated": False,
        "digital_source_type": None,
        "segments": [],
        "c2pa": "not_needed",
        "signer": None,
    }
    # A file that claims it all the same is wrong.
    claimed = tmp_path / "claimed.mp4"
    source_label.add_packet(
        video, claimed, source_label.build_packet(source_label.GENERATED, "Pytoon", "A credit")
    )
    assert claimed.read_bytes()[: video.stat().st_size] == video.read_bytes()
    with pytest.raises(LinkError, match="bears a mark"):
        source_label.add_packet(claimed, tmp_path / "twice.mp4", b"more")
    gone.store.put(metrics.video.key, claimed)
    spec = compile_source(find_sources([tmp_path / "camp" / "cup"])[0], gone)
    _, verdicts = judge_video(spec, metrics.video, gone, segments)
    assert not next(v for v in verdicts if v.name == "ai_label").passed


@pytest.mark.parametrize(
    ("segments", "overlays", "expected"),
    [
        (["footage"], [], source_label.GENERATED),
        (["footage", "footage"], [{"type": "badge", "text": "New"}], source_label.GENERATED),
        (["footage"], [{"media": "logo"}], source_label.COMPOSITE),
        (["footage", "text"], [], source_label.COMPOSITE),
        (["background"], [], source_label.COMPOSITE),
        (["footage", "degraded"], [], source_label.COMPOSITE),
        (["degraded", "text"], [{"media": "logo"}], None),
    ],
)
def test_the_source_type_is_of_the_whole_picture(segments, overlays, expected) -> None:
    planned, records = [], []
    for i, kind in enumerate(segments):
        role = "background" if kind == "background" else "footage"
        planned.append(
            Segment(id=f"s{i}", type="text")
            if kind == "text"
            else Segment(
                id=f"s{i}",
                type="generated",
                media=["cup"] if role != "footage" else [],
                generate=Generate(prompt=PROMPT, role=role),
            )
        )
        records.append(
            SegmentRecord(
                segment_id=f"s{i}",
                fingerprint="",
                key="",
                engine="e",
                frames=1,
                seconds=0,
                cached=False,
                degraded=kind == "degraded",
            )
        )
    spec = RenderSpec(
        archetype="hero",
        segments=planned,
        overlays=[Overlay.model_validate(o) for o in overlays],
    )
    assert source_type(spec, SegmentsDocument(segments=records)) == expected


def test_a_certificate_signs_what_the_video_is_made_of(
    dreaming: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key, authority = certify(tmp_path / "keys")
    services = signing(dreaming, certificate, key)
    around = {"prompt": "a pan around it", "fromMedia": "pot.jpg"}
    redrawn = {"duration": 1, "media": "pot.jpg", "generate": around}
    folder = brief(tmp_path / "camp" / "cup", redrawn)
    # The picture comes with Content Credentials of its own: they are handed on.
    own, signed = folder / "cup.jpg", io.BytesIO()
    action = {"action": "c2pa.created", "digitalSourceType": f"{IPTC}digitalCapture"}
    statement = {
        "title": "shot",
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
    }
    who = credentials.load_identity(certificate, key)
    info = c2pa.C2paSignerInfo("es256", who.certificates.encode(), who.key.encode(), None)
    with c2pa.Signer.from_info(info) as signer, c2pa.Builder(statement) as builder:
        builder.sign(signer, "image/jpeg", io.BytesIO(own.read_bytes()), signed)
    own.write_bytes(signed.getvalue())

    segments, metrics = build(services, folder)
    assert not [v for v in metrics.verdicts if not v.passed and v.severity == "error"]
    assert "signed by Morrow Ltd" in verdict(metrics).message
    assert (metrics.disclosure.c2pa, metrics.disclosure.signer) == ("signed", "Morrow Ltd")
    video = services.store.local(metrics.video.key)
    whole = video.read_bytes()
    assert hashlib.sha256(whole).hexdigest() == metrics.video.sha256
    assert PROMPT.encode() not in whole and str(tmp_path).encode() not in whole

    trust = {"trust_anchors": authority, "trust_config": "1.3.6.1.5.5.7.3.4\n"}
    with (
        c2pa.Context.from_dict({"trust": trust}) as context,
        open(video, "rb") as file,
        c2pa.Reader("video/mp4", file, context=context) as reader,
    ):
        assert reader.get_validation_state() == "Trusted"
        found = json.loads(reader.json())
    manifest = found["manifests"][found["active_manifest"]]
    files = [services.store.local(r.key) for r in segments.segments[1:]]
    files += [own, folder / "pot.jpg"]
    names = ["s2.mp4", "s3.mp4", "cup.jpg", "pot.jpg"]
    assert [(i["title"], i["relationship"], i["instance_id"]) for i in manifest["ingredients"]] == [
        (
            title,
            "inputTo" if title == "pot.jpg" else "componentOf",
            f"urn:sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
        )
        for title, path in zip(names, files, strict=True)
    ]
    shot = found["manifests"][manifest["ingredients"][2]["active_manifest"]]
    assert shot["title"] == "shot"
    said = {a["label"]: a["data"] for a in manifest["assertions"]}
    assert [
        (a["action"], a.get("digitalSourceType")) for a in said["c2pa.actions.v2"]["actions"]
    ] == [
        ("c2pa.created", f"{IPTC}compositeWithTrainedAlgorithmicMedia"),
        ("c2pa.placed", f"{IPTC}trainedAlgorithmicMedia"),
        ("c2pa.placed", f"{IPTC}trainedAlgorithmicMedia"),
        ("c2pa.placed", None),
    ]
    assert said["pytoon.takes"]["takes"][0]["models"] == ["dream-1.safetensors"]
    assert manifest["claim_generator_info"][0]["name"] == "Pytoon"

    # Signed once: an unchanged brief is not signed anew. A changed picture breaks the signature,
    # a changed mark too; and one that was taken off is missed.
    monkeypatch.setattr(labelling, "sign_video", lambda *a: pytest.fail("was signed again"))
    _, again = build(services, folder)
    assert again.video.cached and again.video.sha256 == metrics.video.sha256
    with pytest.raises(pytest.fail.Exception):
        build(signing(dreaming, *certify(tmp_path / "others")[:2]), folder)

    spec = compile_source(find_sources([folder])[0], services)
    first = {b.path: b for b in reversed(read_boxes(video)) if "/" not in b.path}
    picture_byte = first["mdat"].start + first["mdat"].size // 2
    for at, says in (
        (picture_byte, "damaged"),
        (whole.index(b"photoshop:Credit") + 20, "damaged"),
        (first["uuid"].start + 9, "gone"),
        (whole.index(b"dream-1"), "damaged"),
    ):
        broken = bytearray(whole)
        broken[at] ^= 1
        services.store.put_bytes(metrics.video.key, broken)
        _, verdicts = judge_video(spec, metrics.video, services, segments)
        bad = next(v for v in verdicts if v.name == "ai_label")
        assert not bad.passed and says in bad.message, (at, bad)


def test_a_certificate_that_can_not_sign_is_named_before_anything_is_linked(
    dreaming: Services, tmp_path: Path
) -> None:
    certificate, key, authority = certify(tmp_path / "good")
    others = certify(tmp_path / "others")
    turned, text, locked = (tmp_path / n for n in ("turned.pem", "text.pem", "locked.pem"))
    blocks = certificate.read_text().split("-----BEGIN")
    turned.write_text(f"-----BEGIN{blocks[2]}-----BEGIN{blocks[1]}")
    text.write_text("no key\n")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    folder = brief(tmp_path / "camp" / "cup")
    for pair, variable, says in (
        ((None, key), "PYTOON_C2PA_CERTIFICATE", "it is not set"),
        ((certificate, None), "PYTOON_C2PA_KEY", "it is not set"),
        ((text, key), "PYTOON_C2PA_CERTIFICATE", "text.pem can't be read"),
        ((certificate, text), "PYTOON_C2PA_KEY", "text.pem can't be read"),
        ((certificate, locked), "PYTOON_C2PA_KEY", "passphrase"),
        ((certificate, others[1]), "PYTOON_C2PA_KEY", "is not the key"),
        ((turned, key), "PYTOON_C2PA_KEY", "own certificate first"),
        (certify(tmp_path / "old", days=-1)[:2], "PYTOON_C2PA_CERTIFICATE", "ran out on"),
        (certify(tmp_path / "alone", alone=True)[:2], "PYTOON_C2PA_CERTIFICATE", "can't sign"),
    ):
        services = signing(dreaming, *pair)
        with pytest.raises(SettingsError) as told:
            build(services, folder)
        [problem] = told.value.problems
        assert problem.field == variable and says in str(problem) and problem.remedy
        assert "secret" not in str(problem)
        assert not services.store.exists("videos/camp/cup/video.mp4")
