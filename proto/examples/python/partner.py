#!/usr/bin/env python3
"""Follows what is a partner's: the totals of its province and what became of its reports, and keeps both in a file.

For a system of somebody else. Its key may make no consumers: it reads from those that the operator made for it, which
begin with the last event of each total and remember what was acknowledged. Run again, it goes on where it was.

Each line is printed before its event is kept, and an event is kept before it is acknowledged: after a crash the last
lines may come again, none is left out. What comes twice is known, by a total's version and a report's place in the log.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import time

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError, ServiceUnavailableError

import topics
from totals_copy import Copy, line, told

# What partners ask JetStream under instead of $JS.API.
PREFIX = "tonghop.API"
STREAMS, TOTALS, FATES = ["TOTALS", "FATES"], "vn.tonghop.totals.v1", "vn.tonghop.fates.v1"
# Seconds after which a server that was away is asked again.
PAUSE = 1.0


class Follower:
    """A partner's consumers, and the copy of what came from them."""

    def __init__(self, client: Client, partner: str, copy: Copy, idle: float) -> None:
        self.client, self.jetstream = client, client.jetstream(prefix=PREFIX)
        self.partner, self.copy, self.idle = partner, copy, idle
        self.last = time.monotonic()

    async def take(self, messages: list[Msg]) -> None:
        """Prints what is news, keeps it, and acknowledges it then."""
        for message in messages:
            event = json.loads(message.data)
            kind, data = event["type"], event.get("data")
            if kind == TOTALS and self.copy.take(message.metadata.sequence.stream, event):
                print(line(data), flush=True)
            for report in data["reports"] if kind == FATES else []:
                if self.copy.take_fate(data["fate"], report):
                    print(told(data["fate"], report), flush=True)
        self.copy.keep()
        for message in messages:
            await message.ack()

    async def some(self, subscription: JetStreamContext.PullSubscription) -> bool:
        """Takes what there is, and says whether there was anything."""
        try:
            messages = await subscription.fetch(256, timeout=min(self.idle or 5.0, 5.0))
        except asyncio.TimeoutError:
            return False
        except ServiceUnavailableError:
            await asyncio.sleep(PAUSE)
            return False
        await self.take(messages)
        return bool(messages)

    async def look(self, stream: str) -> None:
        """Fails where the consumer is not there, or the key may not read from it."""
        try:
            await self.jetstream.consumer_info(stream, self.partner)
        except NotFoundError:
            raise topics.Refused(f"{stream} has no consumer {self.partner}: the operator makes it") from None
        except ServiceUnavailableError:
            problem = f"nobody answers for {self.partner} of {stream}: have the servers read their configuration twice?"
            raise NatsError(problem) from None

    async def read(self, stream: str) -> None:
        """Reads on for ever, or until nothing came from any stream for `idle` seconds."""
        subscription = await self.jetstream.pull_subscribe_bind(self.partner, stream)
        while True:
            try:
                if await self.some(subscription):
                    self.last = time.monotonic()
                    continue
                # Because there is nothing, or because the consumer was taken away? The server says so then.
                await self.look(stream)
                if self.idle and time.monotonic() - self.last >= self.idle:
                    return
            except (NatsError, asyncio.TimeoutError) as error:
                if self.client.is_closed:
                    raise topics.Refused(str(self.client.last_error or error)) from None
                await topics.complain(error, "; trying again")
                await asyncio.sleep(PAUSE)


async def follow(arguments: argparse.Namespace, copy: Copy, error_cb: topics.ErrorCallback) -> None:
    """Connects, looks whether all is there, and reads."""
    client = await topics.connect(arguments, error_cb)
    try:
        follower = Follower(client, arguments.partner, copy, arguments.idle)
        for stream in arguments.streams:
            await follower.look(stream)
        await asyncio.gather(*map(follower.read, arguments.streams))
    finally:
        await client.close()


async def main() -> None:
    parser = topics.arguments(__doc__)
    parser.add_argument("--partner", required=True, help="what the operator calls you and your consumers: partner_94")
    parser.add_argument("--streams", nargs="+", choices=STREAMS, default=STREAMS, help="which you may read (both)")
    arguments = parser.parse_args()
    copy = Copy(arguments.copy, arguments.partner)
    await topics.unless_refused(lambda error_cb: follow(arguments, copy, error_cb))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (topics.Refused, ValueError, sqlite3.Error, NatsError, OSError) as error:
        sys.exit(f"partner.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
