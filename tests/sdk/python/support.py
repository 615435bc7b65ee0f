"""The SDK, started on the server under test as an app would start it."""

import contextlib
import itertools
import json
import os
import time

TARGET = json.loads(os.environ["PAYLOG_SDK_TARGET"])
# Read by the SDK itself, in place of its router.
os.environ["LEANCLOUD_API_SERVER"] = TARGET["url"]

import leancloud  # noqa: E402  (after the address is set)

leancloud.init(TARGET["appId"], app_key=TARGET["appKey"], master_key=TARGET["masterKey"])
leancloud.use_master_key(False)

_numbers = itertools.count(1)
_RUN = format(time.time_ns() // 1_000_000, "x")


def unique(name):
    """A name that no other run on the same data has used."""
    return f"{name}{_RUN}p{next(_numbers)}"


def kind(name):
    """A class of the app's own."""
    return leancloud.Object.extend(unique(name))


@contextlib.contextmanager
def master():
    leancloud.use_master_key(True)
    try:
        yield
    finally:
        leancloud.use_master_key(False)


@contextlib.contextmanager
def acting_as(user):
    before = leancloud.User.get_current()
    leancloud.User.set_current(user)
    try:
        yield
    finally:
        leancloud.User.set_current(before)


def sign_up(name=None):
    user = leancloud.User()
    name = name or unique("user")
    user.sign_up(name, f"password of {name}")
    leancloud.User.set_current(None)
    return user


def refusal(test, call, *arguments, **named):
    """The error that a call must end with."""
    with test.assertRaises(leancloud.LeanCloudError) as caught:
        call(*arguments, **named)
    return caught.exception
