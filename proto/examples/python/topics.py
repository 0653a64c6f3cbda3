"""Followers of the topics: how they are told where NATS is, and what they connect with."""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import nats
from nats.aio.client import Client

PROGRAM = os.path.basename(sys.argv[0])
ErrorCallback = Callable[[Exception], Awaitable[None]]


class Refused(Exception):
    """What trying again does not help against."""


def arguments(about: str | None) -> argparse.ArgumentParser:
    """What every follower is told."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nats", required=True, help="the server's URL, tls://host:port")
    ca, seed = os.environ.get("TONGHOP_CA"), os.environ.get("TONGHOP_NATS_SEED")
    parser.add_argument("--ca", default=ca, help="who signed the server's certificate (TONGHOP_CA)")
    parser.add_argument("--seed", default=seed, help="the file with your NATS key (TONGHOP_NATS_SEED)")
    parser.add_argument("--copy", default="totals.sqlite", help="where the last events are kept (%(default)s)")
    parser.add_argument("--idle", type=float, default=0.0, help="end when nothing came for so many seconds (never)")
    return parser


async def complain(error: Exception, more: str = "") -> None:
    """Says what is wrong. Some errors have no words but their name."""
    print(f"{PROGRAM}: {str(error) or type(error).__name__}{more}", file=sys.stderr)


async def connect(chosen: argparse.Namespace, error_cb: ErrorCallback = complain) -> Client:
    """Connects, again and again where it must."""
    tls = ssl.create_default_context(cafile=chosen.ca) if chosen.ca else None
    return await nats.connect(
        chosen.nats, tls=tls, nkeys_seed=chosen.seed, max_reconnect_attempts=-1, error_cb=error_cb, name=PROGRAM
    )


async def unless_refused(follow: Callable[[ErrorCallback], Coroutine[Any, Any, None]]) -> None:
    """Follows, until a server refuses what the key may not do, or the key; or has a certificate that is not known.

    A client says so in its error callback alone, and tries again for ever.
    """
    refused: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def error_cb(error: Exception) -> None:
        final = "violation" in str(error).lower() or isinstance(error, ssl.SSLCertVerificationError)
        if final and not refused.done():
            refused.set_result(error)
        else:
            await complain(error)

    work = asyncio.create_task(follow(error_cb))
    await asyncio.wait({work, refused}, return_when=asyncio.FIRST_COMPLETED)
    if refused.done():
        raise Refused(str(refused.result()))
    work.result()
