"""Tests of the mailbox between subscriptions and worker."""

from __future__ import annotations

import threading

from lseg_ros.ros.mailbox import Mailbox


def test_keeps_the_newest_item() -> None:
    mailbox: Mailbox[int] = Mailbox()
    assert not mailbox.put("front", 1)
    assert mailbox.put("front", 2)
    assert mailbox.take() == {"front": 2}


def test_keeps_one_item_per_name_and_takes_all_at_once() -> None:
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put("rear", 1)
    for number in range(30):
        mailbox.put("front", number)
    assert mailbox.take() == {"rear": 1, "front": 29}


def test_replaces_only_items_that_wait() -> None:
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put("rear", 0)
    assert not mailbox.replace("front", 1)
    mailbox.put("front", 2)
    assert mailbox.replace("front", 3)
    assert mailbox.take() == {"rear": 0, "front": 3}
    assert not mailbox.replace("front", 4)


def test_take_waits_for_an_item() -> None:
    mailbox: Mailbox[str] = Mailbox()
    threading.Timer(0.05, mailbox.put, ["front", "late"]).start()
    assert mailbox.take() == {"front": "late"}


def test_take_returns_none_when_the_mailbox_is_closed() -> None:
    mailbox: Mailbox[int] = Mailbox()
    threading.Timer(0.05, mailbox.close).start()
    assert mailbox.take() is None
    mailbox.put("front", 1)
    assert mailbox.take() is None
