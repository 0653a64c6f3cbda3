#!/usr/bin/env python3
"""Follows totals as they move, and keeps a copy of the last event of each in a file.

At first it reads the last event of every total, then each as it comes. Run again, it goes on after the last event that
it kept. Events are absolute, so one that was overtaken is not missed; one that comes twice, or late, is known by its
version.

Each line is printed before its event is kept: after a crash the last lines may come again, none is left out.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

import topics
from totals_copy import Copy, line

STREAM = "TOTALS"
KIND = "vn.tonghop.totals.v1"
# Seconds after which a server that was away is asked again, and after which it forgets a reader that is.
PAUSE, FORGET_AFTER = 1.0, 60.0


async def reader(stream: JetStreamContext, subjects: str, after: int) -> JetStreamContext.PullSubscription:
    """A throw-away consumer: of the last event of each total, or of the events after a place in the stream."""
    config = ConsumerConfig(ack_policy=AckPolicy.NONE, inactive_threshold=FORGET_AFTER, mem_storage=True)
    config.num_replicas = 1
    if after == 0:
        config.deliver_policy = DeliverPolicy.LAST_PER_SUBJECT
    else:
        config.deliver_policy, config.opt_start_seq = DeliverPolicy.BY_START_SEQUENCE, after + 1
    return await stream.pull_subscribe(subjects, stream=STREAM, config=config)


def take(messages: list[Msg], copy: Copy, expected: int) -> int:
    """Keeps events and prints what is news. Stops at a gap; gives the number of the event that comes next."""
    for message in messages:
        sequence = message.metadata.sequence
        if sequence.consumer != expected:
            break
        expected += 1
        event = json.loads(message.data)
        if event["type"] == KIND and copy.take(sequence.stream, event):
            print(line(event["data"]), flush=True)
    copy.keep()
    return expected


async def read_on(subscription: JetStreamContext.PullSubscription, copy: Copy, idle: float) -> bool:
    """Reads until something is lost on the way: false; or until nothing came for `idle` seconds: true."""
    expected, last = 1, time.monotonic()
    while True:
        try:
            messages = await subscription.fetch(256, timeout=min(idle or 5.0, 5.0))
        except asyncio.TimeoutError:
            messages = []
        if messages:
            begin, last = expected, time.monotonic()
            expected = take(messages, copy, expected)
            # Nothing is acknowledged: what was lost with a connection shows as a gap.
            if expected - begin < len(messages):
                return False
        else:
            # Because there is nothing, or because the server lost the reader? It says so then.
            await subscription.consumer_info()
            if idle and time.monotonic() - last >= idle:
                return True


async def follow(stream: JetStreamContext, subjects: str, copy: Copy, idle: float) -> None:
    """Reads on for ever, or until nothing came for `idle` seconds; with another reader where one was lost."""
    ended = False
    while not ended:
        try:
            subscription = await reader(stream, subjects, copy.position())
            try:
                ended = await read_on(subscription, copy, idle)
            finally:
                await subscription.unsubscribe()
        except (NatsError, asyncio.TimeoutError) as error:
            await topics.complain(error, "; trying again")
            await asyncio.sleep(PAUSE)


async def main() -> None:
    parser = topics.arguments(__doc__)
    parser.add_argument("--subjects", default="totals.v1.>", help="totals.v1.LEVEL.UNIT.DATA_SET.PERIOD (%(default)s)")
    arguments = parser.parse_args()
    copy = Copy(arguments.copy, arguments.subjects)
    client = await topics.connect(arguments)
    try:
        await follow(client.jetstream(), arguments.subjects, copy, arguments.idle)
    finally:
        await client.close()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (ValueError, sqlite3.Error, NatsError, OSError) as error:
        sys.exit(f"follow.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
