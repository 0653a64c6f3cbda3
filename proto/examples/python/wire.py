"""What pushing and asking have in common: where a service is, and what it says when it refuses."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import grpc
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2

# The other end is asked for a sign of life: a line that died without a word is noticed.
OPTIONS = [("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 10_000)]

# Nothing is wrong with what was asked, and asking again may help. INTERNAL is what grpc.aio itself says to whoever writes while a
# stream ends, whatever the reason for its end.
PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
}


def target(address: str) -> str:
    """gRPC's name for an address: `https://127.0.0.1:50051` is meant as `127.0.0.1:50051`."""
    return address.removeprefix("https://").rstrip("/")


def add_credentials(parser: argparse.ArgumentParser) -> None:
    """The options that say who one is and whom one believes; the environment has the same."""
    for option, meaning in [
        ("ca", "the authority whose services are believed, PEM"),
        ("cert", "the certificate to show, PEM"),
        ("key", "the certificate's key, PEM"),
        ("token-file", "a file with a token, instead of a certificate"),
    ]:
        variable = f"TONGHOP_{option.upper().replace('-', '_')}"
        default = os.environ.get(variable)
        parser.add_argument(f"--{option}", metavar="FILE", default=default, help=f"{meaning} ({variable})")


def credentials(chosen: argparse.Namespace) -> grpc.ChannelCredentials:
    """TLS, and who one is: by a certificate, or by a token, whose file is read for each call: it may be replaced."""
    ca, key, cert = (Path(file).read_bytes() if file else None for file in (chosen.ca, chosen.key, chosen.cert))
    tls = grpc.ssl_channel_credentials(ca, key, cert)
    if not chosen.token_file:
        return tls

    def token(_context: object, tell: Callable[..., None]) -> None:
        try:
            tell((("authorization", f"Bearer {Path(chosen.token_file).read_text(encoding='ascii').strip()}"),), None)
        except (OSError, UnicodeDecodeError) as error:
            tell((), error)

    return grpc.composite_channel_credentials(tls, grpc.metadata_call_credentials(token))


@dataclasses.dataclass
class Refusal:
    """A status with its details. `reason` is stable, the sentences are for people."""

    code: grpc.StatusCode
    reason: str
    message_en: str
    message_vi: str = ""
    # Each field that is at fault: "REASON: English / Vietnamese".
    fields: dict[str, str] = dataclasses.field(default_factory=dict)
    # Seconds; none where the service names no pause.
    retry_after: float | None = None

    @classmethod
    def of(cls, error: grpc.RpcError) -> Refusal:
        """Reads a call's error."""
        refusal = cls(error.code(), error.code().name, error.details() or "")
        # A google.rpc.Status is there where the service itself refused and not the line.
        trailers = [text for key, text in error.trailing_metadata() or () if key == "grpc-status-details-bin"]
        for detail in (detail for text in trailers for detail in status_pb2.Status.FromString(text).details):
            info, words = details.ErrorInfo(), details.LocalizedMessage()
            request, retry = details.BadRequest(), details.RetryInfo()
            if detail.Unpack(info):
                refusal.reason = info.reason
            elif detail.Unpack(words):
                refusal.message_vi = words.message
            elif detail.Unpack(request):
                refusal.fields = {field.field: field.description for field in request.field_violations}
            elif detail.Unpack(retry):
                refusal.retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        return refusal

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed later."""
        return self.code in PASSING or self.retry_after is not None

    def __str__(self) -> str:
        sentences = " / ".join(filter(None, [self.message_en, self.message_vi]))
        fields = [f"\n  {field}: {description}" for field, description in self.fields.items()]
        return f"{self.reason}: {sentences}" + "".join(fields)
