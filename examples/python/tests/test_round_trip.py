import pytest

from units import format_duration, parse_duration


@pytest.mark.parametrize("seconds", [1, 59, 60, 61, 3600, 86400, 90000])
def test_what_is_written_can_be_read(seconds):
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.skip(reason="three units are cut to two on purpose")
def test_nothing_is_lost():
    assert parse_duration(format_duration(90061)) == 90061
