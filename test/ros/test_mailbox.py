from __future__ import annotations

import threading

from lseg_ros.ros.mailbox import Mailbox


def test_the_newest_wins():
    mailbox: Mailbox[int] = Mailbox()
    assert not mailbox.put(1)
    assert mailbox.put(2)
    assert mailbox.take() == 2


def test_only_one_that_waits_can_be_replaced():
    mailbox: Mailbox[int] = Mailbox()
    assert not mailbox.replace(1)
    mailbox.put(2)
    assert mailbox.replace(3)
    assert mailbox.take() == 3
    assert not mailbox.replace(4)


def test_who_waits_gets_what_comes():
    mailbox: Mailbox[str] = Mailbox()
    threading.Timer(0.05, mailbox.put, ["late"]).start()
    assert mailbox.take() == "late"


def test_closing_lets_go_of_those_who_wait_and_of_those_who_come_later():
    mailbox: Mailbox[int] = Mailbox()
    threading.Timer(0.05, mailbox.close).start()
    assert mailbox.take() is None
    mailbox.put(1)
    assert mailbox.take() is None
