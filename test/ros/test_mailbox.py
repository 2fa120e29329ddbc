from __future__ import annotations

import threading

from lseg_ros.ros.mailbox import Mailbox


def test_the_newest_wins():
    mailbox: Mailbox[int] = Mailbox()
    assert not mailbox.put("front", 1)
    assert mailbox.put("front", 2)
    assert mailbox.take() == {"front": 2}


def test_nobody_pushes_out_what_is_anothers_and_all_are_taken_together():
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put("rear", 1)
    for number in range(30):
        mailbox.put("front", number)
    assert mailbox.take() == {"rear": 1, "front": 29}


def test_only_one_that_waits_can_be_replaced():
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put("rear", 0)
    assert not mailbox.replace("front", 1)
    mailbox.put("front", 2)
    assert mailbox.replace("front", 3)
    assert mailbox.take() == {"rear": 0, "front": 3}
    assert not mailbox.replace("front", 4)


def test_who_waits_gets_what_comes():
    mailbox: Mailbox[str] = Mailbox()
    threading.Timer(0.05, mailbox.put, ["front", "late"]).start()
    assert mailbox.take() == {"front": "late"}


def test_closing_lets_go_of_those_who_wait_and_of_those_who_come_later():
    mailbox: Mailbox[int] = Mailbox()
    threading.Timer(0.05, mailbox.close).start()
    assert mailbox.take() is None
    mailbox.put("front", 1)
    assert mailbox.take() is None
