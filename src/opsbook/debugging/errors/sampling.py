"""Which events of a flood are kept: the first ones of an hour whole, then one in ten, in a hundred, … Pure."""

from __future__ import annotations


def stands_for(number: int, full: int) -> int:
    """For how many events of its issue the `number`th of the hour (from 1) is kept; 0 where it is not.

    The first `full` stand for themselves, one in ten of those up to `10 * full`, one in a hundred of
    those up to `100 * full`, and so on: whatever arrives, `full` and about as many again for each power of ten.
    """
    step = 1
    while number > full:
        step, full = step * 10, full * 10
    return step if number % step == 0 else 0
